package work

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestPublish(t *testing.T) {
	f := &Flags{Publishers: 3, Batch: 10, Duration: 50 * time.Millisecond}
	var published atomic.Uint64
	m, err := f.Publish(func(int) func() error {
		tick := time.NewTicker(time.Millisecond)
		t.Cleanup(tick.Stop)
		return func() error {
			<-tick.C
			published.Add(10)
			return nil
		}
	})
	if err != nil || m.Events == 0 || m.Events > published.Load() || m.Events%10 != 0 || m.P50 <= 0 || m.Elapsed < f.Duration {
		t.Errorf("%d of %d events, p50 %v, %v, %v", m.Events, published.Load(), m.P50, m.Elapsed, err)
	}
	broken := errors.New("broken")
	if _, err := f.Publish(func(int) func() error { return func() error { return broken } }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestData(t *testing.T) {
	f := &Flags{Size: 128, Keys: 10}
	if a, b := string(f.Data()), string(f.Data()); len(a) != 128 || a == b {
		t.Errorf("data of %d bytes: %q, %q", len(a), a, b)
	}
	if got := f.Subject(13, "/"); got != "sensors/hall3/temperature" {
		t.Errorf("subject %q", got)
	}
}

func TestMachine(t *testing.T) {
	if Own() <= 0 || Machine() <= 0 {
		t.Errorf("CPU times %v and %v", Own(), Machine())
	}
}
