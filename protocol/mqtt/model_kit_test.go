package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// A rig is a broker in a bubble of testing/synctest: its connections are pipes and its clock is the bubble's, so that a step has been done, all of it, when everything waits.
type rig struct {
	t      testing.TB
	config Config
	store  *memstore.Store
	life   *life
}

// A life is what a crash ends.
type life struct {
	bus    *bus.Bus
	broker *Broker
	engine *engine.Engine
	door   *pipes
	cancel context.CancelFunc
	ran    chan struct{}
}

func newRig(t testing.TB, c Config) *rig {
	r := &rig{t: t, config: c, store: memstore.New(memstore.Options{})}
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log, err := stream.Open(ctx, r.store, stream.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	l := &life{cancel: cancel, ran: make(chan struct{}), door: newPipes(), bus: bus.New(bus.Options{Log: log})}
	if l.broker, err = New(ctx, Options{Bus: l.bus, Config: r.config, Logger: quiet}); err != nil {
		r.t.Fatal(err)
	}
	if l.engine, err = engine.New(engine.Options{Driver: engine.Net, Logger: quiet}); err != nil {
		r.t.Fatal(err)
	}
	if _, err = l.engine.Serve(l.door, engine.ListenOptions{Protocol: l.broker.Protocol(ListenerOptions{Strict: true})}); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer close(l.ran)
		_ = l.broker.Run(ctx)
	}()
	r.life = l
}

// crash ends the broker as kill -9 would, with what was committed.
func (r *rig) crash() {
	r.store = r.store.Reopen()
	r.end()
	r.start()
}

// end ends the broker.
func (r *rig) end() {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.life.engine.Shutdown(done)
	r.life.cancel()
	<-r.life.ran
	r.life.bus.Wait()
}

func (r *rig) close() {
	r.end()
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newPipes() *pipes { return &pipes{waiting: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A peer is one connection as its client sees it: it answers nothing by itself.
type peer struct {
	conn    net.Conn
	version packet.Version

	mu     sync.Mutex
	frames []packet.Frame
	times  []time.Time // when they came
	err    error       // why the connection has ended
}

func (r *rig) dial(v packet.Version) *peer {
	near, far := net.Pipe()
	r.life.door.waiting <- far
	p := &peer{conn: near, version: v}
	go p.read()
	return p
}

// read collects what comes.
func (p *peer) read() {
	var in []byte
	scratch := make([]byte, 4096)
	for {
		n, err := p.conn.Read(scratch)
		in = append(in, scratch[:n]...)
		for err == nil {
			f, used, e := packet.Split(in, 0)
			if used == 0 || e != nil {
				err = e
				break
			}
			f.Body = append([]byte(nil), f.Body...)
			in = in[used:]
			p.mu.Lock()
			p.frames, p.times = append(p.frames, f), append(p.times, time.Now())
			p.mu.Unlock()
		}
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
	}
}

// send writes packets. That the other side has closed meanwhile shows in what is received.
func (p *peer) send(b []byte) { _, _ = p.conn.Write(b) }

// take returns what has come since it was last asked.
func (p *peer) take() (frames []packet.Frame, times []time.Time, ended error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	frames, times, p.frames, p.times = p.frames, p.times, nil, nil
	return frames, times, p.err
}

func (p *peer) close() { _ = p.conn.Close() }

// tick is longer than marksEvery, so that what is done soon is done, and no multiple of anything.
const tick = marksEvery + 11*time.Millisecond + 13*time.Microsecond

// other publishes as another door would.
func (r *rig) other(topic, payload string) error {
	_, err := r.life.bus.Publish(context.Background(), &event.Event{Subject: topic, Data: []byte(payload)})
	return err
}

// A got is a PUBLISH that has come.
type got struct {
	topic, payload string
	qos            byte
	dup, retain    bool
	pid            uint16
	ids            []uint32
	expiry         uint32
	at             time.Time // when it came
}

// received is what has come in one step.
type received struct {
	publishes []got
	released  []uint16 // PUBREL
	acked     []string // PUBACK, PUBREC, PUBCOMP, in order
	granted   []packet.Code
	connack   *packet.ConnackPacket
	ended     error
}

// sort takes packets apart.
func (p *peer) sort() (r received, err error) {
	var frames []packet.Frame
	var times []time.Time
	frames, times, r.ended = p.take()
	for i, f := range frames {
		switch f.Type {
		case packet.Publish:
			var g got
			if g, err = publishOf(f, p.version); err == nil {
				g.at = times[i]
				r.publishes = append(r.publishes, g)
			}
		case packet.Puback, packet.Pubrec, packet.Pubcomp, packet.Pubrel:
			var a packet.AckPacket
			if a, err = f.Ack(p.version); err != nil {
				break
			}
			if f.Type == packet.Pubrel {
				r.released = append(r.released, a.ID)
				break
			}
			text := fmt.Sprintf("%s %d", f.Type, a.ID)
			if a.Code.Failed() {
				text += " " + a.Code.String()
			}
			r.acked = append(r.acked, text)
		case packet.Suback:
			var s *packet.SubackPacket
			if s, err = f.Suback(p.version); err == nil {
				r.granted = append(r.granted, s.Codes...)
			}
		case packet.Connack:
			r.connack, err = f.Connack(p.version)
		case packet.Unsuback, packet.Disconnect:
		default:
			err = errors.New("it does not belong here")
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", f.Type, err)
		}
	}
	return r, nil
}

func publishOf(f packet.Frame, v packet.Version) (g got, err error) {
	p, err := f.Publish(v)
	if err != nil {
		return g, err
	}
	g = got{topic: string(p.Topic), payload: string(p.Payload), qos: p.QoS, dup: p.Dup, retain: p.Retain, pid: p.ID}
	q, err := p.Properties()
	if err == nil && q != nil {
		g.ids, g.expiry = q.SubscriptionIDs, q.MessageExpiry
	}
	return g, err
}

// putBack has packets taken again.
func (p *peer) putBack(frames []packet.Frame, times []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames, p.times = append(frames, p.frames...), append(times, p.times...)
}
