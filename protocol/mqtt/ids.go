package mqtt

import (
	"slices"
	"sync"
)

// idSet is a set of packet identifiers: those of messages of QoS 2 that a client has sent and not released yet. It is bounded by Limits.Receive.
type idSet struct {
	mu      sync.Mutex // a commit that fails takes identifiers out from the store's goroutine
	ids     []uint16   // sorted
	pending []pending  // those of them whose messages are not on disk yet
}

// A pending is an identifier, and the connection that its message came by.
type pending struct {
	id uint16
	by *conn
}

// begin adds the identifier of a message that is going to be stored.
func (s *idSet) begin(id uint16, by *conn) {
	s.add(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, pending{id, by})
}

// stored is told that the message is on disk.
func (s *idSet) stored(id uint16) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(id)
}

func (s *idSet) settleLocked(id uint16) {
	s.pending = slices.DeleteFunc(s.pending, func(p pending) bool { return p.id == id })
	if len(s.pending) == 0 {
		s.pending = nil
	}
}

// waits returns the connection that the message of an identifier came by, if it is not on disk yet.
func (s *idSet) waits(id uint16) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pending {
		if p.id == id {
			return p.by
		}
	}
	return nil
}

func (s *idSet) len() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

func (s *idSet) has(id uint16) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := slices.BinarySearch(s.ids, id)
	return found
}

func (s *idSet) add(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, found := slices.BinarySearch(s.ids, id); !found {
		s.ids = slices.Insert(s.ids, at, id)
	}
}

func (s *idSet) remove(id uint16) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(id)
	at, found := slices.BinarySearch(s.ids, id)
	if !found {
		return false
	}
	s.ids = slices.Delete(s.ids, at, at+1)
	if len(s.ids) == 0 && cap(s.ids) > keptEntries {
		s.ids = nil
	}
	return true
}

// all returns the identifiers.
func (s *idSet) all() []uint16 {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

// An idChange is an identifier that was taken or released.
type idChange struct {
	id    uint16
	taken bool
}

// take notes the identifier of a message of QoS 2 that has come by a connection. The connection's own task calls it only.
func (s *session) take(id uint16, by *conn) {
	if s.inbound == nil {
		s.mu.Lock()
		s.inbound = &idSet{}
		s.mu.Unlock()
	}
	if s.lasting == nil || s.broker.config.Ack == AckReceived {
		s.inbound.add(id)
		return
	}
	s.inbound.begin(id, by)
}
