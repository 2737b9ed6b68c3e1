package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var limitChecks = []check{
	{"operations", checkOperations},
	{"bytes", checkBytes},
	{"key", checkKey},
	{"pending makes Submit wait", checkPending},
}

func checkOperations(f *fixture) {
	most := f.s.Limits().Operations
	b := &store.Batch{Appends: appends(part("a", 0), numbered("", most/2)...)}
	for i := range most - len(b.Appends) {
		b.Puts = append(b.Puts, store.Put{Key: fmt.Sprintf("k%08d", i)})
	}
	f.commit(b)
	before := f.image()
	equal(f, "records", f.bounds(part("a", 0)).Count, uint64(most/2))
	more := &store.Batch{Appends: appends(part("a", 0), numbered("", most/2)...)}
	for i := range most - len(more.Appends) + 1 {
		more.Trims = append(more.Trims, at(part("a", 0), uint64(i)))
	}
	f.refused(more, store.ErrTooLarge)
	f.stays(before, "a batch of too many operations")
}

func checkBytes(f *fixture) {
	most := f.s.Limits().Bytes
	fits := make([]byte, LeastBytes/2)
	f.commit(&store.Batch{Puts: []store.Put{{Key: "k", Data: fits}}, Appends: []store.Append{{Partition: part("a", 0), Event: &event.Event{Subject: "s", Data: fits[:LeastBytes/4]}}}})
	before := f.image()
	f.refused(&store.Batch{Puts: []store.Put{{Key: "k", Data: make([]byte, most+1)}}}, store.ErrTooLarge)
	f.refused(&store.Batch{Appends: []store.Append{{Partition: part("a", 0), Event: &event.Event{Subject: "s", Data: make([]byte, most+1)}}}}, store.ErrTooLarge)
	f.stays(before, "a batch of too many bytes")
}

func checkKey(f *fixture) {
	fits := strings.Repeat("k", f.s.Limits().Key)
	f.commit(&store.Batch{Puts: []store.Put{{Key: fits, Data: []byte("v")}}})
	equal(f, "value", string(f.value(fits).Data), "v")
	before := f.image()
	f.refused(&store.Batch{Puts: []store.Put{{Key: fits + "k", Data: []byte("v")}}, Appends: appends(part("a", 0), "x")}, store.ErrTooLarge)
	f.stays(before, "a batch with a key that is too long")
}

// checkPending holds the store up, submits more than it lets wait, and counts how much it takes.
func checkPending(f *fixture) {
	if f.Stall == nil {
		f.Log("the harness cannot stall: not tested")
		return
	}
	limits := f.s.Limits()
	data := make([]byte, min(limits.Pending/16+1, limits.Bytes/2))
	size := (&store.Batch{Puts: []store.Put{{Key: "k", Data: data}}}).Size()
	release := f.Stall(f.s)
	defer release()
	n := 3*limits.Pending/size + 3
	var taken atomic.Int64
	errs := make(chan error, n)
	var submitting sync.WaitGroup
	finished := make(chan struct{})
	submitting.Go(func() {
		defer close(finished)
		for range n {
			f.s.Submit(&store.Batch{Puts: []store.Put{{Key: "k", Data: data}}}, func(err error) { errs <- err })
			taken.Add(int64(size))
		}
	})
	quiet(f, "Submit did not wait", finished)
	most := int64(limits.Pending + limits.Bytes + 2*size) // what waits, what is being committed, and the last ones
	if got := taken.Load(); got > most {
		f.Errorf("%d bytes were taken while the store was held up, at most %d may be", got, most)
	}
	release()
	submitting.Wait()
	for range n {
		if err := f.answer(errs); err != nil && !errors.Is(err, store.ErrFull) {
			f.Errorf("a batch that waited: %v", err)
		}
	}
}
