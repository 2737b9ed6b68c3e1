package mqtt

import (
	"hash/maphash"

	"github.com/spate-io/spate/event"
)

// A choice is whether there is a member for a message.
type choice uint8

const (
	chosen choice = iota
	later         // nobody is there, or nobody has room
	barred        // members are there, and none of them may receive it
)

// choose returns the member that a message goes to: the next one that may have it and has room, or, by key, the one that has all of this key. By turns, one that has no room
// is asked for only if it must not.
func (sh *share) choose(e *event.Event, must bool) (member, choice) {
	sh.mu.Lock()
	members, turn := sh.members, sh.turn
	sh.mu.Unlock()
	if sh.byKey {
		return chooseByKey(members, e, must)
	}
	var waiting member
	after, none := turn, later
	for i := range members {
		at := (turn + i) % len(members)
		m := members[at]
		switch t := m.session.takes(e.Subject); {
		case t == takesNow:
			sh.turnTo(at + 1)
			return m, chosen
		case t == takesNothing:
			none = max(none, barred)
		case t == takesLater && waiting.session == nil:
			waiting, after = m, at+1
		}
	}
	switch {
	case waiting.session == nil:
		return member{}, none
	case must:
		return member{}, later
	}
	sh.turnTo(after)
	return waiting, chosen
}

func (sh *share) turnTo(at int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.turn = at
}

var keySeed = maphash.MakeSeed()

// chooseByKey gives every key to the member with the greatest hash of both (rendezvous hashing): when members come and go, only what they had moves.
func chooseByKey(members []member, e *event.Event, must bool) (best member, c choice) {
	key := e.Key
	if key == "" {
		key = e.Subject
	}
	most, found, none := uint64(0), isAway, later
	for _, m := range members {
		t := m.session.takes(e.Subject)
		if t == takesNothing {
			none = barred
		}
		if t < takesLater {
			continue
		}
		var h maphash.Hash
		h.SetSeed(keySeed)
		_, _ = h.WriteString(m.session.id)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(key)
		if n := h.Sum64(); found == isAway || n > most {
			best, most, found = m, n, t
		}
	}
	switch {
	case found == isAway:
		return best, none
	case found == takesLater && must:
		return best, later
	}
	return best, chosen
}

// What a member does with a message.
type taking uint8

const (
	isAway       taking = iota
	takesNothing        // it may not receive it
	takesLater          // it has no room
	takesNow
)

// takes tells what the client of a session does with a message of QoS 1 on a subject.
func (s *session) takes(subject string) taking {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn == nil || s.over:
		return isAway
	case !s.mayReceiveLocked(subject):
		return takesNothing
	case s.roomLocked() && s.queue.len() == 0 && s.window.unsent == 0:
		return takesNow
	}
	return takesLater
}
