package xstream

import (
	"context"
	"fmt"
	"sync"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// AddArgs is what XADD is told beside the key and the fields.
type AddArgs struct {
	ID         Partial
	NoMkStream bool
	Trim       Trim
}

// An Added is an entry on its way to the disk.
type Added struct {
	k      *key
	event  event.Event
	events [1]*event.Event
	batch  store.Batch
	place  [1]store.Append
	at     int    // in batch.Appends, the one of the key's stream
	given  bool   // the ID is in the headers
	asked  bool   // for by the client
	expect uint64 // the offset, if nobody else adds to the partition meanwhile
	itself bool   // it is to be removed again by its own MAXLEN 0
	min    ID     // and by its own MINID, if its ID is less
	done   *sync.WaitGroup
	// release gives back the room for its delivery.
	release func()

	// What comes of it, once done.
	id      ID
	strange bool // the ID has to be looked up
	err     error
}

// Add submits an entry and returns; done is counted up, and down once the entry is stored, or is not. It returns nil if
// NoMkStream keeps it from making the key. The fields are names and values in turn, and are copied.
func (s *Set) Add(ctx context.Context, name []byte, args AddArgs, fields [][]byte, done *sync.WaitGroup) (*Added, error) {
	if err := s.checkKey(name); err != nil {
		return nil, err
	}
	k := s.acquire(name)
	a := &Added{k: k, done: done}
	a.event.Subject = k.name
	a.event.Data, a.event.Headers = encode(fields)
	const idBytes = 64 // of the header that an ID becomes
	var err error
	if a.release, err = s.bus.Reserve(ctx, 1, a.event.Size()+idBytes); err != nil {
		k.release()
		return nil, fmt.Errorf("adding to the stream at key %.80q: %w", k.name, err)
	}
	ok, err := k.add(ctx, a, args)
	if !ok || err != nil {
		a.release()
		k.release()
		return nil, err
	}
	return a, nil
}

func (k *key) add(ctx context.Context, a *Added, args AddArgs) (ok bool, err error) {
	s := k.set
	if err := s.bus.Prepare(&a.event); err != nil {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(ctx); err != nil {
		return false, err
	}
	switch {
	case k.stream == nil && args.NoMkStream:
		return false, nil
	case k.stream == nil:
		if err := k.establish(ctx); err != nil {
			return false, err
		}
	case args.NoMkStream:
		if err := k.refresh(ctx); err != nil || !k.exists() && k.next == k.bounds.Next {
			return false, err
		}
	}
	if err := k.identify(ctx, a, args.ID); err != nil {
		return false, err
	}
	if args.Trim.By != TrimNone {
		if err := k.trimFor(ctx, a, args.Trim); err != nil {
			return false, err
		}
	}
	if a.given || len(a.batch.Removes) > 0 { // what is removed has been counted, and is not there to be counted again
		c := k.change()
		c.putMeta()
		for key, data := range c.state {
			a.batch.Puts = append(a.batch.Puts, store.Put{Key: key, Data: data})
		}
	}
	if !k.hand(func() { err = k.submit(a) }) {
		k.broken.Store(true)
		err = fmt.Errorf("adding to the stream at key %.80q: %w", k.name, errMoved)
	}
	return err == nil, err
}

// identify decides how the entry gets its ID.
func (k *key) identify(ctx context.Context, a *Added, id Partial) error {
	_, assigned := k.top()
	if id.Auto && int64(assigned.Ms) < k.set.now() && assigned.Ms < 1<<63 {
		return nil // from when and where it is stored, which is after all that there is
	}
	k.autos.Wait()
	if err := k.refresh(ctx); err != nil {
		return err
	}
	last, _ := k.top()
	got, err := assign(id, last, uint64(max(k.set.now(), 0)))
	if err != nil {
		return err
	}
	a.given, a.asked, a.id = true, !id.Auto, got
	a.event.Headers = headersWithID(a.event.Headers, got, k.name)
	if err := k.set.bus.Prepare(&a.event); err != nil {
		return err
	}
	k.ids.Lock()
	k.last, k.assigned = got, got
	k.ids.Unlock()
	return nil
}

// assign returns the ID of an entry that is added after last.
func assign(id Partial, last ID, now uint64) (ID, error) {
	if last == MaxID {
		return ID{}, ErrExhausted
	}
	got := id.ID
	switch {
	case id.Auto:
		got = ID{Ms: now}
		if !last.Less(got) {
			got, _ = last.Next()
		}
	case id.AutoSeq && got.Ms == last.Ms:
		if got = last; got.Seq == MaxID.Seq {
			return got, ErrNoSequence
		}
		got.Seq++
	case id.AutoSeq:
		got.Seq = 0
	}
	if !last.Less(got) {
		return got, ErrSmaller
	}
	return got, nil
}

// submit hands the entry to the store. Called with the lock, so that entries are stored in the order of their IDs.
func (k *key) submit(a *Added) error {
	a.batch.Appends = a.place[:0]
	captured, durability, err := k.set.log.Add(&a.batch, &a.event)
	for a.at = captured - 1; a.at >= 0 && a.batch.Appends[a.at].Partition != k.part; a.at-- {
	}
	if err == nil && a.at < 0 { // the stream is about to be removed, and captures nothing any more
		err = fmt.Errorf("adding to the stream at key %.80q: %w", k.name, errMoved)
	}
	if err != nil {
		k.broken.Store(true) // what is known of IDs is ahead of it
		return err
	}
	a.batch.Durability = durability
	a.expect = k.next
	k.next++
	k.flight.Add(1)
	if !a.given {
		k.autos.Add(1)
	}
	a.done.Add(1)
	k.set.store.Submit(&a.batch, a.committed)
	return nil
}

// committed is called by the store.
func (a *Added) committed(err error) {
	k := a.k
	if err != nil {
		a.err = fmt.Errorf("storing an entry of the stream at key %.80q: %w", k.name, err)
		k.broken.Store(true)
		a.release()
	} else {
		a.settle()
		a.events[0] = &a.event
		k.set.bus.DeliverStored(a.events[:], a.batch.Appends, a.release)
	}
	if !a.given {
		k.autos.Done()
	}
	k.left(a.batch.Removes, err)
	k.flight.Done()
	k.release()
	a.done.Done()
}

// settle finds the ID that follows from where the entry is stored. One that was given has to be looked up if another door may have added
// something that now comes before it, and has taken its ID or a greater one.
func (a *Added) settle() {
	k, at := a.k, &a.batch.Appends[a.at]
	if a.given {
		a.strange = !k.own || at.Offset != a.expect
		return
	}
	a.id = ID{uint64(max(at.Appended.UnixMilli(), 0)), at.Offset}
	k.ids.Lock()
	defer k.ids.Unlock()
	if a.strange = a.id.Ms <= k.assigned.Ms && !k.assigned.IsZero(); a.strange {
		return
	}
	if k.last.Less(a.id) {
		k.last = a.id
	}
}

// Result returns the ID of the entry, after done.
func (a *Added) Result(ctx context.Context) (ID, error) {
	a.itself = a.itself || a.err == nil && a.id.Less(a.min)
	if a.err != nil || !a.strange && !a.itself {
		return a.id, a.err
	}
	err := a.k.set.with(ctx, []byte(a.k.name), a.review)
	if a.err != nil {
		err = a.err
	}
	return a.id, err
}

// review looks up the ID of an entry that is stored, and removes one that must not stay.
func (a *Added) review(k *key) (*change, error) {
	offset := a.batch.Appends[a.at].Offset
	if m := k.strange.Load(); m != nil && a.strange {
		if id, ok := (*m)[offset]; ok {
			a.id = id
			if a.asked {
				a.itself, a.err = true, ErrSmaller
			}
		}
	}
	if !a.itself {
		return nil, nil
	}
	c := k.change()
	c.take(offset)
	c.putMeta()
	return c, nil
}
