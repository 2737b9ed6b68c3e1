package xstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

var creating = xstream.Options{Create: true}

func bs(texts ...string) (out [][]byte) {
	for _, t := range texts {
		out = append(out, []byte(t))
	}
	return out
}

// TestFields takes fields through an event and back.
func TestFields(t *testing.T) {
	n := start(t, memstore.Options{}, creating)
	for i, fields := range [][]string{
		{"data", "x"}, {"data", ""}, {"data", "\xff\x00"}, {"f", "v"}, {"", ""}, {"f", "1", "f", "2"}, {"a", "1", "b", "2", "c", "3"}, {"\xfe", "v"}, {"f", "\xc3\x28"},
		{"ä", "€😀"}, {"q\"\\", "\t\r\n\x00\x7f</"}, {"data", "1", "data", "2"}, {"data", "1", "b", "2"},
	} {
		key := fmt.Sprintf("k%d", i)
		n.mustAdd(key, "*", fields...)
		_, err := n.set.Range(t.Context(), []byte(key), xstream.Range{End: xstream.MaxID, Count: -1}, func(e xstream.Entry) bool {
			if got := xstream.Fields(e.Event); !slices.EqualFunc(got, fields, func(a []byte, b string) bool { return string(a) == b }) {
				t.Errorf("%q came back as %q from %q", fields, got, e.Event.Data)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignFields are those of events that other doors have published, and of events that only claim to be entries.
func TestForeignFields(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	e := &event.Event{Subject: "s", Key: "k", Time: at, Data: []byte("x"), Headers: []event.Header{{Name: "a", Value: "1"}, {Name: xstream.HeaderEntry, Value: "json"}}}
	got := bytes.Join(xstream.Fields(e), []byte("|"))
	want := "data|x|id|" + e.ID.String() + "|time|2026-01-02T03:04:05.000006Z|key|k|header:a|1|header:redis-entry|json"
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestForwarded publishes an entry with an ID of its own elsewhere, headers and all, as a handler may do: the ID means nothing there.
func TestForwarded(t *testing.T) {
	n := start(t, memstore.Options{}, creating)
	n.mustAdd("to", "*", "f", "1")
	n.mustAdd("from", "1-1", "f", "2")
	var forwarded event.Event
	_, err := n.set.Range(t.Context(), []byte("from"), xstream.Range{End: xstream.MaxID, Count: -1}, func(e xstream.Entry) bool {
		forwarded = *e.Event
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	forwarded.Subject, forwarded.ID = "to", event.ID{}
	if _, err := n.bus.Publish(t.Context(), &forwarded); err != nil {
		t.Fatal(err)
	}
	ids, values := n.all("to", false)
	if values != "1 2" || !ids[0].Less(ids[1]) {
		t.Errorf("%s: %v", values, ids)
	}
}

// FuzzFields reads events that anybody may have written.
func FuzzFields(f *testing.F) {
	f.Add("json", []byte(`{"a":"b","c":"\u0001\"\\"}`))
	f.Add("binary", []byte("\x01a\x01b"))
	f.Add("json", []byte(`{"a":"\u00`))
	f.Add("data", []byte{})
	f.Fuzz(func(t *testing.T, how string, data []byte) {
		fields := xstream.Fields(&event.Event{Data: data, Headers: []event.Header{{Name: xstream.HeaderEntry, Value: how}}})
		if len(fields) == 0 || len(fields)%2 != 0 {
			t.Errorf("%d fields", len(fields))
		}
	})
}

// TestIDsOfOtherDoors mixes entries and events: IDs only grow, and are the same after a crash.
func TestIDsOfOtherDoors(t *testing.T) {
	for _, shared := range []bool{false, true} {
		n := start(t, memstore.Options{}, creating)
		if shared {
			n.capture(stream.Config{Name: "all", Subjects: []string{"k", "other/#"}, Partitions: 1})
		}
		n.mustAdd("k", "*", "f", "1")
		n.publish("k", "2")
		if shared {
			n.publish("other/x", "no")
		}
		n.mustAdd("k", "*", "f", "3")
		future := fmt.Sprintf("%d-7", time.Now().Add(time.Hour).UnixMilli())
		n.mustAdd("k", future, "f", "4")
		n.publish("k", "5")
		n.publish("k", "6")
		if got, last := n.mustAdd("k", "*", "f", "7"), partial(future).ID; got != (xstream.ID{Ms: last.Ms, Seq: last.Seq + 3}) {
			t.Errorf("after two events behind %s comes %s", future, got)
		}
		n.publish("k", "8")
		ids, values := n.all("k", false)
		if values != "1 2 3 4 5 6 7 8" || !slices.IsSortedFunc(ids, xstream.ID.Compare) || len(slices.Compact(ids)) != 8 {
			t.Errorf("%s: %v", values, ids)
		}
		before := n.state("k")
		n.crash()
		if after := n.state("k"); after != before {
			t.Errorf("after the crash\n%s, before\n%s", after, before)
		}
		for _, id := range ids {
			found := 0
			_, err := n.set.Range(t.Context(), []byte("k"), xstream.Range{Start: id, End: id, Count: -1}, func(xstream.Entry) bool { found++; return true })
			if err != nil || found != 1 {
				t.Errorf("%s is there %d times, %v", id, found, err)
			}
		}
		back, _ := n.all("k", true)
		slices.Reverse(back)
		if !slices.Equal(back, ids) {
			t.Errorf("backwards %v, forwards %v", back, ids)
		}
	}
}

// TestShared has keys in one partition with many others.
func TestShared(t *testing.T) {
	n := start(t, memstore.Options{}, xstream.Options{})
	n.capture(stream.Config{Name: "all", Subjects: []string{"s/#"}, Partitions: 2})
	for i := range 300 {
		n.mustAdd(fmt.Sprintf("s/%d", i%10), "*", "f", fmt.Sprint(i))
	}
	if got := n.length("s/3"); got != 30 {
		t.Errorf("%d entries", got)
	}
	if _, err := n.set.Trim(t.Context(), []byte("s/3"), xstream.Trim{By: xstream.TrimMaxLen, Len: 5}); err != nil {
		t.Fatal(err)
	}
	ids, values := n.all("s/3", false)
	if values != "253 263 273 283 293" || n.length("s/3") != 5 || n.length("s/4") != 30 {
		t.Errorf("%s, %d, %d", values, n.length("s/3"), n.length("s/4"))
	}
	if got, err := n.set.Delete(t.Context(), []byte("s/3"), []xstream.ID{ids[1], ids[1], {Ms: 1}}); got != 1 || err != nil {
		t.Errorf("deleted %d, %v", got, err)
	}
	before := n.state("s/3")
	n.crash()
	if after := n.state("s/3"); after != before || n.length("s/3") != 4 {
		t.Errorf("after the crash\n%s, before\n%s", after, before)
	}
	if was, err := n.set.Drop(t.Context(), []byte("s/3")); !was || err != nil {
		t.Error(was, err)
	}
	if n.length("s/3") != 0 || n.length("s/4") != 30 {
		t.Error("dropping one key changed others, or left something")
	}
	n.crash()
	n.mustAdd("s/3", "1-1")
	if got := n.state("s/3"); n.length("s/3") != 1 {
		t.Error(got)
	}
	if _, err := n.add("elsewhere", "*", xstream.AddArgs{}); err == nil {
		t.Error("a stream was made although that is not allowed")
	}
}

// TestRetention removes entries of a shared partition behind our back.
func TestRetention(t *testing.T) {
	n := start(t, memstore.Options{}, xstream.Options{})
	n.capture(stream.Config{Name: "all", Subjects: []string{"s/#"}, Partitions: 1, MaxEvents: 4})
	for i := range 10 {
		n.mustAdd(fmt.Sprintf("s/%d", i%2), "*", "f", fmt.Sprint(i))
	}
	if n.length("s/0") != 5 {
		t.Error(n.length("s/0"))
	}
	if err := n.log.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, values := n.all("s/0", false); n.length("s/0") != 2 || values != "6 8" {
		t.Errorf("%d: %s", n.length("s/0"), values)
	}
}

// TestPromiseGroupsSurvive does random things to groups, crashes in between, and finds everything as it was acknowledged.
func TestPromiseGroupsSurvive(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := start(t, memstore.Options{}, creating)
		key := []byte("k")
		for range 300 {
			randomChange(t, n, r, key)
			if r.IntN(10) == 0 {
				before := n.state("k")
				n.crash()
				if after := n.state("k"); after != before {
					t.Fatalf("seed %d: after the crash\n%s\nbefore\n%s", seed, after, before)
				}
			}
		}
	}
}

func randomChange(t *testing.T, n *node, r *rand.Rand, key []byte) {
	t.Helper()
	ctx, set := t.Context(), n.set
	pick := func(of ...string) []byte { return []byte(of[r.IntN(len(of))]) }
	group, consumer := pick("g", "h"), pick("x", "y")
	ids, _ := n.all("k", false)
	ids = append(ids, xstream.ID{Ms: 1})
	id := ids[r.IntN(len(ids))]
	var err error
	switch r.IntN(14) {
	case 0:
		err = set.CreateGroup(ctx, key, group, xstream.Place{ID: id, End: r.IntN(2) == 0}, xstream.UnknownRead, true)
	case 1, 2, 3:
		_, err = set.Deliver(ctx, key, xstream.Delivery{Group: group, Consumer: consumer, New: r.IntN(4) > 0, Count: int64(r.IntN(4)), Bytes: 1 << 20, NoAck: r.IntN(5) == 0})
	case 4:
		_, err = set.Ack(ctx, key, group, []xstream.ID{id, id})
	case 5:
		_, err = set.Claim(ctx, key, xstream.Claim{Group: group, Consumer: consumer, IDs: []xstream.ID{id, id}, Force: true, At: xstream.ClaimNow, Count: -1})
	case 6:
		_, _, _, err = set.AutoClaim(ctx, key, xstream.AutoClaim{Group: group, Consumer: consumer, Count: 3})
	case 7:
		_, err = set.Delete(ctx, key, []xstream.ID{id, id})
	case 8:
		_, err = set.Trim(ctx, key, xstream.Trim{By: xstream.TrimMaxLen, Len: int64(r.IntN(8))})
	case 9:
		_, err = set.DropConsumer(ctx, key, group, consumer)
	case 10:
		if r.IntN(5) == 0 {
			_, err = set.DestroyGroup(ctx, key, group)
		}
	case 11:
		n.mustAdd("k", fmt.Sprintf("%d-*", time.Now().UnixMilli()))
	default:
		n.mustAdd("k", "*")
	}
	var refused xstream.Error
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
}

// TestFailedCommit goes on with what is in the store when a change could not be stored.
func TestFailedCommit(t *testing.T) {
	var full atomic.Bool
	n := start(t, memstore.Options{BeforeCommit: func(*store.Batch) error {
		if full.Load() {
			return store.ErrFull
		}
		return nil
	}}, creating)
	n.mustAdd("k", "1-1")
	n.mustAdd("k", "1-2")
	if err := n.set.CreateGroup(t.Context(), []byte("k"), []byte("g"), xstream.Place{}, 0, false); err != nil {
		t.Fatal(err)
	}
	before := n.state("k")
	full.Store(true)
	if _, err := n.add("k", "1-3", xstream.AddArgs{}); !xstream.StoreError(err) {
		t.Error(err)
	}
	if _, err := n.set.Deliver(t.Context(), []byte("k"), xstream.Delivery{Group: []byte("g"), Consumer: []byte("x"), New: true, Bytes: 1 << 20}); !xstream.StoreError(err) {
		t.Error(err)
	}
	if _, err := n.set.Delete(t.Context(), []byte("k"), []xstream.ID{{Ms: 1, Seq: 1}}); !xstream.StoreError(err) {
		t.Error(err)
	}
	full.Store(false)
	if after := n.state("k"); after != before {
		t.Errorf("after the failures\n%s, before\n%s", after, before)
	}
	n.mustAdd("k", "1-3")
}

// TestConcurrent adds from many sides, with IDs of either kind and with MAXLEN; nothing is lost, and IDs only grow.
func TestConcurrent(t *testing.T) {
	n := start(t, memstore.Options{}, creating)
	n.mustAdd("k", "*") // so that what is published is captured
	future := time.Now().Add(time.Hour).UnixMilli()
	var lost atomic.Int64 // IDs that were asked for, and were too small by the time they were stored
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				switch {
				case i == 0 && j%10 == 0:
					n.publish("k", "x")
				case i == 1:
					if _, err := n.add("k", fmt.Sprintf("%d-*", future+int64(j)), xstream.AddArgs{}); err == xstream.ErrSmaller {
						lost.Add(1)
					} else if err != nil {
						t.Error(err)
					}
				default:
					n.mustAdd("k", "*")
				}
				if _, err := n.add("short", "*", xstream.AddArgs{Trim: xstream.Trim{By: xstream.TrimMaxLen, Len: 10}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ids, _ := n.all("k", false)
	want := 801 - int(lost.Load())
	if n.length("k") != int64(want) || len(ids) != want || n.length("short") != 10 {
		t.Errorf("%d, %d, %d", n.length("k"), len(ids), n.length("short"))
	}
	if !slices.IsSortedFunc(ids, xstream.ID.Compare) || len(slices.Compact(slices.Clone(ids))) != want {
		t.Error("the IDs are not in order")
	}
}

// TestLimits is what one key can have.
func TestLimits(t *testing.T) {
	o := creating
	o.Limits = xstream.Limits{Keys: 4, Groups: 2, Consumers: 2, Pending: 3, NameLength: 8, KeyLength: 20, Blocked: 1}
	n := start(t, memstore.Options{}, o)
	ctx, k := t.Context(), []byte("k")
	for i := range 5 {
		n.mustAdd("k", fmt.Sprintf("1-%d", i+1))
	}
	for i := range 20 { // more than are kept in memory
		n.mustAdd(fmt.Sprintf("other%d", i), "*")
	}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s was allowed", what)
		}
	}
	for _, g := range []string{"a", "b"} {
		if err := n.set.CreateGroup(ctx, k, []byte(g), xstream.Place{}, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	refused("a third group", n.set.CreateGroup(ctx, k, []byte("c"), xstream.Place{}, 0, false))
	refused("a long name", n.set.CreateGroup(ctx, k, []byte("123456789"), xstream.Place{}, 0, false))
	d := xstream.Delivery{Group: []byte("a"), Consumer: []byte("x"), New: true, Bytes: 1 << 20}
	if got, err := n.set.Deliver(ctx, k, d); len(got) != 3 || err != nil {
		t.Errorf("%d entries, %v", len(got), err)
	}
	_, err := n.set.Deliver(ctx, k, d)
	refused("a fourth pending entry", err)
	_, err = n.set.CreateConsumer(ctx, k, []byte("a"), []byte("y"))
	if err != nil {
		t.Error(err)
	}
	_, err = n.set.CreateConsumer(ctx, k, []byte("a"), []byte("z"))
	refused("a third consumer", err)
	_, err = n.add("this key is much too long", "*", xstream.AddArgs{})
	refused("a long key", err)
	w, err := n.set.Watch(bs("k"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.set.Watch(bs("k"))
	refused("a second waiting client", err)
	w.Close()
}
