package httpapi

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/websocket"
)

// wsEvent is how events end that are pushed to live subscriptions: the same for all of them, whatever comes before.
var wsEvent = &bus.Format{Encode: func(dst []byte, m *bus.Message) []byte {
	return append(appendCloudEvent(dst, m.Event()), '}')
}}

// wsPacked is wsEvent, compressed, or nothing if that is not worth it.
var wsPacked = &bus.Format{Encode: func(dst []byte, m *bus.Message) []byte { return websocket.Deflate(dst, m.Frame(wsEvent)) }}

// eventHead is how the events of a filter begin.
func eventHead(filter string) []byte {
	return append(appendQuoted([]byte(`{"type":"event","filter":`), filter), `,"event":`...)
}

// subscribe begins a subscription, live or from a stream. Its answer comes before its first event.
func (s *wsSession) subscribe(m message) error {
	filter := m.text("filter")
	if filter == "" {
		return problemf(kindRequest, `say which subjects: "filter":"sensors/+/temperature", or "#" for all`)
	}
	if _, _, err := parseFilter(filter, s.door.opts.Event); err != nil {
		return err
	}
	if s.has(filter) {
		return problemf(kindConflict, "there is a subscription to %.80q already: end it first", filter)
	}
	for _, name := range []string{"stream", "from", "resume", "corrupt"} {
		if _, there := m.members[name]; there {
			return s.subscribeStream(m, filter)
		}
	}
	return s.subscribeLive(m, filter)
}

// has tells whether there is a subscription to a filter.
func (s *wsSession) has(filter string) bool {
	if s.more == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, live := s.more.live[filter]
	_, reads := s.more.read[filter]
	return live || reads
}

// wsPolicies are what may happen to events for a page that reads too slowly.
var wsPolicies = map[string]engine.Overflow{
	"": engine.Disconnect, "disconnect": engine.Disconnect, "drop-oldest": engine.DropOldest, "drop-newest": engine.DropNewest,
}

// subscribeLive subscribes to what is published from now on.
func (s *wsSession) subscribeLive(m message, filter string) error {
	policy, known := wsPolicies[m.text("policy")]
	if !known {
		return problemf(kindRequest, "policy must be disconnect, drop-oldest or drop-newest, not %.40q", m.text("policy"))
	}
	generation := s.door.opts.Auth.Generation()
	if err := s.door.may(s.asCall(), auth.ActionSubscribe, filter); err != nil {
		return err
	}
	a := s.activity()
	s.mu.Lock() // for which events wait
	defer s.mu.Unlock()
	if len(a.live) == 0 {
		s.judged = generation
	}
	if _, err := a.client.Subscribe(filter); err != nil {
		return err
	}
	a.live[filter] = wsLive{eventHead(filter), policy}
	s.push(m, "ack", nil)
	return nil
}

// subscribeStream subscribes to what a stream holds from a place on, and then to what comes.
func (s *wsSession) subscribeStream(m message, filter string) error {
	if m.text("policy") != "" {
		return problemf(kindRequest, "policy is for live subscriptions: a stream waits for its reader")
	}
	skip, p := skipCorrupt(m.text("corrupt"))
	if p != nil {
		return p
	}
	c, name := s.asCall(), m.text("stream")
	if name == "" {
		var err error
		if name, err = s.door.streamOf(c, filter); err != nil {
			return err
		}
	}
	a := s.activity()
	ctx, cancel := context.WithCancel(a.ctx)
	sub := &subscription{call: c, door: s.door, filter: filter, judged: c.generation, out: &wsOutlet{conn: s.conn, filter: filter, head: eventHead(filter)}}
	f, err := sub.follow(ctx, name, m.text("from"), m.text("resume"), skip)
	if err != nil {
		cancel()
		return err
	}
	leave, err := s.door.enter(s.conn.Remote())
	if err != nil {
		cancel()
		return err
	}
	s.mu.Lock()
	a.read[filter] = &cancel
	s.mu.Unlock()
	s.answer(m, "ack", nil)
	if !a.scope.Go(a.ctx, "read a stream for "+s.conn.RemoteString(), func(context.Context) error {
		defer leave()
		defer cancel()
		s.ended(ctx, filter, &cancel, f.send(ctx))
		return nil
	}) {
		cancel()
		leave()
	}
	return nil
}

// ended says that a subscription that reads a stream has ended, unless the client has ended it.
func (s *wsSession) ended(ctx context.Context, filter string, which *context.CancelFunc, err error) {
	s.mu.Lock()
	if s.more.read[filter] == which {
		delete(s.more.read, filter)
	}
	s.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	b := appendQuoted([]byte(`{"type":"end","filter":`), filter)
	_, _ = s.conn.Write(append(append(b, s.problem(err)...), '}'))
}

// unsubscribe ends a subscription. No event of it comes after the answer, except those of a stream that are on their way.
func (s *wsSession) unsubscribe(m message) error {
	filter := m.text("filter")
	if !s.has(filter) {
		return problemf(kindNotFound, "there is no subscription to %.80q", filter)
	}
	a := s.more
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel, reads := a.read[filter]; reads {
		(*cancel)()
		delete(a.read, filter)
	} else {
		a.client.Unsubscribe(filter)
		delete(a.live, filter)
	}
	s.push(m, "ack", nil)
	return nil
}

// Deliver pushes an event to the page, in the publisher's goroutine.
func (s *wsSession) Deliver(m *bus.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := m.Subscription()
	live, there := s.more.live[from.Pattern()]
	if !there || !from.Active() || !s.mayReceive(m.Subject()) {
		return false
	}
	err := s.pushEvent(live, m)
	if live.policy != engine.Disconnect {
		s.tellDropped()
	}
	return err == nil
}

// pushEvent pushes an event, compressed if the page takes that.
func (s *wsSession) pushEvent(live wsLive, m *bus.Message) error {
	event := m.Frame(wsEvent) // of which wsPacked is made
	if s.conn.Compressed() {
		if packed := m.Frame(wsPacked); len(packed) > 0 {
			return s.conn.PushDeflated(live.policy, live.head, packed)
		}
	}
	return s.conn.PushParts(live.policy, live.head, event)
}

// tellDropped tells the page how many events it did not get, once there is room for that. The caller has the lock.
func (s *wsSession) tellDropped() {
	dropped := s.conn.Dropped()
	if dropped == s.told {
		return
	}
	b := strconv.AppendUint([]byte(`{"type":"dropped","dropped":`), uint64(dropped-s.told), 10)
	if s.conn.Push(append(b, '}'), engine.DropNewest) == nil {
		s.told = dropped
	} else {
		s.told++ // this one was no event
	}
}

// mayReceive asks about one event, unless all subscriptions are known to be allowed. Somebody who has lost a right is disconnected: a
// subscription that says nothing any more would look like a quiet one. The caller has the lock.
func (s *wsSession) mayReceive(subject string) bool {
	a := s.door.opts.Auth
	if a.Generation() == s.judged && s.id.Expires().IsZero() || a.CanReceive(s.id, subject) {
		return true
	}
	s.conn.Close(engine.ReasonDenied, a.Authorize(s.origin(), s.id, auth.ActionReceive, subject))
	return false
}

// A wsOutlet writes the events of a stream. A page that reads slowly is read for slowly.
type wsOutlet struct {
	conn   *websocket.Conn
	filter string
	head   []byte
	buf    []byte
	failed error
}

func (o *wsOutlet) write() {
	if _, err := o.conn.Write(o.buf); err != nil {
		o.failed = err
	}
	if cap(o.buf) > writePiece {
		o.buf = nil // one large event must not be kept for as long as the subscription lasts
	}
}

func (o *wsOutlet) event(e *event.Event, token string) {
	o.buf = appendCloudEvent(append(o.buf[:0], o.head...), e)
	if token != "" {
		o.buf = appendQuoted(append(o.buf, `,"resume":`...), token)
	}
	o.buf = append(o.buf, '}')
	o.write()
}

func (o *wsOutlet) notice(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("{}")
	}
	o.buf = appendQuoted(append(o.buf[:0], `{"type":`...), name)
	o.buf = appendQuoted(append(o.buf, `,"filter":`...), o.filter)
	o.buf = append(append(append(o.buf, `,"`+name+`":`...), text...), '}')
	o.write()
}

func (o *wsOutlet) place(token string) {
	if token == "" {
		return
	}
	o.buf = appendQuoted(append(o.buf[:0], `{"type":"place","filter":`...), o.filter)
	o.buf = append(appendQuoted(append(o.buf, `,"resume":`...), token), '}')
	o.write()
}

// comment says nothing: a WebSocket needs no sign of life of its own.
func (o *wsOutlet) comment(string) {}

func (o *wsOutlet) full() bool { return o.failed != nil }

func (o *wsOutlet) flush() error { return o.failed }
