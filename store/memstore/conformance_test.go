package memstore_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/store/storetest"
)

// A disk is what stays when a store of the suite is opened again, and the gate that holds its commits up.
type disk struct {
	options memstore.Options
	latest  *memstore.Store
	crashed *memstore.Store // what the latest has left, if it has crashed
	mu      sync.RWMutex    // held while the store is stalled
}

func harness(t *testing.T) storetest.Harness {
	clock := storetest.NewClock()
	d := &disk{}
	d.options = memstore.Options{
		Clock:  clock.Now,
		Limits: store.Limits{Bytes: 2 << 20, Pending: 4 << 20},
		BeforeCommit: func(*store.Batch) error {
			d.mu.RLock() // waits while the store is stalled
			defer d.mu.RUnlock()
			return nil
		},
	}
	return storetest.Harness{
		Open: d.open,
		Restore: func(r io.Reader) (store.Store, error) {
			s, err := memstore.Restore(r, memstore.Options{Clock: clock.Now})
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Clock: clock,
		Crash: func(store.Store) { d.crashed = d.latest.Reopen() },
		Stall: func(store.Store) func() {
			d.mu.Lock()
			return sync.OnceFunc(d.mu.Unlock)
		},
		Corrupt: func(s store.Store, at store.Position) store.Store {
			if !d.latest.Corrupt(at) {
				t.Errorf("there is no record at %v", at)
			}
			return s
		},
	}
}

// open opens what the store before has left, if there was one.
func (d *disk) open() (store.Store, error) {
	switch {
	case d.latest == nil:
		d.latest = memstore.New(d.options)
	case d.crashed != nil:
		d.latest, d.crashed = d.crashed, nil
	default:
		d.latest = d.latest.Reopen()
	}
	return d.latest, nil
}

func TestConformance(t *testing.T) { storetest.Run(t, harness) }

// TestModel holds a memstore that is closed, crashed, reopened and restored against one that is not.
func TestModel(t *testing.T) {
	storetest.RunModel(t, harness, func(clock func() time.Time) store.Store { return memstore.New(memstore.Options{Clock: clock}) }, 300)
}
