package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// A waiting connection is its struct, its session and a place in the table:
// the bound leaves the goal of 400 bytes room for the allocator.
func TestConnIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 288 {
		t.Errorf("a Conn has %d bytes", size)
	}
}

// The wheel against a model: every deadline that has passed is reported at the
// first tick after it, none early, none twice, however often they change.
func TestWheelModel(t *testing.T) {
	e := &Engine{}
	e.clock.now.Store(1)
	rng := rand.New(rand.NewPCG(1, 2))
	conns := make([]*Conn, 200)
	index := make(map[*Conn]int)
	deadline := make([]int64, len(conns)) // the model: 0 is none
	for i := range conns {
		conns[i] = &Conn{eng: e}
		index[conns[i]] = i
	}
	for now := int64(1); now < 300_000; now += int64(rng.IntN(500)) {
		e.clock.now.Store(now)
		for range 20 {
			i := rng.IntN(len(conns))
			switch rng.IntN(4) {
			case 0:
				conns[i].setReadDeadline(forever, ReasonIdleTimeout)
				deadline[i] = 0
			case 1:
				e.wheel.remove(conns[i])
				conns[i].due.readAt.Store(0)
				deadline[i] = 0
			default:
				d := time.Duration(rng.IntN(120_000)) * time.Millisecond
				conns[i].setReadDeadline(d, ReasonIdleTimeout)
				deadline[i] = now + d.Milliseconds()
			}
		}
		got := map[int]bool{}
		e.wheel.advance(now, func(c *Conn, _ Reason) {
			i := index[c]
			if got[i] || deadline[i] == 0 || deadline[i] > now {
				t.Fatalf("at %d connection %d, due at %d, was reported", now, i, deadline[i])
			}
			got[i] = true
			deadline[i] = 0
			c.due.readAt.Store(0)
		})
		for i, at := range deadline {
			if at != 0 && at+2*wheelTick.Milliseconds() < now {
				t.Fatalf("at %d connection %d, due at %d, was not reported", now, i, at)
			}
		}
	}
}

// The wheel from many sides: connections set and drop their deadlines while it
// turns. The last deadline of each is reported, and nobody's who has none.
func TestWheelConcurrent(t *testing.T) {
	e := &Engine{}
	e.clock.now.Store(1)
	const owners, each = 4, 50
	conns := make([]*Conn, owners*each)
	for i := range conns {
		conns[i] = &Conn{eng: e}
	}
	stop := make(chan struct{})
	var turning, setting sync.WaitGroup
	turning.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				now := e.clock.now.Add(37)
				e.wheel.advance(now, func(c *Conn, _ Reason) {
					if at, _ := c.due.earliest(); at == 0 {
						e.wheel.look(c, now) // as Engine.deadline does for who is busy
					}
				})
			}
		}
	})
	for o := range owners {
		setting.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(o), 5))
			for range 20_000 {
				c := conns[o*each+rng.IntN(each)]
				switch rng.IntN(4) {
				case 0:
					c.due.readAt.Store(0)
					e.wheel.remove(c)
				case 1:
					c.mu.Lock()
					c.setWriteDeadline(e.clock.ms() + rng.Int64N(70_000))
					c.mu.Unlock()
				default:
					c.setReadDeadline(time.Duration(rng.IntN(70_000))*time.Millisecond, ReasonIdleTimeout)
				}
			}
		})
	}
	setting.Wait()
	close(stop)
	turning.Wait()
	for i, c := range conns {
		c.setWriteDeadline(0)
		c.due.readAt.Store(0)
		if i%2 == 0 {
			c.setReadDeadline(time.Second, ReasonIdleTimeout)
		}
	}
	reported := map[*Conn]int{}
	e.wheel.advance(e.clock.now.Add(200_000), func(c *Conn, _ Reason) { reported[c]++ })
	for i, c := range conns {
		if want := (i + 1) % 2; reported[c] != want {
			t.Errorf("connection %d was reported %d times, want %d", i, reported[c], want)
		}
	}
}

// The earlier of the two deadlines counts.
func TestEarliestDeadline(t *testing.T) {
	var d due
	if at, _ := d.earliest(); at != 0 {
		t.Errorf("no deadline is at %d", at)
	}
	d.readAt.Store(500<<8 | int64(ReasonIdleTimeout))
	d.writeAt.Store(400)
	if at, why := d.earliest(); at != 400 || why != ReasonWriteTimeout {
		t.Errorf("got %d, %v", at, why)
	}
	d.writeAt.Store(600)
	if at, why := d.earliest(); at != 500 || why != ReasonIdleTimeout {
		t.Errorf("got %d, %v", at, why)
	}
}

// Dropping the oldest against a model: only whole droppable messages go, from
// the front, and what is kept keeps its order.
func TestDropOldestModel(t *testing.T) {
	e := &Engine{limits: Limits{Buffered: 1000}.withDefaults()}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		c := &Conn{eng: e}
		type message struct {
			text      string
			droppable bool
		}
		var model []message
		for i := range 1 + rng.IntN(30) {
			m := message{strings.Repeat(string(rune('A'+i)), 1+rng.IntN(60)), rng.IntN(3) > 0}
			from := c.appendLocked(len(m.text), []byte(m.text))
			if m.droppable {
				c.out.marks = append(c.out.marks, mark{from, from + len(m.text)})
			}
			model = append(model, m)
		}
		n := rng.IntN(1000)
		dropped := c.dropOldestLocked(n)
		for range dropped {
			i := slices.IndexFunc(model, func(m message) bool { return m.droppable })
			model = slices.Delete(model, i, i+1)
		}
		var want strings.Builder
		for _, m := range model {
			want.WriteString(m.text)
		}
		if got := string(c.out.tail.b); got != want.String() {
			t.Fatalf("after dropping %d: got %q, want %q", dropped, got, want.String())
		}
		for _, m := range c.out.marks {
			if text := string(c.out.tail.b[m.from:m.to]); strings.Trim(text, text[:1]) != "" {
				t.Fatalf("a mark spans %q", text)
			}
		}
	}
}

// full is a socket without room.
type full struct{ sock }

func (full) blocks() bool { return false }

// However much is being sent, and also when all connections together hold too
// much, DropOldest keeps the newest message and counts what it drops.
func TestDropOldestKeepsTheNewest(t *testing.T) {
	for name, limits := range map[string]Limits{
		"one connection": {Buffered: 10_000},
		"all together":   {Buffered: 10_000, BufferedTotal: 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{limits: limits.withDefaults()}
			e.table.count = 1
			c := &Conn{eng: e, sock: full{}}
			c.hints.set(hintFull)
			c.prependLocked(make([]byte, 10_000)) // being sent
			c.appendLocked(5, []byte("reply"))
			const n = 100
			for i := range n {
				message := fmt.Appendf(nil, "%0500d", i)
				if err := c.Push(message, DropOldest); err != nil || !bytes.HasSuffix(c.out.tail.b, message) {
					t.Fatalf("message %d is not kept: %v", i, err)
				}
			}
			kept := len(c.out.marks)
			if want := len("reply") + kept*500; len(c.out.tail.b) != want {
				t.Errorf("%d bytes wait, want %d", len(c.out.tail.b), want)
			}
			if dropped := int(e.stats.dropped.Load()); kept == 0 || kept+dropped != n {
				t.Errorf("%d messages wait and %d were dropped, of %d", kept, dropped, n)
			}
		})
	}
}

// A slot that is used again does not match the events of its former owner.
func TestTableIgnoresLateEvents(t *testing.T) {
	var tab table
	old := &Conn{id: 1}
	tab.add(old)
	late := old.tag()
	tab.remove(old)
	c := &Conn{id: 2}
	tab.add(c)
	if c.slot != old.slot {
		t.Fatalf("the slot was not used again")
	}
	got := tab.find(nil, []uint64{late, c.tag(), 999})
	if got[0] != nil || got[1] != c || got[2] != nil {
		t.Errorf("got %v", got)
	}
}

// Addresses are counted as hosts: mapped IPv4 as IPv4, IPv6 by /64.
func TestAddressKey(t *testing.T) {
	tests := map[string]string{
		"192.0.2.1":          "192.0.2.1",
		"::ffff:192.0.2.1":   "192.0.2.1",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::",
		"2001:db8:1:2:ff::9": "2001:db8:1:2::",
		"fe80::1%eth0":       "fe80::",
	}
	for in, want := range tests {
		if got := addressKey(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s is counted as %s, want %s", in, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(10, 0)
		for i := range 10 {
			if d := p.take(time.Now()); d != 0 {
				t.Fatalf("connection %d of the burst waits %v", i, d)
			}
		}
		d := p.take(time.Now())
		if d != 100*time.Millisecond {
			t.Fatalf("the eleventh waits %v", d)
		}
		time.Sleep(d + 100*time.Millisecond)
		if d := p.take(time.Now()); d != 0 {
			t.Errorf("after the wait it still waits %v", d)
		}
	})
}

func TestLimitDefaults(t *testing.T) {
	l := Limits{Message: 5, IdleTimeout: -1, Connections: -1, BufferedTotal: -1}.withDefaults()
	if l.Message != 5 || l.IdleTimeout != forever || l.Connections != maxInt || l.BufferedTotal != maxInt64 ||
		l.WriteTimeout != DefaultWriteTimeout || l.Handshakes != DefaultHandshakes || l.PerAddress != maxInt {
		t.Errorf("got %+v", l)
	}
}

// Every reason has a code of its own.
func TestReasonCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if code := r.String(); code == "" || seen[code] {
			t.Errorf("reason %d has the code %q", r, code)
		} else {
			seen[code] = true
		}
	}
}

// Buffers come back empty, with the room that was asked for, and large ones
// are not kept.
func TestBuffers(t *testing.T) {
	e := &Engine{}
	for _, n := range []int{0, 1, 1024, 1025, 16 << 10, 64 << 10, 64<<10 + 1, 1 << 20} {
		b := e.lend(n)
		if len(b.b) != 0 || cap(b.b) < n {
			t.Errorf("asked for %d, got %d of %d", n, len(b.b), cap(b.b))
		}
		b.b = append(b.b, make([]byte, n)...)
		b = e.grow(b, 1)
		if len(b.b) != n || cap(b.b) < n+1 {
			t.Errorf("grown from %d: %d of %d", n, len(b.b), cap(b.b))
		}
		e.giveBack(b)
	}
	if got := e.buffered.Load(); got != 0 {
		t.Errorf("%d bytes are still counted", got)
	}
}

// Lines come a hundred at once and then ten a second, however long nobody asked.
func TestLineLimit(t *testing.T) {
	var l LineLimit
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		asked int
		want  int
	}{
		{0, 1000, 100}, {99 * time.Millisecond, 10, 0}, {time.Millisecond, 10, 1}, {time.Second, 1000, 10}, {24 * time.Hour, 1000, 100},
	} {
		now = now.Add(step.after)
		got := 0
		for range step.asked {
			if l.Allow(now) {
				got++
			}
		}
		if got != step.want {
			t.Errorf("after another %v: %d of %d lines allowed, want %d", step.after, got, step.asked, step.want)
		}
		if left := l.Take(); left != uint64(step.asked-step.want) {
			t.Errorf("after another %v: %d lines counted as left out, want %d", step.after, left, step.asked-step.want)
		}
	}
	if n := l.Take(); n != 0 {
		t.Errorf("%d lines were counted twice", n)
	}
}

// Durations in JSON are numbers whose names say what they count.
func TestInfoJSON(t *testing.T) {
	got, err := json.Marshal([]Info{{ID: 7, State: "idle", Age: 90 * time.Minute, Idle: 1500 * time.Millisecond}})
	want := `[{"id":7,"remote":"","listener":"","protocol":"","state":"idle","bytes_in":0,"bytes_out":0,"waiting":0,"dropped":0,` +
		`"age_seconds":5400,"idle_seconds":1.5}]`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// A listener's own rate counts where it is the lesser one, with a small burst.
func TestOwnAcceptRate(t *testing.T) {
	for _, tt := range []struct{ limit, own, burst int }{{maxInt, 500, 10}, {50, 0, 50}, {20, 50, 20}} {
		p := newPace(tt.limit, tt.own)
		now, free := time.Now(), 0
		for p.take(now) == 0 {
			free++
		}
		if free != tt.burst {
			t.Errorf("limit %d, own %d: %d at once, want %d", tt.limit, tt.own, free, tt.burst)
		}
	}
}
