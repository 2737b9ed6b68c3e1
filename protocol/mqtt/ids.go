package mqtt

import (
	"encoding/binary"
	"slices"
	"sync"
)

// idSet is a set of packet identifiers: those of messages of QoS 2 that a client has sent and not released yet. It is bounded by Limits.Receive.
type idSet struct {
	mu  sync.Mutex // a commit that fails takes identifiers out from the store's goroutine
	ids []uint16   // sorted
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

// encode returns the set as it is stored: two bytes each.
func (s *idSet) encode() []byte {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := make([]byte, 0, 2*len(s.ids))
	for _, id := range s.ids {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return b
}

// decode adds what encode has returned.
func (s *idSet) decode(b []byte) {
	for ; len(b) >= 2; b = b[2:] {
		s.add(binary.BigEndian.Uint16(b))
	}
}

// take notes the identifier of a message of QoS 2. The connection's own task calls it only.
func (s *session) take(id uint16) {
	if s.inbound == nil {
		s.inbound = &idSet{}
	}
	s.inbound.add(id)
}
