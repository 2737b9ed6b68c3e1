package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// An mqttPublisher is what is under way from one publisher.
type mqttPublisher struct {
	conn       int
	topic      string
	slots      []mqttSlot // of messages from number done on, by number modulo their count
	sent, done uint32
	queued     bool          // it is in the list of those that may publish
	moved      time.Duration // when something of it was last delivered or acknowledged
}

// An mqttSlot is a message under way. Its packet identifier is its place, counted from 1.
type mqttSlot struct {
	at    time.Duration // when it was sent, or was due
	left  uint32        // deliveries and acknowledgements that are still to come
	await byte          // the packet that must answer it, or zero
}

// An mqttSubscriber is what one subscriber has received.
type mqttSubscriber struct {
	next []uint32 // the number of the next message, of its publisher or of each
}

// own tells whether each publisher has a topic of its own.
func (o *MQTTOptions) own() bool { return strings.Contains(o.Topic, placeholder) }

// topic returns the topic of a publisher, or what a subscriber is subscribed to.
func (r *mqttRun) topic(n int) string {
	if !r.o.own() {
		return r.o.Topic
	}
	return topicOf(r.o.Topic, "", n%max(r.o.Publishers, 1))
}

// prepareFlow makes what publishers and subscribers keep in mind.
func (r *mqttRun) prepareFlow() {
	o := r.o
	r.publishers = make([]mqttPublisher, o.Publishers)
	for i := range r.publishers {
		r.publishers[i] = mqttPublisher{conn: i, topic: r.topic(i), slots: make([]mqttSlot, o.Inflight)}
	}
	r.subscribers = make([]mqttSubscriber, o.Subscribers)
	publishers := o.Publishers
	if o.own() {
		publishers = 1
	}
	for i := range r.subscribers {
		r.subscribers[i].next = make([]uint32, publishers)
	}
	r.fill = bytes.Repeat([]byte{'x'}, o.Size)
	if o.QoS > 0 {
		r.firstAck = [...]byte{0, mqttPuback, mqttPubrec}[o.QoS]
	}
}

// audience calls f for each subscriber of publisher p that reads, with the place where it counts what it has of p.
func (r *mqttRun) audience(p int, f func(next *uint32)) {
	step, first, place := 1, 0, p
	if r.o.own() {
		step, first, place = r.o.Publishers, p, 0
	}
	for s := first; s < r.o.Subscribers; s += step {
		if !r.conns[r.o.Publishers+s].stalled {
			f(&r.subscribers[s].next[place])
		}
	}
}

// ready puts a publisher on the list of those that may have something to publish.
func (r *mqttRun) ready(p int) {
	if !r.publishers[p].queued {
		r.publishers[p].queued = true
		r.queue = append(r.queue, p)
	}
}

// maxBacklog is how much may wait in the output of a publisher before it publishes more.
const maxBacklog = 64 << 10

// room tells whether a publisher may publish.
func (r *mqttRun) room(p *mqttPublisher) bool {
	return p.sent-p.done < uint32(r.o.Inflight) && len(r.conns[p.conn].out) < maxBacklog
}

// publishReady lets the publishers of a closed loop publish that can.
func (r *mqttRun) publishReady() error {
	queue := r.queue
	r.queue = r.spare[:0]
	r.spare = queue
	now := r.m.now()
	for _, n := range queue {
		p := &r.publishers[n]
		p.queued = false
		if !r.publishing || r.o.Rate > 0 {
			continue
		}
		start := len(r.conns[p.conn].out)
		for r.room(p) {
			r.publish(p, now)
		}
		if err := r.send(p, start); err != nil {
			return err
		}
		if r.room(p) && len(r.conns[p.conn].out) == 0 {
			r.ready(n) // nobody answers it: it publishes as fast as the server reads
		}
	}
	return nil
}

// publish appends the next message to a publisher's output.
func (r *mqttRun) publish(p *mqttPublisher, at time.Duration) {
	c, o := &r.conns[p.conn], r.o
	place := int(p.sent) % o.Inflight
	slot := &p.slots[place]
	*slot = mqttSlot{at: at, left: r.reading(p.conn)}
	if o.QoS > 0 {
		slot.left++
		slot.await = r.firstAck
	}
	c.out = appendPublish(c.out, byte(o.Version), p.topic, byte(o.QoS), uint16(place+1), o.Size)
	start := len(c.out)
	c.out = append(c.out, r.fill...)
	payload := c.out[start:]
	binary.LittleEndian.PutUint32(payload, uint32(p.conn))
	binary.LittleEndian.PutUint32(payload[4:], p.sent)
	if o.Size >= timedMQTTSize {
		binary.LittleEndian.PutUint64(payload[8:], uint64(at))
	}
	if p.sent == p.done {
		p.moved = at
	}
	p.sent++
	if r.counting() {
		r.r.Sent++
		if r.o.Subscribers == 0 {
			r.m.r.Requests++ // what progress shows
		}
	}
	r.advance(p)
}

// reading returns how many subscribers of publisher p read.
func (r *mqttRun) reading(p int) (n uint32) {
	if r.readers == nil {
		r.readers = make([]uint32, r.o.Publishers)
		for i := range r.readers {
			r.audience(i, func(*uint32) { r.readers[i]++ })
		}
	}
	return r.readers[p]
}

// send flushes what a publisher has appended since start.
func (r *mqttRun) send(p *mqttPublisher, start int) error {
	c := &r.conns[p.conn]
	r.wrap(c, start)
	if err := c.flush(); err != nil {
		return r.broken(p.conn, err)
	}
	return nil
}

// advance frees the slots of messages that nobody waits for.
func (r *mqttRun) advance(p *mqttPublisher) {
	for p.done != p.sent && p.slots[int(p.done)%r.o.Inflight].left == 0 {
		p.done++
	}
}

// flow serves a packet of a connection that is up.
func (r *mqttRun) flow(c *mqttConn, p mqttPacket) error {
	switch {
	case p.first&mqttType == mqttPublish && c.role == mqttSubscriberRole:
		return r.delivery(c, p)
	case p.first&mqttType == mqttPubrel&mqttType && c.role == mqttSubscriberRole:
		id, _, err := p.ack()
		c.out = appendMQTTAck(c.out, mqttPubcomp, id)
		return err
	case c.role == mqttPublisherRole:
		return r.acknowledgement(c, p)
	}
	return fmt.Errorf("%w: a packet of type %d", errMQTTUnasked, p.first>>4)
}

// acknowledgement takes a PUBACK, PUBREC or PUBCOMP.
func (r *mqttRun) acknowledgement(c *mqttConn, packet mqttPacket) error {
	p := &r.publishers[c.number]
	id, reason, err := packet.ack()
	if err != nil {
		return err
	}
	kind := packet.first & mqttType
	if id == 0 || int(id) > len(p.slots) || p.slots[id-1].await != kind || kind == 0 {
		return fmt.Errorf("%w: a packet of type %d with identifier %d", errMQTTUnasked, kind>>4, id)
	}
	slot := &p.slots[id-1]
	if reason >= mqttRefused {
		return fmt.Errorf("a message was refused: %s", mqttReason(reason))
	}
	if kind == mqttPubrec {
		slot.await = mqttPubcomp
		c.out = appendMQTTAck(c.out, mqttPubrel, id)
		return nil
	}
	slot.await = 0
	slot.left--
	if r.counting() {
		r.r.Acked++
	}
	r.record(r.ack, slot.at)
	r.settled(p)
	return nil
}

// settled notes that something of a publisher was delivered or acknowledged.
func (r *mqttRun) settled(p *mqttPublisher) {
	p.moved = r.arrived
	if r.advance(p); p.done == p.sent || r.room(p) {
		r.ready(p.conn)
	}
}

// delivery takes a message that a subscriber has received.
func (r *mqttRun) delivery(c *mqttConn, packet mqttPacket) error {
	topic, payload, id, err := packet.publication(byte(r.o.Version))
	if err != nil {
		return err
	}
	if len(payload) != r.o.Size || packet.qos() != byte(r.o.QoS) {
		return fmt.Errorf("%w: QoS %d, %d bytes", errMQTTWrong, packet.qos(), len(payload))
	}
	switch packet.qos() {
	case 1:
		c.out = appendMQTTAck(c.out, mqttPuback, id)
	case 2:
		c.out = appendMQTTAck(c.out, mqttPubrec, id)
	}
	from, seq := int(binary.LittleEndian.Uint32(payload)), binary.LittleEndian.Uint32(payload[4:])
	head := min(len(payload), timedMQTTSize)
	if len(payload) < timedMQTTSize {
		head = minMQTTSize
	}
	if from >= len(r.publishers) || string(topic) != r.publishers[from].topic || r.o.own() && from != c.number%r.o.Publishers ||
		!bytes.Equal(payload[head:], r.fill[head:]) {
		return fmt.Errorf("%w: %q with %q", errMQTTWrong, shorten(topic), shorten(payload))
	}
	return r.count(c, from, seq, payload)
}

// count takes a message into account that is what its publisher has sent.
func (r *mqttRun) count(c *mqttConn, from int, seq uint32, payload []byte) error {
	p := &r.publishers[from]
	next := &r.subscribers[c.number].next[0]
	if !r.o.own() {
		next = &r.subscribers[c.number].next[from]
	}
	gap := int32(seq - *next)
	switch {
	case int32(p.sent-seq) <= 0:
		return fmt.Errorf("%w: message %d of publisher %d, which has sent %d", errMQTTWrong, seq, from, p.sent)
	case gap < 0:
		r.r.Repeated++
		return nil
	}
	for ; *next != seq; *next++ {
		r.r.Lost++
		p.slots[int(*next)%r.o.Inflight].left--
	}
	*next++
	p.slots[int(seq)%r.o.Inflight].left--
	if r.counting() {
		r.r.Delivered++
		r.m.r.Requests++
	}
	if len(payload) >= timedMQTTSize {
		r.record(r.latency, time.Duration(binary.LittleEndian.Uint64(payload[8:])))
	}
	r.settled(p)
	return nil
}

// counting tells whether what happens now is measured.
func (r *mqttRun) counting() bool { return r.m.measuring && !r.m.ended }

// record measures what began at a time, if that is asked for. Of an open loop it counts when it was due in the time
// measured, however late it comes; of a closed one when it comes then.
func (r *mqttRun) record(h *Histogram, at time.Duration) {
	counts := r.arrived
	if r.o.Rate > 0 {
		counts = at
	}
	if h != nil && counts >= r.since && counts < r.until {
		h.Record(r.arrived - at)
	}
}

// writeOffStuck gives up messages of QoS 0 that will not come any more, so that their publishers go on.
func (r *mqttRun) writeOffStuck(now time.Duration) {
	for i := range r.publishers {
		if p := &r.publishers[i]; r.o.QoS == 0 && p.done != p.sent && now-p.moved > r.o.patience {
			r.writeOff(i)
			r.ready(i)
		}
	}
}

// writeOff counts as lost what is under way from a publisher.
func (r *mqttRun) writeOff(i int) {
	p := &r.publishers[i]
	r.audience(i, func(next *uint32) {
		r.r.Lost += uint64(p.sent - *next)
		*next = p.sent
	})
	for ; p.done != p.sent; p.done++ {
		if p.slots[int(p.done)%r.o.Inflight].await != 0 {
			r.r.Unacked++
		}
	}
}

// stall lets the last of the subscribers read no more. Nobody waits for them from now on.
func (r *mqttRun) stall() {
	o := r.o
	for s := o.Subscribers - o.Stalled; s < o.Subscribers; s++ {
		for place, next := range r.subscribers[s].next {
			if o.own() {
				place = s % o.Publishers
			}
			p := &r.publishers[place]
			for ; next != p.sent; next++ {
				p.slots[int(next)%o.Inflight].left--
			}
			r.advance(p)
			r.ready(place)
		}
		r.conns[o.Publishers+s].stalled = true
	}
	r.readers = nil
}
