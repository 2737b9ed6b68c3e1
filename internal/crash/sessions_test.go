package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// Promise: messages of QoS 1 and 2 that were acknowledged reach sessions that outlive their connections, whatever kill -9 comes between: none is lost, none of
// QoS 2 comes twice, and each topic keeps its order. Sessions, subscriptions, retained messages and wills survive too.
func TestPromiseSessions(t *testing.T) {
	f := newFleet(t)
	f.round((*fleet).setUp)
	for range *kills {
		f.round((*fleet).live)
		if t.Failed() {
			return
		}
	}
	f.round((*fleet).settle)
	f.check()
}

// A fleet is the clients of the test. What they hold of their sessions outlives the server, and their connections.
type fleet struct {
	t       *testing.T
	dir     string
	rng     *rand.Rand
	number  int // of the round
	senders []*sender
	readers []*reader
	keeper  *sender // publishes retained messages
	mortals []*mortal
}

func newFleet(t *testing.T) *fleet {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("the seed is %d (-model-seed)", s)
	f := &fleet{t: t, dir: shortDir(t), rng: rand.New(rand.NewPCG(s, 0))}
	for i := range 4 {
		p := &sender{peer: f.peer(fmt.Sprint("sender-", i), i)}
		for k, qos := range []byte{1, 2, 1, 2} {
			p.topics = append(p.topics, &topic{name: fmt.Sprintf("t/%d/q%d/%d", i, qos, k), qos: qos})
		}
		f.senders = append(f.senders, p)
	}
	f.keeper = &sender{peer: f.peer("keeper", 1), retain: true, topics: []*topic{{name: "r/0", qos: 1}, {name: "r/1", qos: 2}}}
	f.senders = append(f.senders, f.keeper)
	for i, subs := range [][]packet.Subscription{
		{{Filter: "t/#", QoS: 2}},
		{{Filter: "t/#", QoS: 2}, {Filter: "w/#", QoS: 2}},
		{{Filter: "t/+/q1/#", QoS: 1}},
		{{Filter: "t/1/#", QoS: 1}, {Filter: "t/+/q2/+", QoS: 2}},
		{{Filter: "t/2/q1/0", QoS: 2}, {Filter: "t/2/q2/1", QoS: 2}, {Filter: "t/3/#", QoS: 1}},
		{{Filter: "t/0/+/+", QoS: 2}, {Filter: "t/+/q2/3", QoS: 2}, {Filter: "r/#", QoS: 2}},
	} {
		f.readers = append(f.readers, &reader{peer: f.peer(fmt.Sprint("reader-", i), i), subs: subs, takes: []uint16{0, 1, 7, 50}[i%4], got: map[string][]receipt{}})
	}
	return f
}

func (f *fleet) peer(id string, i int) *peer {
	version := [2]packet.Version{packet.V311, packet.V5}[i%2]
	return &peer{fleet: f, id: id, version: version, rng: rand.New(rand.NewPCG(f.rng.Uint64(), f.rng.Uint64()))}
}

// round starts the server, has the clients do something, and kills it. The context ends when the server has.
func (f *fleet) round(what func(f *fleet, ctx context.Context, v *victim)) {
	f.t.Helper()
	f.number++
	v := start(f.t, f.dir)
	defer v.kill()
	ctx, cancel := context.WithTimeout(v.alive, time.Minute)
	defer cancel()
	what(f, ctx, v)
	if f.t.Failed() {
		v.kill()
		f.t.Logf("in round %d; the server said:\n%s", f.number, &v.log)
	}
}

// setUp makes the sessions. The server is killed as soon as the last subscription is acknowledged.
func (f *fleet) setUp(ctx context.Context, _ *victim) {
	for _, r := range f.readers {
		c := r.dial(ctx)
		if c == nil {
			f.t.Fatalf("%s cannot connect", r.id)
		}
		if _, err := c.Subscribe(ctx, r.subs...); err != nil {
			f.t.Fatal(err)
		}
		c.Kill()
	}
}

// live has all clients do what they do until the server is killed.
func (f *fleet) live(ctx context.Context, v *victim) {
	m := &mortal{peer: f.peer(fmt.Sprint("mortal-", f.number), f.number)}
	f.mortals = append(f.mortals, m)
	var all sync.WaitGroup
	all.Go(func() { m.live(ctx) })
	for _, p := range f.senders {
		all.Go(func() { p.live(ctx) })
	}
	for _, r := range f.readers {
		if f.rng.IntN(2) == 0 {
			all.Go(func() { r.live(ctx) })
		}
	}
	pause(ctx, f.rng.IntN(200))
	v.kill()
	all.Wait()
}

// settle has everything acknowledged and received.
func (f *fleet) settle(ctx context.Context, _ *victim) {
	var all sync.WaitGroup
	for _, p := range f.senders {
		all.Go(func() { p.settle(ctx) })
	}
	all.Wait()
	for _, r := range f.readers {
		all.Go(func() { r.settle(ctx) })
	}
	all.Wait()
	f.checkRetained(ctx)
}

// A peer is one client.
type peer struct {
	fleet   *fleet
	id      string
	version packet.Version
	rng     *rand.Rand
	session mqttclient.Session
	known   bool // the server has said that it has the session
	dialed  int
}

// connect connects to the session that the server has to have.
func (p *peer) connect(ctx context.Context, o mqttclient.Options) *mqttclient.Client {
	o.Version, o.ClientID, o.Session, o.Resume, o.SessionExpiry = p.version, p.id, &p.session, true, 0xFFFFFFFF
	p.dialed++
	c, err := mqttclient.Dial(ctx, "mqtt+unix://"+filepath.Join(p.fleet.dir, mqttSocket), o)
	if err != nil {
		pause(ctx, 1)
		return nil
	}
	if p.known && !c.Connack().SessionPresent {
		p.fleet.t.Errorf("round %d: the session of %s is lost", p.fleet.number, p.id)
	}
	p.known = true
	return c
}

func pause(ctx context.Context, ms int) {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
	case <-ctx.Done():
	}
}

// A sender publishes numbers, on each of its topics one after the other.
type sender struct {
	*peer
	topics []*topic
	retain bool
}

type topic struct {
	name string
	qos  byte
	sent []*sent
}

// sent is one message, and in which round and by which connection it was sent first.
type sent struct {
	round, dialed int
	*mqttclient.Publishing
}

func (p *sender) live(ctx context.Context) {
	for ctx.Err() == nil {
		c := p.connect(ctx, mqttclient.Options{})
		if c == nil {
			continue
		}
		for range p.rng.IntN(100) {
			if !p.publish(ctx, c) {
				break
			}
			if p.rng.IntN(4) == 0 { // otherwise they come in a burst
				pause(ctx, 1+p.rng.IntN(10))
			}
		}
		if p.rng.IntN(3) == 0 {
			_ = p.wait(ctx, c) // the next connection goes on with what is left
		}
		c.Kill()
	}
}

func (p *sender) publish(ctx context.Context, c *mqttclient.Client) bool {
	to := p.topics[p.rng.IntN(len(p.topics))]
	m, err := c.Start(ctx, mqttclient.Message{Topic: to.name, QoS: to.qos, Retain: p.retain, Payload: fmt.Append(nil, len(to.sent))})
	if m != nil { // it is in the session, whether or not it was sent
		to.sent = append(to.sent, &sent{p.fleet.number, p.dialed, m})
	}
	return err == nil
}

// wait waits until everything is acknowledged.
func (p *sender) wait(ctx context.Context, c *mqttclient.Client) error {
	for _, to := range p.topics {
		for _, m := range to.sent {
			if _, err := c.Wait(ctx, m.Publishing); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle sends one more message on each topic, and has all of them acknowledged.
func (p *sender) settle(ctx context.Context) {
	c := p.connect(ctx, mqttclient.Options{})
	if c == nil {
		p.fleet.t.Errorf("%s cannot connect", p.id)
		return
	}
	defer c.Close()
	for _, to := range p.topics {
		m, err := c.Start(ctx, mqttclient.Message{Topic: to.name, QoS: to.qos, Retain: p.retain, Payload: fmt.Append(nil, len(to.sent))})
		if err != nil {
			p.fleet.t.Error(err)
			return
		}
		to.sent = append(to.sent, &sent{p.fleet.number, p.dialed, m})
	}
	if err := p.wait(ctx, c); err != nil {
		p.fleet.t.Errorf("%s: not everything was acknowledged, %d are left: %v", p.id, p.session.Unacknowledged(), err)
	}
}

// A reader is away most of the time. It writes down what it receives before it acknowledges it.
type reader struct {
	*peer
	subs  []packet.Subscription
	takes uint16 // its Receive Maximum
	got   map[string][]receipt
}

// A receipt is one message that was received: the number in it, and how it came.
type receipt struct {
	payload       string
	round, dialed int
	id            uint16
	qos           byte
	dup           bool
}

func (r *reader) dial(ctx context.Context) *mqttclient.Client {
	o := mqttclient.Options{ManualAck: true}
	if r.takes > 0 {
		o.Properties = (&packet.Properties{ReceiveMaximum: r.takes}).Set(packet.ReceiveMaximum)
	}
	return r.connect(ctx, o)
}

func (r *reader) live(ctx context.Context) {
	for ctx.Err() == nil {
		if c := r.dial(ctx); c != nil {
			if r.rng.IntN(3) == 0 { // again, which brings retained messages, and changes nothing else
				_, _ = c.Subscribe(ctx, r.subs...)
			}
			r.read(ctx, c, r.rng.IntN(200))
			c.Kill()
		}
		if r.rng.IntN(2) == 0 {
			pause(ctx, r.rng.IntN(100))
		}
	}
}

// read takes so many messages. Some of them are held for a while before they are acknowledged, and the last ones are not.
func (r *reader) read(ctx context.Context, c *mqttclient.Client, most int) {
	var held []*mqttclient.Message
	for n := 0; n < most; {
		m, ok := receive(ctx, c, 10*time.Millisecond)
		switch {
		case ok:
			held = append(held, m)
			n++
		case ctx.Err() != nil || c.Err() != nil:
			return
		}
		if ok && len(held) < r.rng.IntN(20) {
			continue
		}
		for _, m := range held {
			r.take(c, m)
		}
		held = nil
	}
}

func receive(ctx context.Context, c *mqttclient.Client, patience time.Duration) (*mqttclient.Message, bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := c.Receive(ctx)
	return m, err == nil
}

func (r *reader) take(c *mqttclient.Client, m *mqttclient.Message) {
	if m.Retain {
		_ = c.Ack(m, packet.Success)
		return
	}
	r.got[m.Topic] = append(r.got[m.Topic], receipt{string(m.Payload), r.fleet.number, r.dialed, m.ID, m.QoS, m.Dup})
	_ = c.Ack(m, packet.Success) // if the connection has ended, the session knows that the message was taken
}

// settle reads until there is nothing more: everything that is missing has its time to come.
func (r *reader) settle(ctx context.Context) {
	c := r.dial(ctx)
	if c == nil {
		r.fleet.t.Errorf("%s cannot connect", r.id)
		return
	}
	defer c.Close()
	for patience := 20 * time.Second; ; {
		if r.complete() {
			patience = 50 * time.Millisecond
		}
		m, ok := receive(ctx, c, patience)
		if !ok {
			return
		}
		r.take(c, m)
	}
}

// complete tells whether the last message of every topic was received.
func (r *reader) complete() bool {
	for _, p := range r.fleet.senders {
		for _, to := range p.topics {
			got := r.got[to.name]
			if r.qos(to) > 0 && (len(got) == 0 || got[len(got)-1].payload != fmt.Sprint(len(to.sent)-1)) {
				return false
			}
		}
	}
	for _, m := range r.fleet.mortals {
		if m.lived && r.granted(m.topic()) > 0 && len(r.got[m.topic()]) == 0 {
			return false
		}
	}
	return true
}

// qos is that with which messages of a topic reach the reader.
func (r *reader) qos(to *topic) byte { return min(to.qos, r.granted(to.name)) }

func (r *reader) granted(topic string) (qos byte) {
	for _, s := range r.subs {
		if f, err := event.ParseFilter(s.Filter, event.Limits{}); err == nil && f.Match(topic) {
			qos = max(qos, s.QoS)
		}
	}
	return qos
}

// A mortal connects once, and lives as long as the server. Its will is to be published, since it never says good-bye.
type mortal struct {
	*peer
	lived bool
}

func (m *mortal) topic() string { return "w/" + m.id }

func (m *mortal) live(ctx context.Context) {
	o := mqttclient.Options{Version: m.version, ClientID: m.id, Will: &packet.Will{Topic: m.topic(), Payload: []byte("0"), QoS: 2}}
	c, err := mqttclient.Dial(ctx, "mqtt+unix://"+filepath.Join(m.fleet.dir, mqttSocket), o)
	if err != nil {
		return
	}
	m.lived = true
	<-ctx.Done()
	c.Close()
}
