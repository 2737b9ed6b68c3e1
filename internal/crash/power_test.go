package crash

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spate-io/spate"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/pebblestore"
)

// Promise: a loss of power, which drops or tears what was not synced, loses no acknowledged event and leaves no half step.
func TestPromiseDurability(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := newLedger()
	for range *kills {
		fs = powerCut(t, fs, l)
	}
	s, app := onFS(t, fs)
	stop := run(t, app)
	caughtUp(t, app)
	stop()
	l.check(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func onFS(t *testing.T, fs vfs.FS) (*pebblestore.Store, *spate.App) {
	t.Helper()
	s, err := pebblestore.Open("data", pebblestore.Options{FS: fs, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	app, err := newApp(spate.Options{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s, app
}

// powerCut runs an app, and returns what is left of its disk when the power fails at some moment. What is acknowledged after that does not count.
func powerCut(t *testing.T, fs *vfs.MemFS, l *ledger) *vfs.MemFS {
	t.Helper()
	s, app := onFS(t, fs)
	stop := run(t, app)
	var lock sync.RWMutex // held while an acknowledgment is written down, and while the power fails
	over := false
	ctx, cancel := context.WithCancel(context.Background())
	var publishers sync.WaitGroup
	for i := range 8 {
		publishers.Go(func() {
			for ; ctx.Err() == nil; i += 8 {
				key := fmt.Sprint("k", i%24)
				n := l.take(key)
				_, err := app.Bus().Publish(ctx, &event.Event{Subject: "in/" + key, Data: fmt.Append(nil, n)})
				lock.RLock()
				if err == nil && !over {
					l.acknowledged(key, n)
				}
				lock.RUnlock()
			}
		})
	}
	<-time.After(time.Duration(rand.IntN(150)) * time.Millisecond)
	lock.Lock()
	left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rand.IntN(101), RNG: rand.New(rand.NewPCG(rand.Uint64(), 0))})
	over = true
	lock.Unlock()
	cancel()
	publishers.Wait()
	stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return left
}
