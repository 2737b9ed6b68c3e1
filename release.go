package spate

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A releaser gives memory back to the system once a burst is over. Go collects
// when the heap has grown by as much as it holds, so after a burst of, say, TLS
// handshakes the process would keep twice what it needs until the next burst,
// or for the minutes that its scavenger takes.
type releaser struct {
	usage   func() memoryUsage
	release func()

	last     memoryUsage
	released uint64 // allocated when memory was last released
}

// memoryUsage is what the releaser looks at, in bytes.
type memoryUsage struct {
	allocated uint64 // since the process started
	live      uint64 // that the last collection found in use
	held      uint64 // that the heap holds from the system
}

const (
	// releaseEvery is how often the releaser looks. Between two looks a quiet
	// server allocates less than quietBytes.
	releaseEvery = 2 * time.Second
	quietBytes   = 1 << 20
	// worthReleasing is how much there must be to gain, and to have been
	// allocated since the last time: a collection costs some milliseconds.
	worthReleasing = 1 << 20
)

func newReleaser() *releaser {
	return &releaser{usage: readMemoryUsage, release: debug.FreeOSMemory}
}

// run looks until ctx ends.
func (r *releaser) run(ctx context.Context) error {
	t := time.NewTicker(releaseEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.look()
		case <-ctx.Done():
			return nil
		}
	}
}

// look releases memory if the process has been quiet since the last look, has
// not been so for long, and there is enough to gain.
func (r *releaser) look() {
	now := r.usage()
	quiet := now.allocated-r.last.allocated < quietBytes
	r.last = now
	busySince := now.allocated - r.released
	if !quiet || busySince < worthReleasing || now.held < now.live+worthReleasing {
		return
	}
	r.release()
	r.last = r.usage()
	r.released = r.last.allocated
}

func readMemoryUsage() memoryUsage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	u := memoryUsage{allocated: samples[0].Value.Uint64(), live: samples[1].Value.Uint64()}
	for _, s := range samples[2:] {
		u.held += s.Value.Uint64()
	}
	return u
}
