package mqtt

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/spate-io/spate/event"
)

// A window is the messages of QoS 1 and 2 that were sent to a client and are not done, in the order in which they were sent.
type window struct {
	entries []inflight
	unsent  uint16 // entries that wait to be sent again
	most    uint16 // as many as the client takes
	last    uint16 // the identifier that was given last, if they are counted
	// reserved are identifiers for retained messages of QoS 2, which are in the store before they are used: a client goes by them after a crash too.
	reserved []uint16
}

// An inflight is one message on its way.
type inflight struct {
	offset uint64 // in the log, if it is there
	told   *told
	share  *share // the shared subscription that it belongs to, if any
	kept   *kept  // what is to be sent again and is not in the log
	id     uint16
	state  delivery
	logged bool
	unsent bool // to be sent again
}

// A kept is a retained message on its way.
type kept struct {
	event *event.Event
	sub   *subscription // for which it was sent
}

func (k *kept) dispatch() dispatch {
	d := dispatch{event: k.event, meta: metaOf(k.event), retained: true}
	d.add(k.sub)
	return d
}

// A told is an event whose arrival somebody wants to know of.
type told struct {
	subject string
	event   event.ID
}

// A delivery is how far a message has got.
type delivery uint8

const (
	sentOnce      delivery = 1 // QoS 1: waits for its PUBACK
	sentTwice     delivery = 2 // QoS 2: waits for its PUBREC
	stateReleased delivery = 3 // QoS 2: waits for its PUBCOMP
)

func sentAs(qos byte) delivery { return delivery(qos) }

// len returns how many messages are with the client.
func (w *window) len() int { return len(w.entries) - int(w.unsent) }

// add enters a message that was sent: behind the others, or in its place, if it was sent again.
func (w *window) add(e inflight) {
	e.unsent = false
	if w.unsent > 0 {
		if old := w.find(e.id); old != nil {
			if old.unsent {
				w.unsent--
			}
			*old = e
			return
		}
	}
	w.entries = append(w.entries, e)
}

// nextUnsent returns the next messages that are to be sent again, and where in the log they are.
func (w *window) nextUnsent(most int) (ids []uint16, places []uint64) {
	if w.unsent == 0 {
		return nil, nil
	}
	for i := range w.entries {
		e := &w.entries[i]
		if !e.unsent {
			continue
		}
		if len(ids) == most {
			break
		}
		if ids = append(ids, e.id); e.logged {
			places = append(places, e.offset)
		}
	}
	return ids, places
}

// index returns where a message is, or -1. Clients acknowledge in order, so it is usually the first.
func (w *window) index(id uint16) int {
	for i := range w.entries {
		if w.entries[i].id == id {
			return i
		}
	}
	return -1
}

func (w *window) find(id uint16) *inflight {
	if i := w.index(id); i >= 0 {
		return &w.entries[i]
	}
	return nil
}

func (w *window) remove(id uint16) (inflight, bool) {
	i := w.index(id)
	if i < 0 {
		return inflight{}, false
	}
	e := w.entries[i]
	if e.unsent {
		w.unsent--
	}
	n := copy(w.entries[i:], w.entries[i+1:])
	w.entries[i+n] = inflight{}
	if w.entries = w.entries[:i+n]; len(w.entries) == 0 && cap(w.entries) > keptEntries {
		w.entries = nil
	}
	return e, true
}

// nextID returns an identifier that is not in use. There is one: the window is smaller than their number.
func (w *window) nextID() uint16 {
	for {
		if w.last++; w.last <= logIDs {
			w.last = logIDs + 1
		}
		if !w.uses(w.last) {
			return w.last
		}
	}
}

// uses tells whether an identifier is, or may be, with the client.
func (w *window) uses(id uint16) bool { return w.index(id) >= 0 || slices.Contains(w.reserved, id) }

// retainedID returns an identifier for a retained message: of QoS 2, one of those that are reserved, if there are any.
func (w *window) retainedID(qos byte) uint16 {
	if qos < 2 || len(w.reserved) == 0 {
		return w.nextID()
	}
	id := w.reserved[0]
	w.reserved = w.reserved[1:]
	return id
}

// idOf is the packet identifier of a message in the log. It follows from the place, so that a message has the same one when it is sent again after a crash,
// without anything having been written when it was sent first. Two messages on their way to one session have the same only if they are a multiple of logIDs
// apart; then the later one waits.
func idOf(offset uint64) uint16 { return uint16(offset%logIDs) + 1 }

// encodeMarks returns how far a lasting session has got: the place up to which messages were sent, and those of them that are not done.
func (s *session) encodeMarks() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marksLocked()
}

func (s *session) marksLocked() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 16+4*len(s.window.entries)), s.lasting.next)
	before := uint64(0)
	for _, id := range s.window.reserved {
		b = append(binary.AppendUvarint(b, uint64(id)), loose)
	}
	for _, e := range s.window.entries {
		if !e.logged {
			if e.state != sentOnce {
				b = append(binary.AppendUvarint(b, uint64(e.id)), loose)
			}
			continue
		}
		b = binary.AppendUvarint(b, e.offset-before)
		b = append(b, byte(e.state))
		before = e.offset
	}
	return b
}

// loose is the state of an identifier that is, or may be, with the client, of a message of QoS 2 that is not in the log. After a crash the client is told to let go of it.
const loose = 0x80

// decodeMarks reads what encodeMarks has returned.
func (s *session) decodeMarks(b []byte) bool {
	next, n := binary.Uvarint(b)
	if n <= 0 {
		return false
	}
	s.lasting.next = next
	b = b[n:]
	for at := uint64(0); len(b) > 0; {
		delta, n := binary.Uvarint(b)
		if n <= 0 || n >= len(b) {
			return false
		}
		if b[n] == loose {
			s.window.add(inflight{id: uint16(delta), state: stateReleased})
			b = b[n+1:]
			continue
		}
		at += delta
		s.window.add(inflight{offset: at, id: idOf(at), state: delivery(b[n]), logged: true})
		b = b[n+1:]
	}
	return true
}

// tell returns what is to be told when a message has arrived, or nil.
func (b *Broker) tell(d *dispatch) *told {
	if !strings.HasPrefix(d.subject(), "$devices/") {
		return nil
	}
	e := d.keep()
	return &told{e.Subject, e.ID}
}
