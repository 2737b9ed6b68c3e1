package engine

import "testing"

// A loop serves requests and flushes before it closes connections whose peers have gone, of which thousands may be due at once.
func TestEndsComeLast(t *testing.T) {
	l := &loop{polling: true} // nobody polls meanwhile
	turns, flushes, ends := new(epollConn), new(epollConn), new(epollConn)
	names := map[*epollConn]string{turns: "turn", flushes: "flush", ends: "end", nil: "nothing"}
	next := func(want string) {
		t.Helper()
		c, flush := l.nextLocked()
		if got := names[c]; got != want || flush != (want == "flush") {
			t.Fatalf("%s, a flush: %v; want %s", got, flush, want)
		}
	}
	for range endsPerPoll + 2 {
		l.ends.push(ends)
	}
	l.flushes.push(flushes)
	l.turns.push(turns)
	next("turn")
	next("flush")
	next("end")
	l.turns.push(turns)
	next("turn")
	for range endsPerPoll - 1 {
		next("end")
	}
	if l.ended != endsPerPoll {
		t.Errorf("%d ends were taken before the sockets are looked at again, want %d", l.ended, endsPerPoll)
	}
	l.ended, l.more = 0, true // the kernel has more events, which may be requests
	l.turns.push(turns)
	next("turn")
	next("end") // one, however busy the sockets are
	l.turns.push(turns)
	next("turn")
	next("end") // there is nothing else, and nobody polls
	next("nothing")
}
