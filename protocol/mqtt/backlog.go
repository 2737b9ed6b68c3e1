package mqtt

import (
	"slices"
	"sort"
	"sync"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A backlog is where in the log the messages are that one filter selects, for the lasting sessions that are away or slow. All sessions with that filter share it, so what waits
// for a thousand of them is noted once. It is in memory only: after a start it is made again from the log.
type backlog struct {
	broker *Broker
	filter event.Filter
	users  int // lasting sessions with this filter; guarded by broker.mu

	mu      sync.Mutex
	readers int // sessions that are behind: while there are any, places are noted
	away    int // those of them whose clients are away, so that their own subscriptions do not note
	client  *bus.Client
	places  []place
	last    uint64 // one after the last place that was noted
	bytes   uint64 // of all that were ever noted
	floor   uint64 // no reader needs the places before; for the next sweep
}

// A place is one message in the log.
type place struct {
	offset uint64
	before uint64 // bytes of all messages before it
}

// acquireBacklog returns the backlog of a filter, and has the log capture what it selects.
func (b *Broker) acquireBacklog(f event.Filter) *backlog {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acquireBacklogLocked(f)
}

func (b *Broker) acquireBacklogLocked(f event.Filter) *backlog {
	l := b.backlogs[f]
	if l == nil {
		l = &backlog{broker: b, filter: f, floor: 0}
		b.backlogs[f] = l
		b.tap.Add(f)
	}
	l.users++
	return l
}

// releaseBacklog is told that a session has the filter no longer.
func (b *Broker) releaseBacklog(l *backlog) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.releaseBacklogLocked(l)
}

func (b *Broker) releaseBacklogLocked(l *backlog) {
	if l.users--; l.users == 0 {
		delete(b.backlogs, l.filter)
		b.tap.Remove(l.filter)
	}
}

// join is told that a session has fallen behind: from now on its own subscription notes what it skips.
func (l *backlog) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers++
}

// leave is told that a session is not behind any more.
func (l *backlog) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers--; l.readers == 0 {
		l.places, l.last = nil, 0
	}
}

// listen has the backlog note by itself, for a session whose client is away. What is delivered after it has returned is noted.
func (l *backlog) listen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away++; l.away > 1 {
		return
	}
	l.client = l.broker.bus.NewClient(l)
	if _, err := l.client.Subscribe(l.filter.String()); err != nil {
		// It is only limits that can be in the way, and sessions that are away give up as many subscriptions as this takes.
		l.broker.log.Error("what waits for sessions that are away is not noted until the next start", "filter", l.filter.String(), "error", err)
	}
}

// unlisten ends what listen has begun.
func (l *backlog) unlisten() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away--; l.away == 0 {
		l.client.Close()
		l.client = nil
	}
}

// Deliver notes where a message is.
func (l *backlog) Deliver(m *bus.Message) bool {
	if offset, size, ok := l.broker.place(m); ok {
		l.note(offset, size)
	}
	return true
}

// note enters a place. Messages are delivered in the order of the log, and each may be noted by several who meet it.
func (l *backlog) note(offset uint64, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.last || l.readers == 0 {
		return
	}
	l.places = append(l.places, place{offset, l.bytes})
	l.last, l.bytes = offset+1, l.bytes+uint64(size)
}

// search returns the index of the first place at or after an offset. The caller has the lock.
func (l *backlog) search(from uint64) int {
	return sort.Search(len(l.places), func(i int) bool { return l.places[i].offset >= from })
}

// between appends the places at or after an offset and before another, at most so many.
func (l *backlog) between(dst []uint64, from, to uint64, most int) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.places[l.search(from):] {
		if most--; most < 0 || p.offset >= to {
			break
		}
		dst = append(dst, p.offset)
	}
	return dst
}

// need is told at a sweep that somebody reads the places at and after an offset.
func (l *backlog) need(from uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor = min(l.floor, from)
}

// waiting returns how many messages are at or after an offset, and their bytes.
func (l *backlog) waiting(from uint64) (n int, bytes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.search(from)
	if i == len(l.places) {
		return 0, 0
	}
	return len(l.places) - i, l.bytes - l.places[i].before
}

// forget drops the places that nobody has said to need since the last time, of those before an offset.
func (l *backlog) forget(before uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.search(min(before, l.floor)); i > 0 {
		l.places = slices.Clone(l.places[i:])
	}
	l.floor = maxOffset
}

// place returns where in the log of sessions a message is, and about how large it is.
func (b *Broker) place(m *bus.Message) (offset uint64, size int, ok bool) {
	stored := m.Stored()
	for i := range stored {
		if stored[i].Stream == sessionStream {
			return stored[i].Offset, m.Event().Size(), true
		}
	}
	return 0, 0, false
}

// theLog is the partition that the log of sessions is.
var theLog = store.Partition{Stream: sessionStream}
