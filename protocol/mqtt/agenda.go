package mqtt

import (
	"container/heap"
	"sync"
	"time"
)

// An agenda is what is due later: sessions that expire, and wills that wait.
type agenda struct {
	broker *Broker

	mu       sync.Mutex
	items    dues
	n        uint64
	wills    map[string]*due // by client identifier
	sessions map[*session]*due
	wake     chan struct{} // tells run that something is due earlier
}

// A due is one thing, and when.
type due struct {
	at      time.Time
	n       uint64   // the how many-th that was entered
	session *session // that expires
	client  string   // whose will it is
	will    *will
	index   int
}

func (a *agenda) init(b *Broker) {
	a.broker, a.wake = b, make(chan struct{}, 1)
	a.wills, a.sessions = map[string]*due{}, map[*session]*due{}
}

// expire ends a session in d, unless its client comes back.
func (a *agenda) expire(s *session, d time.Duration) { a.expireAt(s, a.broker.now().Add(d)) }

func (a *agenda) expireAt(s *session, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removeLocked(a.sessions[s])
	a.sessions[s] = a.addLocked(&due{at: at, session: s})
}

// will publishes a will in d, unless the client comes back.
func (a *agenda) will(client string, w *will, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removeLocked(a.wills[client])
	a.wills[client] = a.addLocked(&due{at: a.broker.now().Add(d), client: client, will: w})
}

// cancel forgets the end of a session.
func (a *agenda) cancel(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removeLocked(a.sessions[s])
}

// waitingWill returns a client's will that waits, or nil.
func (a *agenda) waitingWill(client string) *will {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := a.wills[client]; d != nil {
		return d.will
	}
	return nil
}

// takeWill forgets a will that waits, and returns it, or nil: its client has come back, or its session ends.
func (a *agenda) takeWill(client string) *will {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.wills[client]
	if d == nil {
		return nil
	}
	a.removeLocked(d)
	return d.will
}

func (a *agenda) addLocked(d *due) *due {
	a.n++
	d.n = a.n
	heap.Push(&a.items, d)
	if d.index == 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return d
}

func (a *agenda) removeLocked(d *due) {
	if d == nil {
		return
	}
	if d.index >= 0 {
		heap.Remove(&a.items, d.index)
	}
	if d.session != nil {
		delete(a.sessions, d.session)
	} else if a.wills[d.client] == d {
		delete(a.wills, d.client)
	}
}

// next returns what is due now, or nil and how long until something is. A will stays until it is taken.
func (a *agenda) next(now time.Time) (d *due, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.items) == 0 {
		return nil, time.Hour
	}
	if wait := a.items[0].at.Sub(now); wait > 0 {
		return nil, wait
	}
	if d = a.items[0]; d.session != nil {
		a.removeLocked(d)
	}
	return d, 0
}

// take removes a will that is due, and tells whether it was still there.
func (a *agenda) take(d *due) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wills[d.client] != d {
		return false
	}
	a.removeLocked(d)
	return true
}

// work does everything that is due.
func (a *agenda) work() (wait time.Duration) {
	for {
		d, wait := a.next(a.broker.now())
		if d == nil {
			return wait
		}
		if d.session != nil {
			a.broker.expireSession(d.session)
		} else {
			a.broker.publishDue(d)
		}
	}
}

// publishDue publishes a will that has waited, unless its client has just come back: then it would take the new one out of the store.
func (b *Broker) publishDue(d *due) {
	k := b.stripe(d.client)
	k.Lock()
	defer k.Unlock()
	if b.agenda.take(d) {
		b.publishWill(d.client, d.will)
	}
}

// expireSession ends a session whose time is over, unless its client has just come back.
func (b *Broker) expireSession(s *session) {
	k := b.stripe(s.id)
	k.Lock()
	defer k.Unlock()
	s.mu.Lock()
	there := s.conn != nil || s.over
	s.mu.Unlock()
	if there || b.lookup(s.id) != s {
		return
	}
	b.count.expiredSessions.Add(1)
	w := b.agenda.takeWill(s.id)
	b.endSession(s)
	if w != nil {
		b.publishWill(s.id, w)
	}
}

// dues is a heap by time, and of what is due at the same by the order in which it was entered.
type dues []*due

func (d dues) Len() int { return len(d) }
func (d dues) Less(i, j int) bool {
	return d[i].at.Before(d[j].at) || d[i].at.Equal(d[j].at) && d[i].n < d[j].n
}
func (d dues) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push implements heap.Interface.
func (d *dues) Push(x any) {
	item := x.(*due)
	item.index = len(*d)
	*d = append(*d, item)
}

// Pop implements heap.Interface.
func (d *dues) Pop() any {
	last := len(*d) - 1
	item := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	item.index = -1
	return item
}
