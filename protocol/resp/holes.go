package resp

import (
	"sync"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp/wire"
	"github.com/spate-io/spate/protocol/resp/xstream"
)

// A hole is the place in the replies of a pipeline where one is still missing: it waits for the disk, and the requests behind it
// do not. So all that a pipeline stores shares one fsync. A command whose flags do not say async waits until the holes are filled,
// since it may look at what was stored.
type hole struct {
	at    int // in Request.out
	added *xstream.Added
	sent  *sent
}

// sent is what becomes of an event that PUBLISH has to store.
type sent struct {
	receivers int
	err       error
	stored    *sync.WaitGroup
}

// later leaves a hole for the reply.
func (r *Request) later(h hole) {
	r.want--
	r.proto.pending.Add(1)
	h.at = len(r.out)
	r.holes = append(r.holes, h)
}

// fill waits for all that is missing, and puts it in its place.
func (r *Request) fill() {
	if len(r.holes) == 0 {
		return
	}
	r.stored.Wait()
	old, from := r.out, 0
	r.out = r.spare[:0]
	for i := range r.holes {
		h := &r.holes[i]
		r.out = append(r.out, old[from:h.at]...)
		from = h.at
		r.answer(h)
	}
	r.out = append(r.out, old[from:]...)
	r.spare = old
	r.proto.pending.Add(-int64(len(r.holes)))
	clear(r.holes)
	r.holes = r.holes[:0]
}

// answer appends the reply that was missing.
func (r *Request) answer(h *hole) {
	if h.sent != nil {
		if h.sent.err != nil {
			r.fault(h.sent.err)
			return
		}
		r.out = wire.Integer(r.out, int64(h.sent.receivers))
		return
	}
	id, err := h.added.Result(connContext{r.conn})
	if err != nil {
		r.fault(err)
		return
	}
	var text [41]byte
	r.out = wire.Bulk(r.out, id.Append(text[:0]))
}

// fault appends an error in place of a reply.
func (r *Request) fault(err error) {
	r.tally.errors++
	r.out = wire.Fault(r.out, string(storeError(err)))
}

// kept returns the spare buffer, if it is not too large to be kept.
func (r *Request) kept() []byte {
	if cap(r.spare) > replyKept {
		return nil
	}
	return r.spare[:0]
}

// publishStored publishes an event that a stream captures. The reply comes once it is stored.
func (r *Request) publishStored(subject, data []byte) error {
	s := &sent{stored: &r.stored}
	r.stored.Add(1)
	e := &event.Event{Subject: string(subject), Data: append([]byte(nil), data...)}
	r.proto.bus.Submit([]*event.Event{e}, s.done)
	r.later(hole{sent: s})
	return nil
}

// done is called by the bus.
func (s *sent) done(r bus.Receipt, err error) {
	s.receivers, s.err = r.Receivers, err
	s.stored.Done()
}
