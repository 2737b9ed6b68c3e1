package mqtt

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// Options configure a [Broker]. Bus is needed; the zero value of the rest works.
type Options struct {
	// Bus routes what is published. If it has no streams, sessions end with their connections and nothing is retained.
	Bus *bus.Bus
	// Auth decides who may do what. Default: everybody may do everything.
	Auth *auth.Auth
	// Config says how it behaves.
	Config Config
	// Event bounds topics, filters and messages, and is what the Bus has been given. Default: the constants of package event.
	Event event.Limits
	// Devices is told who connects. Default: nobody is.
	Devices Devices
	// Logger takes the log. Default: none.
	Logger *slog.Logger
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

// A Config says how a broker behaves. The zero value is good.
type Config struct {
	// Limits bound what clients can make the broker hold. Each has a default.
	Limits Limits
	// Ack says when messages of QoS 1 and 2 are acknowledged. Default: [AckStored].
	Ack Ack
	// Overflow says what happens to messages of QoS 1 and 2 for a session beyond its bounds: engine.DropOldest, engine.DropNewest, or engine.Disconnect, which ends
	// the session. Default: DropOldest.
	Overflow Overflow
	// ByKey are the names of shared subscriptions that give all messages of one key (the event's, or its topic) to the same member, as long as the members stay the
	// same, instead of to each in turn. Default: none. "*" stands for all.
	ByKey []string
	// Server, if it is set, is where version 5 clients are told to go instead (Server Reference, §4.11): nobody is let in. Default: nowhere.
	Server string
	// WillGrace is how long after a start clients have to come back before the wills are published of those that were connected when the server ended. Default 10 s.
	WillGrace time.Duration
}

// Ack says when a message of QoS 1 or 2 is acknowledged to its publisher.
type Ack uint8

const (
	// AckStored acknowledges once the message is on disk, wherever somebody waits for it: a stream, or a session that outlives its connection.
	AckStored Ack = iota
	// AckReceived acknowledges when the message has been taken. Danger: what was acknowledged a moment before a crash is lost.
	AckReceived
)

// Overflow says what happens to a message that a session has no room for.
type Overflow uint8

// The overflow policies of sessions.
const (
	DropOldest Overflow = iota // the oldest that waits makes room
	DropNewest                 // it is not kept
	EndSession                 // the session ends, with its client disconnected
)

// Devices is told about connections: [device.Service] is one.
type Devices interface {
	// Connected is called before a client is told that it is connected, on the connection's task. It may block. It returns the epoch of the connection, or 0 if the client
	// is no device. An error refuses the client.
	Connected(ctx context.Context, c device.Session) (epoch uint64, err error)
	// Disconnected is called once the connection has ended or was taken over. It must not block.
	Disconnected(c device.Session, reason string)
}

// LastHeard returns when something was last received from a client that is connected and has a keep-alive; of others that is not known. It costs nothing for
// what is received.
func (b *Broker) LastHeard(id string) (at time.Time, known bool) {
	s := b.lookup(id)
	if s == nil {
		return at, false
	}
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c == nil {
		return at, false
	}
	d, known := c.carrier.Silence()
	return b.now().Add(-d), known
}

// A Receiver is Devices that want to know when a client has acknowledged an event below [bus.DeviceRoot], or can receive such events.
type Receiver interface {
	// Delivered is told of the first. It must not block.
	Delivered(id, subject string, e event.ID)
	// Subscribed is called once a client was told that it has subscribed to a filter below [bus.DeviceRoot]. It must not block.
	Subscribed(c device.Session, filter string, kept bool)
	// Resumed is called once a client was told that it has the session of its last connection, with the filters below [bus.DeviceRoot] of that. It must not block.
	Resumed(c device.Session, filters iter.Seq2[string, bool])
	// Unsubscribed is called once a client was told that it has unsubscribed from such a filter, with those that its session has still. It must not block.
	Unsubscribed(c device.Session, filter string, left iter.Seq2[string, bool])
}

// A Broker is MQTT on a bus. Its methods are safe for concurrent use. Make it with New, serve it with [Broker.Protocol], and keep Run running.
type Broker struct {
	opts   Options
	config Config
	limits Limits
	bus    *bus.Bus
	auth   *auth.Auth
	log    *slog.Logger
	told   Receiver    // nil: nobody wants to know
	store  store.Store // nil: nothing outlives its connection
	tap    *stream.Tap // captures what sessions wait for
	batch  int         // how many messages are committed together
	salt   []byte      // of publisher tags

	mu       sync.RWMutex
	sessions map[string]*session
	lasting  int // of sessions
	backlogs map[event.Filter]*backlog
	shares   map[shareName]*share

	stripes   [stripes]sync.Mutex // held while a client of that stripe connects
	turns     sync.Pool
	admission admission
	agenda    agenda
	marks     marks
	retained  retained
	started   time.Time
	losses    losses
	swept     uint64 // the end of the log at the last sweep; used by Run only
	events    event.Limits
	count     counters
	lines     engine.LineLimit // of the log, about messages that are not taken
}

// New returns a broker, with the sessions that the store has. It reads what they wait for, so it takes as long as that is much: about a second for two million messages.
func New(ctx context.Context, o Options) (*Broker, error) {
	if o.Bus == nil {
		return nil, errors.New("the MQTT broker needs a Bus to route messages")
	}
	b := &Broker{
		opts: o, config: o.Config, limits: o.Config.Limits.WithDefaults(), batch: publishBatch, bus: o.Bus, auth: o.Auth, log: o.Logger, events: o.Event,
		sessions: map[string]*session{}, backlogs: map[event.Filter]*backlog{}, shares: map[shareName]*share{},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.opts.Clock == nil {
		b.opts.Clock = time.Now
	}
	b.config.WillGrace = or(b.config.WillGrace, willGrace)
	b.told, _ = o.Devices.(Receiver)
	b.turns.New = newTurn
	b.started = b.now()
	b.admission.init(b)
	b.agenda.init(b)
	b.marks.broker = b
	b.retained.broker = b
	if l := o.Bus.Streams(); l != nil {
		if err := b.open(ctx, l); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *Broker) now() time.Time { return b.opts.Clock() }

// A ListenerOptions configures what one listener speaks. The zero value is good.
type ListenerOptions struct {
	// Strict refuses what the specification forbids and many clients do nevertheless; see [packet.Decoder], and doc.go for what else it changes. Default: lenient.
	Strict bool
}

// Protocol returns the broker as the protocol of a listener.
func (b *Broker) Protocol(o ListenerOptions) engine.Protocol { return protocol{b, o} }

type protocol struct {
	broker *Broker
	opts   ListenerOptions
}

// Name returns "mqtt".
func (protocol) Name() string { return "mqtt" }

// Open makes the session of a connection.
func (p protocol) Open(c *engine.Conn) engine.Session {
	return &wired{conn{broker: p.broker, carrier: wire{c}, decoder: p.decoder()}}
}

func (p protocol) decoder() packet.Decoder {
	return packet.Decoder{Server: true, Lenient: !p.opts.Strict}
}

// wired is a conn as a session of the engine.
type wired struct{ conn }

func (w *wired) Serve(_ *engine.Conn, in []byte) (int, error) { return w.serve(in) }
func (w *wired) Close(_ *engine.Conn, why error)              { w.closed(why) }

func (w *wired) Farewell(_ *engine.Conn, why *engine.CloseError) []byte { return w.farewell(why) }

var (
	_ engine.Fareweller = (*wired)(nil)
	_ engine.Describer  = (*wired)(nil)
)
