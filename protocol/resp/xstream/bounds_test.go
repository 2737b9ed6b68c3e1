package xstream_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// totals compares how much the groups hold, after what was submitted is committed.
func (n *node) totals(groups, consumers, pending int64) {
	n.t.Helper()
	if got, want := n.set.Totals(), (xstream.Totals{Groups: groups, Consumers: consumers, Pending: pending}); got != want {
		n.t.Errorf("counted are %+v, want %+v", got, want)
	}
}

func (n *node) group(key, group string) error {
	return n.set.CreateGroup(n.t.Context(), []byte(key), []byte(group), xstream.Place{}, 0, true)
}

func (n *node) deliver(key, group, consumer string, count int64) (int, error) {
	got, err := n.set.Deliver(n.t.Context(), []byte(key), xstream.Delivery{Group: []byte(group), Consumer: []byte(consumer), New: true, Count: count, Bytes: 1 << 20})
	return len(got), err
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused compares an error about a total.
func refused(t *testing.T, what string, err error, limit string) {
	t.Helper()
	var text xstream.Error
	if !errors.As(err, &text) || !strings.HasPrefix(string(text), "ERR the server holds "+limit) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestTotals reaches what all keys together may have, by every way in, and comes back to nothing by every way out.
func TestTotals(t *testing.T) {
	o := creating
	o.Limits = xstream.Limits{TotalGroups: 3, TotalConsumers: 3, TotalPending: 5, Keys: 2}
	n := start(t, memstore.Options{}, o)
	fillTotals(t, n)
	n.crash()
	if n.length("a") != 3 {
		t.Error(n.length("a"))
	}
	n.totals(3, 3, 5)
	refused(t, "a fourth group after a crash", n.group("a", "h"), "3 consumer groups")
	emptyTotals(t, n)
}

func fillTotals(t *testing.T, n *node) {
	t.Helper()
	for _, key := range []string{"a", "b", "c"} { // one more than are kept in memory
		for range 3 {
			n.mustAdd(key, "*")
		}
		if err := n.group(key, "g"); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	refused(t, "a fourth group", n.group("a", "h"), "3 consumer groups")
	for _, key := range []string{"a", "b"} {
		if got := must(n.deliver(key, "g", "x", 2))(t); got != 2 {
			t.Errorf("%d entries for %s", got, key)
		}
	}
	n.totals(3, 2, 4)
	if got := must(n.deliver("c", "g", "x", 0))(t); got != 1 {
		t.Errorf("%d entries in the last room", got)
	}
	n.totals(3, 3, 5)
	_, err := n.deliver("c", "g", "x", 0)
	refused(t, "a sixth pending entry", err, "5 pending entries")
	_, err = n.deliver("a", "g", "y", 0)
	refused(t, "a fourth consumer", err, "3 consumers")
	_, err = n.set.CreateConsumer(ctx, []byte("a"), []byte("g"), []byte("y"))
	refused(t, "a fourth consumer", err, "3 consumers")
	ids, _ := n.all("c", false)
	_, err = n.set.Claim(ctx, []byte("c"), xstream.Claim{Group: []byte("g"), Consumer: []byte("x"), IDs: ids[2:], Force: true, At: xstream.ClaimNow, Count: -1})
	refused(t, "a sixth pending entry by force", err, "5 pending entries")
	n.totals(3, 3, 5)
}

func emptyTotals(t *testing.T, n *node) {
	t.Helper()
	ctx := t.Context()
	ids, _ := n.all("a", false)
	if acked := must(n.set.Ack(ctx, []byte("a"), []byte("g"), ids[:1]))(t); acked != 1 {
		t.Error(acked)
	}
	n.totals(3, 3, 4)
	must(n.set.Delete(ctx, []byte("a"), ids[1:2]))(t)
	_, _, gone, err := n.set.AutoClaim(ctx, []byte("a"), xstream.AutoClaim{Group: []byte("g"), Consumer: []byte("x"), Count: 9})
	if len(gone) != 1 || err != nil {
		t.Errorf("%v are gone, %v", gone, err)
	}
	n.totals(3, 3, 3)
	must(n.set.DropConsumer(ctx, []byte("a"), []byte("g"), []byte("x")))(t)
	n.totals(3, 2, 3)
	must(n.set.DestroyGroup(ctx, []byte("b"), []byte("g")))(t)
	n.totals(2, 1, 1)
	must(n.set.Drop(ctx, []byte("a")))(t)
	n.totals(1, 1, 1)
	if err := n.log.Remove(ctx, "c", false); err != nil {
		t.Fatal(err)
	}
	n.totals(0, 0, 0)
	n.crash()
	n.mustAdd("a", "*")
	n.totals(0, 0, 0)
}

// TestTotalsOfFailures counts what was not stored, and what was not removed, as the store has it.
func TestTotalsOfFailures(t *testing.T) {
	var full atomic.Bool
	n := start(t, memstore.Options{BeforeCommit: func(*store.Batch) error {
		if full.Load() {
			return store.ErrFull
		}
		return nil
	}}, creating)
	for range 4 {
		n.mustAdd("k", "*")
	}
	if err := n.group("k", "g"); err != nil {
		t.Fatal(err)
	}
	must(n.deliver("k", "g", "x", 2))(t)
	n.totals(1, 1, 2)
	full.Store(true)
	failing := func(err error) {
		t.Helper()
		if !xstream.StoreError(err) {
			t.Error(err)
		}
	}
	failing(n.group("k", "h"))
	_, err := n.deliver("k", "g", "y", 2)
	failing(err)
	n.totals(1, 1, 2)
	_, err = n.set.DestroyGroup(t.Context(), []byte("k"), []byte("g"))
	failing(err)
	full.Store(false)
	n.totals(1, 1, 2)
	must(n.set.DestroyGroup(t.Context(), []byte("k"), []byte("g")))(t)
	n.totals(0, 0, 0)
}

// TestWatched bounds the keys that all clients which wait have together.
func TestWatched(t *testing.T) {
	o := creating
	o.Limits = xstream.Limits{Watched: 5, Keys: 2}
	n := start(t, memstore.Options{}, o)
	first := must(n.set.Watch(bs("a", "b", "c")))(t)
	if _, err := n.set.Watch(bs("a", "b", "c")); err == nil || !strings.Contains(err.Error(), "clients wait for entries of 3 keys, and no more than 5") {
		t.Error(err)
	}
	second := must(n.set.Watch(bs("a", "d")))(t)
	first.Close()
	second.Close()
	must(n.set.Watch(bs("a", "b", "c", "d", "e")))(t).Close()
	if n.set.Waiting() != 0 {
		t.Error(n.set.Waiting())
	}
}

// TestPromiseRemovedStream has a stream removed and made again under keys that are in memory: nothing of the old one is left.
func TestPromiseRemovedStream(t *testing.T) {
	for _, shared := range []bool{false, true} {
		for _, crash := range []bool{false, true} {
			n := start(t, memstore.Options{}, creating)
			c := stream.Config{Name: "k", Subjects: []string{"k"}, Partitions: 1}
			if shared {
				c.Subjects = append(c.Subjects, "other/#")
			}
			n.capture(c)
			for i := range 6 {
				n.mustAdd("k", fmt.Sprintf("9000000000000-%d", i+1)) // ahead of the clock, so that the last ID has to be kept
			}
			if err := n.group("k", "g"); err != nil {
				t.Fatal(err)
			}
			must(n.deliver("k", "g", "x", 4))(t)
			waits := must(n.set.Watch(bs("k")))(t)
			mark := must(waits.Mark(t.Context()))(t)
			if err := n.log.Remove(t.Context(), "k", false); err != nil {
				t.Fatal(err)
			}
			if err := waits.Wait(t.Context(), mark); err != nil {
				t.Error(err)
			}
			waits.Close()
			n.totals(0, 0, 0)
			n.capture(c)
			if crash {
				n.crash()
			}
			if is, err := n.set.Exists(t.Context(), []byte("k")); is || err != nil {
				t.Errorf("the key is there: %v, %v", is, err)
			}
			if id := n.mustAdd("k", "*"); id.Ms >= 9_000_000_000_000 || id.Seq != 0 {
				t.Errorf("the first entry is %v", id)
			}
			n.mustAdd("k", "*")
			if got, ids := n.state("k"), n.length("k"); ids != 2 || strings.Contains(got, "Groups:[{") || !strings.Contains(got, "Added:2") {
				t.Error(got)
			}
			n.mustAdd("after", "*") // what is left of the old one was deleted in passing
			left := must(n.store.Scan(t.Context(), "redis/", "", 100))(t)
			for _, e := range left {
				if strings.HasPrefix(e.Key, "redis/group/") || strings.HasPrefix(e.Key, "redis/pending/") || strings.HasPrefix(e.Key, "redis/consumer/") {
					t.Errorf("still stored: %q", e.Key)
				}
			}
		}
	}
}

// TestRemovedMeanwhile adds while the stream is removed and made again: what was acknowledged after it was made again is there.
func TestRemovedMeanwhile(t *testing.T) {
	n := start(t, memstore.Options{}, creating)
	var added atomic.Int64
	var adding sync.WaitGroup
	const many = 300
	adding.Go(func() {
		for added.Load() < many {
			if _, err := n.add("k", "*", xstream.AddArgs{Trim: xstream.Trim{By: xstream.TrimMaxLen, Len: 3}}); err == nil {
				added.Add(1)
			}
			_ = n.group("k", "g")
			_, _ = n.deliver("k", "g", "x", 2)
		}
	})
	for added.Load() < many {
		if err := n.log.Remove(t.Context(), "k", false); err != nil && !errors.Is(err, stream.ErrNotFound) {
			t.Error(err)
		}
	}
	adding.Wait()
	_ = n.log.Remove(t.Context(), "k", false)
	n.totals(0, 0, 0)
	id := n.mustAdd("k", "*")
	if ids, _ := n.all("k", false); len(ids) != 1 || ids[0] != id || n.length("k") != 1 {
		t.Errorf("%v, %d", ids, n.length("k"))
	}
}

// TestOldestStream keeps a key with the stream that was created first when another one captures it too.
func TestOldestStream(t *testing.T) {
	n := start(t, memstore.Options{}, creating)
	n.mustAdd("orders/7", "*", "f", "1")
	n.capture(stream.Config{Name: "all", Subjects: []string{"orders/#"}})
	n.mustAdd("orders/7", "*", "f", "2")
	n.mustAdd("orders/8", "*", "f", "3")
	for range 2 {
		if _, values := n.all("orders/7", false); values != "1 2" {
			t.Error(values)
		}
		if _, values := n.all("orders/8", false); values != "3" {
			t.Error(values)
		}
		n.crash()
	}
	if err := n.log.Remove(t.Context(), "orders/7", false); err != nil {
		t.Fatal(err)
	}
	if _, values := n.all("orders/7", false); values != "2" {
		t.Errorf("in the other stream: %s", values)
	}
}

// TestWidened lets a stream that was a key's own capture other subjects too, and back: the key has what it had.
func TestWidened(t *testing.T) {
	for _, stored := range []bool{false, true} {
		n := start(t, memstore.Options{}, creating)
		key := "orders/7"
		for i := range 5 {
			n.mustAdd(key, "*", "f", fmt.Sprint(i))
		}
		if stored {
			if err := n.group(key, "g"); err != nil {
				t.Fatal(err)
			}
		}
		for _, subjects := range [][]string{{"orders/#"}, {key}, {key, "other"}, {key}} {
			before := n.state(key)
			if _, err := n.log.Update(t.Context(), stream.Config{Name: key, Subjects: subjects}); err != nil {
				t.Fatal(err)
			}
			if after := n.state(key); after != before {
				t.Errorf("captured by %q:\n%s, before\n%s", subjects, after, before)
			}
			n.mustAdd(key, "*", "f", "more")
			if subjects[0] != key {
				n.publish("orders/8", "x")
				if err := n.set.CreateGroup(t.Context(), []byte(key), []byte("h"), xstream.Place{}, 0, false); err != nil {
					t.Fatal(err)
				}
				n.set.DestroyGroup(t.Context(), []byte(key), []byte("h"))
			}
		}
	}
}
