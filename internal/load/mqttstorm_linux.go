package load

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// stormPatience is how long the storm may go on without a connection coming back.
const stormPatience = 30 * time.Second

// An mqttStorm is the idle connections on their way back.
type mqttStorm struct {
	r       *mqttRun
	began   time.Duration
	left    int // connections that are not back
	waiting ring[mqttRetry]
}

// An mqttRetry is a connection that tries again at a time.
type mqttRetry struct {
	conn int
	at   time.Duration
}

// retry has a connection try again. The wait is the same for all, so they stand in their order.
func (s *mqttStorm) retry(i int, now time.Duration) {
	s.r.r.Storm.Retries++
	s.waiting.push(mqttRetry{i, now + retryAfter})
}

// back notes that a connection is back.
func (s *mqttStorm) back(now time.Duration) {
	s.left--
	s.r.r.Storm.Back.Record(now - s.began)
}

// dial connects a few of those whose time has come, and tells whether there are more.
func (s *mqttStorm) dial(now time.Duration) (more bool, err error) {
	for range dialBatch {
		if s.waiting.n == 0 || s.waiting.slots[s.waiting.head].at > now {
			return false, nil
		}
		if err := s.r.dial(s.waiting.pop().conn); err != nil {
			return false, err
		}
	}
	return true, nil
}

// drop closes all idle connections and lets them be away for a while. What those that stay notice of the dropping is
// measured, unless there is such a while.
func (r *mqttRun) drop(ctx context.Context) error {
	r.measure(&r.r.Storm.Latency, nil, r.m.now())
	for i := range r.conns {
		if c := &r.conns[i]; c.role == mqttIdleRole {
			r.hangUp(c)
		}
		if i%dialBatch == 0 {
			if err := r.serveUrgent(); err != nil {
				return err
			}
		}
	}
	if r.o.Away == 0 {
		return nil
	}
	r.measure(nil, nil, 0)
	for end := r.m.now() + r.o.Away; r.m.now() < end && ctx.Err() == nil; {
		wait, err := r.publishDue()
		if err != nil {
			return err
		}
		if err := r.serve(min(wait, end-r.m.now())); err != nil {
			return err
		}
	}
	r.measure(&r.r.Storm.Latency, nil, r.m.now())
	return nil
}

// endure drops all idle connections and waits until they are back, while the others go on.
func (r *mqttRun) endure(ctx context.Context) error {
	s := &mqttStorm{r: r}
	for i := range r.conns {
		c := &r.conns[i]
		if c.role != mqttIdleRole {
			continue
		}
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // a reset: clients that vanish say no goodbye
		s.waiting.push(mqttRetry{conn: i})
		s.left++
	}
	if r.o.Restart != nil {
		for i := range r.conns {
			r.hangUp(&r.conns[i])
		}
		for i := range r.publishers {
			r.writeOff(i)
		}
		r.publishing = false
		if err := r.o.Restart(); err != nil {
			return fmt.Errorf("restarting the server: %w", err)
		}
	}
	r.storm = s
	if err := r.drop(ctx); err != nil {
		return err
	}
	s.began = r.m.now()
	for r.progress = s.began; s.left > 0; {
		wait, err := r.publishDue()
		if err != nil {
			return err
		}
		more, err := s.dial(r.m.now())
		if err != nil {
			return err
		}
		if more || len(r.queue) > 0 {
			wait = 0
		}
		if err := r.serve(min(wait, retryAfter/10)); err != nil {
			return err
		}
		if ctx.Err() != nil || r.m.now()-r.progress > stormPatience {
			return fmt.Errorf("after %v in the storm %d of %d connections are not back", Round(r.m.now()-s.began), s.left, r.o.Connections)
		}
	}
	r.r.Storm.All = r.m.now() - s.began
	r.until = r.m.now()
	r.storm = nil
	return nil
}
