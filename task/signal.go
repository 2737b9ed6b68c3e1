package task

// A signal wakes everybody who waits on it. It is guarded by its owner's lock. Without waiters it costs
// nothing; with any number of them, one channel for each time that they are woken.
type signal struct{ ch chan struct{} }

// wait returns the channel that the next wake closes.
func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// wake unlocks the owner's lock and wakes who waits, in this order: a thousand woken goroutines that all want
// the lock should find it free.
func (s *signal) wake(mu interface{ Unlock() }) {
	ch := s.ch
	s.ch = nil
	mu.Unlock()
	if ch != nil {
		close(ch)
	}
}
