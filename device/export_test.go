package device

// Held returns how much the service holds in memory: locks, connections that have ended, notices, callers that wait, and devices that a rule selects.
func (s *Service) Held() (n [5]int) {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.mu.Lock()
	defer s.answers.mu.Unlock()
	s.wheel.mu.Lock()
	defer s.wheel.mu.Unlock()
	return [5]int{len(s.locks.held), len(s.left), len(s.notices), len(s.answers.waiting) + s.answers.places, len(s.wheel.armed)}
}

// MaxNotices bounds the notices.
const MaxNotices = maxNotices
