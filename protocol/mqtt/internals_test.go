package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// loose returns a broker that no client has.
func looseBroker(t *testing.T, c Config) *Broker {
	t.Helper()
	store := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = store.Close() })
	log, err := stream.Open(t.Context(), store, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(t.Context(), Options{Bus: bus.New(bus.Options{Log: log}), Config: c})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Identifiers that are counted leave out those in use and never are those of the log.
func TestWindowIdentifiers(t *testing.T) {
	var w window
	for n := range 3 * MaxInflight {
		id := w.nextID()
		if id <= logIDs || w.index(id) >= 0 {
			t.Fatalf("the %d-th identifier is %d: one of the log, or in use", n, id)
		}
		w.add(inflight{id: id, state: sentOnce})
		if n >= 10 {
			w.remove(w.entries[n%7].id)
		}
	}
	for _, offset := range []uint64{0, 1, logIDs - 1, logIDs, 1 << 60} {
		if id := idOf(offset); id == 0 || id > logIDs {
			t.Errorf("the message at %d has the identifier %d", offset, id)
		}
	}
}

// What is entered again keeps its place.
func TestWindowKeepsOrder(t *testing.T) {
	var w window
	for offset := range uint64(3) {
		w.add(inflight{offset: offset, id: idOf(offset), state: sentOnce, logged: true, unsent: true})
		w.entries[offset].unsent = true
	}
	w.unsent = 3
	if ids, places := w.nextUnsent(2); !slices.Equal(ids, []uint16{1, 2}) || !slices.Equal(places, []uint64{0, 1}) {
		t.Errorf("the next to send again are %v at %v", ids, places)
	}
	w.add(inflight{offset: 1, id: 2, state: sentOnce, logged: true})
	if got := []uint64{w.entries[0].offset, w.entries[1].offset, w.entries[2].offset}; w.unsent != 2 || w.len() != 1 || !slices.Equal(got, []uint64{0, 1, 2}) {
		t.Errorf("after one was sent again: %v, %d of them unsent", got, w.unsent)
	}
	if _, ok := w.remove(1); !ok || w.unsent != 1 {
		t.Errorf("an acknowledged one that was not sent again leaves %d unsent", w.unsent)
	}
}

// FuzzMarks reads marks, and writes what it has read.
func FuzzMarks(f *testing.F) {
	f.Add([]byte{3})
	f.Add([]byte{200, 1, 5, 1, 3, 3, 0, 2})
	f.Add([]byte{0, 129, 192, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &session{lasting: &lasting{}}
		if !s.decodeMarks(b) {
			return
		}
		again := &session{lasting: &lasting{}}
		if data := s.encodeMarks(); !again.decodeMarks(data) || again.lasting.next != s.lasting.next || len(again.window.entries) != len(s.window.entries) {
			t.Fatalf("%x is read as %+v, and written as %x", b, s.window, data)
		}
	})
}

func TestMarks(t *testing.T) {
	s := &session{lasting: &lasting{next: 300}}
	s.window.entries = []inflight{
		{offset: 7, id: 8, state: sentOnce, logged: true},
		{id: logIDs + 1, state: sentOnce},
		{id: logIDs + 2, state: sentTwice},
		{offset: 299, id: 300, state: stateReleased, logged: true},
	}
	again := &session{lasting: &lasting{}}
	if !again.decodeMarks(s.encodeMarks()) || again.lasting.next != 300 {
		t.Fatalf("the place is %d", again.lasting.next)
	}
	var got []string
	for _, e := range again.window.entries {
		got = append(got, fmt.Sprint(e.offset, e.id, e.state, e.logged))
	}
	slices.Sort(got)
	want := []string{fmt.Sprint(0, logIDs+2, stateReleased, false), fmt.Sprint(299, 300, stateReleased, true), fmt.Sprint(7, 8, sentOnce, true)}
	if !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func TestIDSet(t *testing.T) {
	var s idSet
	for _, id := range []uint16{5, 1, 65535, 5, 300} {
		s.add(id)
	}
	if got := s.all(); !slices.Equal(got, []uint16{1, 5, 300, 65535}) {
		t.Errorf("there are %v", got)
	}
	if s.remove(2) || !s.remove(300) || s.has(300) || s.len() != 3 {
		t.Errorf("after removing 300: %v", s.all())
	}
}

// Places are noted once, in order, while somebody reads them.
func TestBacklog(t *testing.T) {
	l := &backlog{floor: maxOffset}
	l.note(1, 10)
	if n, _ := l.waiting(0); n != 0 {
		t.Errorf("%d places are noted for nobody", n)
	}
	l.join()
	l.join()
	for _, offset := range []uint64{3, 5, 5, 4, 9} {
		l.note(offset, 10)
	}
	for _, c := range []struct {
		from  uint64
		most  int
		want  []uint64
		bytes uint64
	}{{0, 9, []uint64{3, 5, 9}, 30}, {4, 1, []uint64{5}, 20}, {5, 9, []uint64{5, 9}, 20}, {10, 9, nil, 0}} {
		if got := l.between(nil, c.from, ^uint64(0), c.most); !slices.Equal(got, c.want) {
			t.Errorf("from %d, %d at most: %v, want %v", c.from, c.most, got, c.want)
		}
		if _, bytes := l.waiting(c.from); bytes != c.bytes {
			t.Errorf("from %d: %d bytes, want %d", c.from, bytes, c.bytes)
		}
	}
	l.forget(5)
	l.leave()
	if got := l.between(nil, 0, ^uint64(0), 9); !slices.Equal(got, []uint64{5, 9}) {
		t.Errorf("after one of two has left: %v", got)
	}
	l.leave()
	if l.places != nil {
		t.Errorf("after both have left: %v", l.places)
	}
}

// Clients enter at the rate, in turn; too many, or for too long, do not wait.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission{every: 100 * time.Millisecond, burst: 200 * time.Millisecond, wait: time.Second, most: 5}
		begun := time.Now()
		results := make(chan string, 20)
		enter := func(gone bool) {
			err := a.enter(time.Now(), func() bool { return gone })
			results <- fmt.Sprintf("%v %v", time.Since(begun), err)
		}
		for range 9 {
			go enter(false)
			synctest.Wait()
		}
		<-time.After(101 * time.Millisecond)
		enter(true)
		<-time.After(time.Second)
		var got []string
		for range 10 {
			got = append(got, <-results)
		}
		slices.Sort(got)
		want := []string{
			"0s <nil>", "0s <nil>", "0s <nil>", "0s " + errBusy.Error(), "100ms <nil>", "200ms <nil>", "300ms <nil>", "351ms " + errGone.Error(), "400ms <nil>", "500ms <nil>",
		}
		if !slices.Equal(got, want) {
			t.Errorf("entered\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// What is due comes in order, of the same time as it was entered, and not if it was taken out.
func TestAgenda(t *testing.T) {
	now := time.Unix(1000, 0)
	b := &Broker{opts: Options{Clock: func() time.Time { return now }}}
	a := &b.agenda
	a.init(b)
	s := &session{}
	a.will("late", &will{}, 3*time.Second)
	a.will("first", &will{}, time.Second)
	a.will("second", &will{}, time.Second)
	a.will("gone", &will{}, time.Second)
	a.will("third", &will{}, 5*time.Second)
	a.will("third", &will{}, 2*time.Second) // in place of the other
	a.expire(s, time.Second)
	a.cancel(s)
	if a.takeWill("gone") == nil || a.takeWill("gone") != nil {
		t.Error("a will is taken once")
	}
	var got []string
	for range 5 {
		now = now.Add(time.Second)
		for d, _ := a.next(now); d != nil; d, _ = a.next(now) {
			if !a.take(d) || a.take(d) {
				t.Fatalf("the will of %s is not taken once", d.client)
			}
			got = append(got, d.client)
		}
	}
	if want := []string{"first", "second", "third", "late"}; !slices.Equal(got, want) {
		t.Errorf("due were %v, want %v", got, want)
	}
	if len(a.wills)+len(a.sessions)+len(a.items) != 0 {
		t.Errorf("%d wills, %d sessions and %d items are left", len(a.wills), len(a.sessions), len(a.items))
	}
}

func TestLiteralPrefix(t *testing.T) {
	for filter, want := range map[string]string{
		"#": "", "+": "", "+/a": "", "a/#": "a", "a/b/#": "a/b", "a/+/b": "a/", "a/b": "a/b", "a/b+": "a/b", "/#": "", "a/+": "a/",
	} {
		if got := literalPrefix(filter); got != want {
			t.Errorf("%q begins with %q, want %q", filter, got, want)
		}
	}
}

// FuzzRetained reads retained messages as they are stored, and reads what it has written.
func FuzzRetained(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeRetained(&event.Event{Subject: "a", Data: []byte("x"), Time: time.UnixMilli(5).UTC(), Headers: []event.Header{{Name: "n", Value: "v"}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeRetained("a", b)
		if err != nil {
			return
		}
		again, err := decodeRetained("a", encodeRetained(e))
		if err != nil || again.ID != e.ID || !again.Time.Equal(e.Time) || !slices.Equal(again.Headers, e.Headers) || string(again.Data) != string(e.Data) {
			t.Fatalf("%x is read as %+v, and after it was written as %+v (%v)", b, e, again, err)
		}
	})
}

// Which subscriptions of a session overlap is known while both are there, however many there are.
func TestSubscriptions(t *testing.T) {
	b := looseBroker(t, Config{})
	var l subscriptions
	put := func(text string) *subscription {
		t.Helper()
		sub, err := b.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		l.put(sub)
		return sub
	}
	others := func(sub *subscription) (texts []string) {
		for _, o := range sub.others() {
			texts = append(texts, o.text())
		}
		slices.Sort(texts)
		return texts
	}
	one := put("a/+")
	put("a/x")
	put("b/#")
	put("$share/g/a/+")
	all := put("#")
	if got := others(one); !slices.Equal(got, []string{"#", "a/x"}) {
		t.Errorf("a/+ overlaps %v", got)
	}
	for n := range 2 * fewSubscriptions {
		put(fmt.Sprint("c/", n))
	}
	if got := len(others(all)); got != 3+2*fewSubscriptions || l.len() != 5+2*fewSubscriptions {
		t.Errorf("# overlaps %d of %d", got, l.len())
	}
	put("a/x") // again
	if l.take("a/+") != one || l.take("a/+") != nil || l.get("a/+") != nil {
		t.Error("a/+ is taken once")
	}
	for n := range 2 * fewSubscriptions {
		if l.take(fmt.Sprint("c/", n)) == nil {
			t.Errorf("c/%d is not there", n)
		}
	}
	if got := others(all); !slices.Equal(got, []string{"a/x", "b/#"}) || l.get("$share/g/a/+") == nil || l.len() != 4 {
		t.Errorf("in the end # overlaps %v, of %d", got, l.len())
	}
}

// There is no share for somebody who was not let in: who only asks leaves nothing behind.
func TestShareIsRegisteredWhenJoined(t *testing.T) {
	b := looseBroker(t, Config{})
	sub, err := b.parse("$share/g/a/#")
	if err != nil || len(b.shares) != 0 {
		t.Fatalf("%d shares are there after parsing (%v)", len(b.shares), err)
	}
	first, second := b.newSession("first"), b.newSession("second")
	if err := b.joinShare(first, sub, 0); err != nil {
		t.Fatal(err)
	}
	again, _ := b.parse("$share/g/a/#")
	if err := b.joinShare(second, again, 0); err != nil || again.shared() != sub.shared() || len(b.shares) != 1 {
		t.Fatalf("two members, of %d shares (%v)", len(b.shares), err)
	}
	sub.shared().leave(first)
	if len(b.shares) != 1 {
		t.Error("the share is gone with a member left")
	}
	sub.shared().leave(second)
	sub.shared().leave(second)
	if len(b.shares) != 0 {
		t.Error("the share is there without a member")
	}
}

// What a share has handed out, and what was given back, is written and read: all of it is handed out again.
func TestShareMarks(t *testing.T) {
	sh := &share{next: 400, flight: map[uint64]struct{}{7: {}, 300: {}}, returned: []uint64{5, 8}}
	again := &share{}
	if !again.decode(sh.encode()) || again.next != 400 || !slices.Equal(again.returned, []uint64{5, 7, 8, 300}) {
		t.Errorf("read %d and %v", again.next, again.returned)
	}
	if again.decode(nil) || again.decode([]byte{1, 0x80}) {
		t.Error("what is cut off is read")
	}
}

// Nothing is left in the store of a session that was ended, and nothing waits for it in the log.
func TestEndLeavesNothing(t *testing.T) {
	a := newAway(t, Config{}, 1, "a")
	a.say("a", "waits")
	s := a.lookup(first)
	s.take(7, nil)
	a.agenda.will(first, &will{event: newEvent([]byte("gone"), nil, meta{}, nil, a.now)}, time.Hour)
	batch := &store.Batch{}
	for _, key := range []string{marksKey(first), inboundKey(first, 7), willKey(first)} {
		batch.Puts = append(batch.Puts, store.Put{Key: key, Data: []byte("x")})
	}
	if err := store.Commit(t.Context(), a.store, batch); err != nil {
		t.Fatal(err)
	}
	if err := a.End(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	entries, err := a.store.Scan(t.Context(), keyPrefix, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Key != saltKey {
			t.Errorf("%q is left", e.Key)
		}
	}
	a.sweep(t.Context())
	bounds, err := a.store.Bounds(t.Context(), theLog)
	if err != nil || bounds.Count != 0 || a.Stats().Wills != 1 {
		t.Errorf("%+v in the log, %d wills, %v", bounds, a.Stats().Wills, err)
	}
}

// A session is ended on a full disk too, which makes room; where that fails it says so, and one that cannot be removed at all is left as it is.
func TestEndOnABadDisk(t *testing.T) {
	errDisk := errors.New("the disk has a bad day")
	for name, fault := range map[string]struct {
		set  func(s *memstore.Store)
		fail bool
		left bool
	}{
		"full":         {func(s *memstore.Store) { s.SetFull(true) }, false, false},
		"a bad moment": {func(s *memstore.Store) { s.FailNext(2, errDisk) }, true, false},
		"failed":       {func(s *memstore.Store) { s.Fail(errDisk) }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAway(t, Config{}, 1, "a")
			fault.set(a.store.(*memstore.Store))
			if err := a.End(t.Context(), first); (err != nil) != fault.fail {
				t.Errorf("ending it says %v", err)
			}
			if left := a.lookup(first) != nil; left != fault.left {
				t.Errorf("the session is left: %v", left)
			}
		})
	}
}

// Pages of sessions follow each other, in order and without gaps, whatever order the sessions are kept in.
func TestSessionPages(t *testing.T) {
	a := newAway(t, Config{}, 50, "a")
	var got, want []string
	for q := (SessionQuery{Limit: 7}); ; {
		page, after := a.Sessions(q)
		for _, s := range page {
			got = append(got, s.Client)
		}
		if q.After = after; after == "" {
			break
		}
	}
	for i := range 50 {
		want = append(want, fmt.Sprintf("device-%05d", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %q", got)
	}
}

// A good-bye takes the will before the connection has ended: who takes over the session meanwhile finds none [MQTT-3.14.4-3].
func TestGoodbyeTakesTheWill(t *testing.T) {
	b := looseBroker(t, Config{})
	for code, left := range map[packet.Code]bool{packet.NormalDisconnection: false, packet.DisconnectWithWillMessage: true} {
		s := b.newSession("c")
		c := &conn{broker: b, session: s, version: packet.V5}
		s.conn, s.will = c, &will{event: &event.Event{Subject: "gone"}}
		f, _, err := packet.Decoder{Server: true}.Split(packet.AppendDisconnect(nil, packet.V5, code, nil), 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := (&turn{c: c}).disconnect(f); !errors.Is(err, errQuit) || (s.will != nil) != left {
			t.Errorf("%s: %v, and the will is %v", code, err, s.will)
		}
	}
}
