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

// enter waits for the client's turn. It fails when that is too far away, or the client has gone.
func (a *admission) enter(now time.Time, gone <-chan struct{}) error {
	a.mu.Lock()
	at := a.next
	if earliest := now.Add(-a.burst); at.Before(earliest) {
		at = earliest
	}
	delay := at.Sub(now)
	if delay > a.wait || delay > 0 && a.waiting >= a.most {
		a.mu.Unlock()
		return errBusy
	}
	a.next = at.Add(a.every)
	if delay <= 0 {
		a.mu.Unlock()
		return nil
	}
	a.waiting++
	a.mu.Unlock()
	t := time.NewTimer(delay)
	defer t.Stop()
	var err error
	select {
	case <-t.C:
	case <-gone:
		err = errGone
	}
	a.mu.Lock()
	a.waiting--
	a.mu.Unlock()
	return err
}

var errGone = errors.New("the client has gone")
