package xstream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// counting is a store that counts the records which are read, and can be held up.
type counting struct {
	store.Store
	records atomic.Int64
	before  atomic.Pointer[func(ctx context.Context)]
}

func (c *counting) Read(ctx context.Context, at store.Position, o store.ReadOptions) ([]store.Record, error) {
	if fn := c.before.Load(); fn != nil {
		(*fn)(ctx)
	}
	records, err := c.Store.Read(ctx, at, o)
	c.records.Add(int64(len(records)))
	return records, err
}

// counted starts a node whose reads are counted.
func counted(t testing.TB, o xstream.Options) (*node, *counting) {
	t.Helper()
	c := &counting{}
	n := start(t, memstore.Options{}, o)
	n.wrap = func(s store.Store) store.Store { c.Store = s; return c }
	n.open()
	return n, c
}

// fill publishes to many subjects in turn.
func (n *node) fill(subjects, events int) {
	n.t.Helper()
	const most = 1000
	var done sync.WaitGroup
	for from := 0; from < events; from += most {
		var batch []*event.Event
		for i := from; i < min(events, from+most); i++ {
			batch = append(batch, &event.Event{Subject: fmt.Sprintf("s/%d", i%subjects), Data: []byte(fmt.Sprint(i))})
		}
		done.Add(1)
		b := &store.Batch{}
		for _, e := range batch {
			if err := n.bus.Prepare(e); err != nil {
				n.t.Fatal(err)
			}
			if _, _, err := n.log.Add(b, e); err != nil {
				n.t.Fatal(err)
			}
		}
		n.store.Submit(b, func(err error) {
			if err != nil {
				n.t.Error(err)
			}
			done.Done()
		})
	}
	done.Wait()
}

// TestFirstUse opens a thousand keys of a partition that many share, beside each other: all of them together read it once, and a few
// records each. Keys that are not there read nothing.
func TestFirstUse(t *testing.T) {
	const subjects, events = 1000, 50_000
	n, c := counted(t, xstream.Options{})
	n.capture(stream.Config{Name: "all", Subjects: []string{"s/#"}, Partitions: 1})
	n.fill(subjects, events)
	var wg sync.WaitGroup
	for from := range 8 {
		wg.Go(func() {
			for i := from; i < subjects; i += 8 {
				if got := n.length(fmt.Sprintf("s/%d", i)); got != events/subjects {
					t.Errorf("%d: %d entries", i, got)
				}
			}
		})
	}
	wg.Wait()
	if read, most := c.records.Load(), int64(events*11/10+3*subjects); read > most {
		t.Errorf("%d records were read, more than %d", read, most)
	}
	c.records.Store(0)
	for i := range subjects {
		if is, err := n.set.Exists(t.Context(), fmt.Appendf(nil, "s/none/%d", i)); is || err != nil {
			t.Fatal(is, err)
		}
	}
	if read := c.records.Load(); read > 0 {
		t.Errorf("%d records were read for keys that are not there", read)
	}
	ids, _ := n.all("s/7", false)
	if read := c.records.Load(); len(ids) != events/subjects || read > 2*int64(len(ids)) {
		t.Errorf("%d records were read for %d entries", read, len(ids))
	}
	if left := must(n.store.Scan(t.Context(), "redis/", "", 10))(t); len(left) > 0 {
		t.Errorf("reading has stored %q", left[0].Key)
	}
}

// TestFirstUseYields has somebody wait for a long first use, and somebody else not: other keys are served meanwhile, and the context ends it.
func TestFirstUseYields(t *testing.T) {
	n, c := counted(t, creating)
	n.capture(stream.Config{Name: "all", Subjects: []string{"s/#"}, Partitions: 1})
	n.fill(10, 5000)
	ctx, cancel := context.WithCancel(t.Context())
	arrived := make(chan struct{}, 5000)
	held := func(ctx context.Context) { arrived <- struct{}{}; <-ctx.Done() }
	c.before.Store(&held)
	failed := make(chan error)
	const many = 50
	for i := range many {
		go func() {
			_, err := n.set.Len(ctx, fmt.Appendf(nil, "s/%d", i))
			failed <- err
		}()
	}
	<-arrived
	c.before.Store(nil)
	n.mustAdd("own", "*")
	if n.length("own") != 1 {
		t.Error("another key was not served")
	}
	cancel()
	for range many {
		if err := <-failed; err == nil {
			t.Error("a scan went on without its client")
		}
	}
	if n.length("s/1") != 500 {
		t.Error("what was broken off is not made up for")
	}
}

// TestSharedModel compares a key of a shared partition with all that the partition holds, through removals, retention, given IDs and crashes,
// with an index that has room for two blocks.
func TestSharedModel(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		o := xstream.Options{Limits: xstream.Limits{Index: 2, Keys: 3}}
		n := start(t, memstore.Options{}, o)
		c := stream.Config{Name: "all", Subjects: []string{"s/#"}, Partitions: 1}
		if seed%2 == 1 {
			c.MaxEvents = 5000
		}
		n.capture(c)
		n.fill(7, 3000+r.IntN(2000))
		for range 60 {
			key := fmt.Sprintf("s/%d", r.IntN(7))
			sharedChange(t, n, r, key)
			wantShared(t, n, seed, key)
		}
	}
}

func sharedChange(t *testing.T, n *node, r *rand.Rand, key string) {
	t.Helper()
	ids, _ := n.all(key, false)
	var err error
	switch r.IntN(9) {
	case 0:
		n.fill(7, 1+r.IntN(900))
	case 1:
		_, err = n.set.Delete(t.Context(), []byte(key), ids[:min(len(ids), r.IntN(4))])
	case 2:
		_, err = n.set.Trim(t.Context(), []byte(key), xstream.Trim{By: xstream.TrimMaxLen, Len: int64(r.IntN(len(ids) + 1))})
	case 3:
		n.crash()
	case 4:
		err = n.log.Retain(t.Context())
	case 5:
		_, err = n.add(key, fmt.Sprintf("%d-%d", time.Now().Add(time.Minute).UnixMilli(), r.IntN(1000)), xstream.AddArgs{})
		if err == xstream.ErrSmaller {
			err = nil
		}
	case 6:
		_, err = n.add(key, "*", xstream.AddArgs{Trim: xstream.Trim{By: xstream.TrimMaxLen, Len: int64(len(ids))}})
	case 7:
		_, err = n.set.Drop(t.Context(), []byte(key))
	default:
		n.mustAdd(key, "*")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantShared(t *testing.T, n *node, seed uint64, key string) {
	t.Helper()
	var want []string
	for at := uint64(0); ; {
		records, err := n.store.Read(t.Context(), store.Position{Partition: store.Partition{Stream: "all"}, Offset: at}, store.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, rec := range records {
			if rec.Event.Subject == key {
				want = append(want, string(xstream.Fields(rec.Event)[1]))
			}
			at = rec.Offset + 1
		}
	}
	ids, values := n.all(key, false)
	if values != strings.Join(want, " ") || n.length(key) != int64(len(want)) {
		t.Fatalf("seed %d, %s: %d entries, length %d; the partition has %d", seed, key, len(ids), n.length(key), len(want))
	}
	if !slices.IsSortedFunc(ids, xstream.ID.Compare) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Fatalf("seed %d, %s: IDs are not in order: %v", seed, key, ids)
	}
	back, _ := n.all(key, true)
	if slices.Reverse(back); !slices.Equal(back, ids) {
		t.Fatalf("seed %d, %s: %d entries backward, %d forward", seed, key, len(back), len(ids))
	}
	for _, id := range ids[max(0, len(ids)-3):] {
		found := 0
		_, err := n.set.Range(t.Context(), []byte(key), xstream.Range{Start: id, End: id, Count: -1}, func(xstream.Entry) bool { found++; return true })
		if found != 1 || err != nil {
			t.Fatalf("seed %d, %s: %v is there %d times, %v", seed, key, id, found, err)
		}
	}
}

// TestBackwardBytes reads a stream of large entries backward without holding many of them: each read asks for few.
func TestBackwardBytes(t *testing.T) {
	const large, many = 1 << 20, 64
	n, c := counted(t, creating)
	for range many {
		n.mustAdd("k", "*", "data", strings.Repeat("x", large))
	}
	c.records.Store(0)
	got, mostly := 0, int64(0)
	_, err := n.set.Range(t.Context(), []byte("k"), xstream.Range{End: xstream.MaxID, Count: -1, Reverse: true}, func(xstream.Entry) bool {
		got++
		mostly = max(mostly, c.records.Load()-int64(got))
		return got < many/2
	})
	if err != nil || got != many/2 {
		t.Errorf("%d entries, %v", got, err)
	}
	if read := c.records.Load(); read > 3*many {
		t.Errorf("%d records were read for %d entries", read, got)
	}
}

// BenchmarkFirstUse opens keys of a partition of 100 000 records that 1000 subjects share, none of them twice, once it is known where they are.
func BenchmarkFirstUse(b *testing.B) {
	n := start(b, memstore.Options{}, xstream.Options{Limits: xstream.Limits{Keys: 100}})
	n.capture(stream.Config{Name: "all", Subjects: []string{"s/#"}, Partitions: 1})
	n.fill(1000, 100_000)
	n.length("s/0")
	for i := 0; b.Loop(); i++ {
		n.length(fmt.Sprintf("s/%d", i%1000))
	}
}
