package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var seamChecks = []check{
	{"reading while appending", checkReadWhileAppending},
	{"reading while trimming", checkReadWhileTrimming},
	{"reading the old while the new arrives", checkReadOldAndNew},
}

const (
	seamWriters = 4
	seamBatches = 60
	seamReaders = 4
)

// seamEvent is an event of the writer's, of a size that fills what a store keeps in memory.
func seamEvent(writer, batch, i int) *event.Event {
	data := fmt.Appendf(nil, "%d/%d/%d ", writer, batch, i)
	return &event.Event{Subject: "s", Data: append(data, make([]byte, 100*(i+1))...)}
}

// writeSeam appends batches of 1 to 5 records, several at a time.
func (f *fixture) writeSeam(p store.Partition, writer int, written *atomic.Uint64) error {
	answers := make(chan error, seamBatches)
	for i := range seamBatches {
		n := 1 + (writer+i)%5
		b := &store.Batch{Durability: store.Durability(writer % 3)}
		for j := range n {
			b.Appends = append(b.Appends, store.Append{Partition: p, Event: seamEvent(writer, i, j)})
		}
		written.Add(uint64(n))
		f.s.Submit(b, func(err error) { answers <- err })
		if i%10 == 9 { // let some wait, and not all
			if err := <-answers; err != nil {
				return err
			}
		}
	}
	for range seamBatches - seamBatches/10 {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}

// follow reads a partition from its beginning, in pages of any size, until it has seen up to the offset end. Nothing may be left out, or come twice.
func (f *fixture) follow(p store.Partition, seed uint64, end uint64) error {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // what failed must be repeatable
	last := map[string]string{}
	for next := uint64(0); next < end; {
		if err := f.s.Wait(f.ctx, at(p, next)); err != nil {
			return fmt.Errorf("waiting for %d: %w", next, err)
		}
		page, err := f.s.Read(f.ctx, at(p, next), store.ReadOptions{Records: 1 + random.IntN(50), Bytes: 1 + random.IntN(20000)})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return fmt.Errorf("no record at %d, though Wait says that there is one", next)
		}
		for _, r := range page {
			if r.Offset != next {
				return fmt.Errorf("offset %d where %d is due", r.Offset, next)
			}
			name, _, _ := strings.Cut(string(r.Event.Data), " ")
			writer, _, _ := strings.Cut(name, "/")
			if err := follows(last[writer], name); err != nil {
				return fmt.Errorf("at %d: %w", r.Offset, err)
			}
			last[writer] = name
			next++
		}
	}
	return nil
}

// follows checks that a writer's records come in the order in which it wrote them.
func follows(last, name string) error {
	var writer, batch, i, n, j int
	if _, err := fmt.Sscanf(name, "%d/%d/%d", &writer, &batch, &i); err != nil {
		return err
	}
	if last == "" {
		n, j = 0, -1
	} else if _, err := fmt.Sscanf(last, "%d/%d/%d", &writer, &n, &j); err != nil {
		return err
	}
	if j+1 == 1+(writer+n)%5 {
		n, j = n+1, -1
	}
	if batch != n || i != j+1 {
		return fmt.Errorf("record %q follows %q of the same writer", name, last)
	}
	return nil
}

func seamTotal() (n uint64) {
	for writer := range seamWriters {
		for i := range seamBatches {
			n += uint64(1 + (writer+i)%5)
		}
	}
	return n
}

func checkReadWhileAppending(f *fixture) {
	p := part("a", 0)
	var written atomic.Uint64
	f.together(seamWriters+seamReaders, func(i int) error {
		if i < seamWriters {
			return f.writeSeam(p, i, &written)
		}
		return f.follow(p, uint64(i), seamTotal())
	})
	equal(f, "records written", written.Load(), seamTotal())
	f.both(func() { f.ok(f.follow(p, 99, seamTotal())) })
}

// checkReadWhileTrimming has readers that may miss what was trimmed, and nothing else.
func checkReadWhileTrimming(f *fixture) {
	p := part("a", 0)
	var written atomic.Uint64
	ctx, stop := context.WithCancel(f.ctx)
	defer stop()
	f.together(seamWriters+seamReaders, func(i int) error {
		if i == 0 {
			defer stop()
			return f.trimBehind(p)
		}
		if i < seamWriters {
			return f.writeSeam(p, i, &written)
		}
		err := f.followTrimmed(ctx, p)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	b := f.bounds(p)
	equal(f, "records left", uint64(len(f.read(p, 0, store.ReadOptions{}))), b.Next-b.First)
}

// trimBehind trims the older half of what there is, until all is written.
func (f *fixture) trimBehind(p store.Partition) error {
	total := seamTotal()
	for i := range seamBatches {
		total -= uint64(1 + i%5) // writer 0 trims instead
	}
	for {
		b, err := f.s.Bounds(f.ctx, p)
		if err != nil {
			return err
		}
		if err := store.Commit(f.ctx, f.s, &store.Batch{Trims: []store.Position{at(p, (b.First+b.Next)/2)}}); err != nil {
			return err
		}
		if b.Next == total {
			return nil
		}
	}
}

func (f *fixture) followTrimmed(ctx context.Context, p store.Partition) error {
	for next := uint64(0); ; {
		if err := f.s.Wait(ctx, at(p, next)); err != nil {
			return err
		}
		page, err := f.s.Read(ctx, at(p, next), store.ReadOptions{Records: 20})
		if err != nil {
			return err
		}
		for _, r := range page {
			if r.Offset < next {
				return fmt.Errorf("offset %d where %d is due", r.Offset, next)
			}
			if r.Offset > next {
				b, err := f.s.Bounds(ctx, p)
				if err != nil {
					return err
				}
				if b.First < r.Offset {
					return fmt.Errorf("offset %d where %d is due, and the partition begins at %d", r.Offset, next, b.First)
				}
			}
			next = r.Offset + 1
		}
	}
}

// checkReadOldAndNew reopens, so that what was there is old, and reads while more is appended.
func checkReadOldAndNew(f *fixture) {
	p := part("a", 0)
	f.add(p, numbered("old", 100)...)
	f.reopen()
	f.together(2, func(i int) error {
		if i == 0 {
			for j := range 100 {
				if err := store.Commit(f.ctx, f.s, &store.Batch{Appends: appends(p, fmt.Sprint("new", j))}); err != nil {
					return err
				}
			}
			return nil
		}
		var got []string
		for len(got) < 200 {
			more, err := readAll(f.ctx, f.s, p, uint64(len(got)), store.ReadOptions{Records: 7})
			if err != nil {
				return err
			}
			got = append(got, textsOf(more)...)
			if err := f.s.Wait(f.ctx, at(p, uint64(min(len(got), 199)))); err != nil {
				return err
			}
		}
		if want := append(numbered("old", 100), numbered("new", 100)...); !slices.Equal(got, want) {
			return fmt.Errorf("read %v", got)
		}
		return nil
	})
}
