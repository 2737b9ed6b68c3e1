package mqtt

import (
	"sync"
	"time"
)

// ahead are the messages of a connection that are on their way to the disk, and are delivered when they are there, on topics of which others are delivered at
// once: those wait, so that they do not overtake them [MQTT-4.6.0-5].
type ahead struct {
	mu     sync.Mutex
	topics map[string]int
	passed chan struct{} // closed when some have been delivered, if somebody waits
}

// add notes a message.
func (a *ahead) add(topic string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.topics == nil {
		a.topics = map[string]int{}
	}
	a.topics[topic]++
}

// delivered forgets messages.
func (a *ahead) delivered(topics []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, topic := range topics {
		if a.topics[topic]--; a.topics[topic] <= 0 {
			delete(a.topics, topic)
		}
	}
	if a.passed != nil {
		close(a.passed)
		a.passed = nil
	}
}

// wait waits until none of a topic is left. It fails if the connection has ended and the disk takes too long: what a client has sent just before its good-bye counts.
func (a *ahead) wait(topic []byte, ends <-chan struct{}) bool {
	var late <-chan time.Time
	for {
		a.mu.Lock()
		if a.topics[string(topic)] == 0 {
			a.mu.Unlock()
			return true
		}
		if a.passed == nil {
			a.passed = make(chan struct{})
		}
		passed := a.passed
		a.mu.Unlock()
		select {
		case <-passed:
		case <-ends:
			ends, late = nil, time.After(aheadGrace)
		case <-late:
			return false
		}
	}
}

// has tells whether any of a topic is left.
func (a *ahead) has(topic []byte) bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.topics[string(topic)] > 0
}
