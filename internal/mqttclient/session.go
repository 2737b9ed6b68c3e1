package mqttclient

import (
	"errors"
	"slices"
	"sync"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A Session is what a client holds of its session, for the next connection. One connection at a time may use it. The zero
// value is a session that nothing has happened in.
type Session struct {
	mu       sync.Mutex
	sent     []*Publishing // not acknowledged yet, in the order in which they were sent
	received map[uint16]bool
	requests map[uint16]chan packet.Frame // SUBSCRIBE and UNSUBSCRIBE that wait for their answer
	last     uint16
}

var errNoIdentifier = errors.New("all packet identifiers are in use; wait until messages are acknowledged")

// identifier takes a packet identifier that is not in use.
func (s *Session) identifier() (uint16, error) {
	for range maxInflight {
		s.last++
		if s.last == 0 {
			s.last = 1
		}
		if s.requests[s.last] == nil && s.find(s.last) == nil {
			return s.last, nil
		}
	}
	return 0, errNoIdentifier
}

func (s *Session) find(id uint16) *Publishing {
	for _, p := range s.sent {
		if p.message.ID == id {
			return p
		}
	}
	return nil
}

// ask takes an identifier for a request and says where its answer will come.
func (s *Session) ask() (uint16, chan packet.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.identifier()
	if err != nil {
		return 0, nil, err
	}
	if s.requests == nil {
		s.requests = map[uint16]chan packet.Frame{}
	}
	answer := make(chan packet.Frame, 1)
	s.requests[id] = answer
	return id, answer, nil
}

func (s *Session) forget(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
}

// answered gives a SUBACK or UNSUBACK to whoever asked.
func (s *Session) answered(id uint16, f packet.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer := s.requests[id]; answer != nil {
		answer <- f
		delete(s.requests, id)
	}
}

// begin is called when the server has accepted a connection. It returns what must be sent again; without a session on the server's
// side there is nothing, and what waited has failed [MQTT-3.2.2-5].
func (s *Session) begin(present bool) []*Publishing {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	if present {
		return append([]*Publishing(nil), s.sent...)
	}
	for _, p := range s.sent {
		p.finish(ErrSessionLost, 0)
	}
	s.sent, s.received = nil, nil
	return nil
}

// acknowledged finishes the message that a belongs to and gives its place back, or says that a PUBREL is to be sent.
func (s *Session) acknowledged(a packet.AckPacket, quota chan struct{}) (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(a.ID)
	if a.Type == packet.Pubrec && !a.Code.Failed() {
		if p != nil {
			p.released = true
		}
		return false
	}
	if p == nil {
		return true
	}
	s.sent = slices.DeleteFunc(s.sent, func(other *Publishing) bool { return other == p })
	code := a.Code
	if p.again && a.Type == packet.Pubcomp && code == packet.PacketIdentifierNotFound {
		code = packet.Success // the PUBCOMP of the last connection was lost, which is no error (§3.7.2.1)
	}
	p.finish(nil, code)
	if p.quota {
		<-quota
	}
	return true
}

func (s *Session) released(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(id)
	return p != nil && p.released
}

// seen says whether a QoS 2 message of this identifier was received already.
func (s *Session) seen(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received[id]
}

// take notes that a QoS 2 message was received.
func (s *Session) take(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.received == nil {
		s.received = map[uint16]bool{}
	}
	s.received[id] = true
}

// release forgets it, since the server will not send it again.
func (s *Session) release(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.received, id)
}

// Unacknowledged is how many published messages the server has not acknowledged.
func (s *Session) Unacknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}
