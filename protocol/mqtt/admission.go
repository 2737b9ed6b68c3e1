package mqtt

import (
	"errors"
	"sync"
	"time"
)

// An admission lets clients connect at a rate, in the order in which they came, so that those who are connected do not feel it when a hundred thousand come back at once.
type admission struct {
	every time.Duration // between two
	burst time.Duration // so much of an idle time counts
	wait  time.Duration
	most  int

	mu      sync.Mutex
	next    time.Time // when the next one may enter
	waiting int
}

var errBusy = errors.New("too many clients are connecting: try again later")

func (a *admission) init(b *Broker) {
	a.every = time.Second / time.Duration(b.limits.ConnectRate)
	a.burst = 100 * time.Millisecond
	a.wait, a.most = b.limits.ConnectWait, b.limits.ConnectQueue
}

// ConnectRate is how many clients may connect in a second: listeners need not accept more.
func (b *Broker) ConnectRate() int { return b.limits.ConnectRate }

// enter waits for the client's turn. It fails when that is too far away, or the client has gone meanwhile.
func (a *admission) enter(now time.Time, gone func() bool) error {
	delay, err := a.turn(now)
	if delay <= 0 || err != nil {
		return err
	}
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.waiting--
	}()
	// The context of a connection would tell at once, and costs each that has waited 300 bytes for as long as it lives.
	const look = 250 * time.Millisecond
	for ; delay > 0; delay -= look {
		time.Sleep(min(delay, look))
		if gone() {
			return errGone
		}
	}
	return nil
}

// turn returns how long a client has to wait, and counts it if it has to.
func (a *admission) turn(now time.Time) (delay time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.next
	if earliest := now.Add(-a.burst); at.Before(earliest) {
		at = earliest
	}
	delay = at.Sub(now)
	if delay > a.wait || delay > 0 && a.waiting >= a.most {
		return 0, errBusy
	}
	a.next = at.Add(a.every)
	if delay > 0 {
		a.waiting++
	}
	return delay, nil
}

var errGone = errors.New("the client has gone")
