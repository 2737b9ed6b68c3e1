package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

// A subscription is one GET /v1/subscribe under way.
type subscription struct {
	*call
	door   *Door
	filter string
	out    outlet
	judged uint64 // the generation of the access rules under which it was allowed
}

// An outlet writes to a subscriber: server-sent events, or messages of a WebSocket. It is for one goroutine.
type outlet interface {
	event(e *event.Event, token string) // a token says where to go on after it
	notice(name string, value any)      // an event about the stream itself
	comment(text string)                // what only shows that somebody is there
	place(token string)                 // where to go on
	full() bool                         // as much waits as is worth sending
	flush() error                       // sends what waits; fails when the client is gone or does not read
}

// Why a subscription ends that the client did not end. The texts are the last thing that the client reads.
var (
	errDrained  = errors.New("the server is shutting down")
	errOverflow = errors.New("too slow: events would have been lost; connect again, or read from a stream")
)

// subscribe is GET /v1/subscribe: live, or from a stream.
func (d *Door) subscribe(c *call) error {
	q := c.r.URL.Query()
	raw := q.Get("format") == "data"
	if f := q.Get("format"); f != "" && f != "cloudevents" && !raw {
		return problemf(kindRequest, "format must be cloudevents or data, not %.40q", f)
	}
	s := &subscription{call: c, door: d, filter: q.Get("filter"), judged: c.generation}
	name := q.Get("stream")
	if name == "" && (q.Has("from") || q.Has("resume") || q.Has("corrupt") || c.r.Header.Get("Last-Event-ID") != "") { // live events have no id
		var err error
		if name, err = d.streamOf(c, s.filter); err != nil {
			return err
		}
	}
	if name != "" {
		return s.serveStream(name, q, raw)
	}
	return s.serveLive(q, raw)
}

// streamOf returns the stream to read a filter from, when none is named.
func (d *Door) streamOf(c *call, filter string) (string, error) {
	if filter == "" {
		return "", problemf(kindRequest, "from, resume and corrupt need something to read: add stream=NAME, or filter=sensors/+/temperature")
	}
	selected, _, err := parseFilter(filter, d.opts.Event)
	if err != nil {
		return "", err
	}
	if err := d.may(c, auth.ActionSubscribe, filter); err != nil {
		return "", err
	}
	log, err := d.streams()
	if err != nil {
		return "", err
	}
	var names, parts []string
	for _, st := range log.List() {
		switch {
		case st.Covers(selected):
			names = append(names, st.Config().Name)
		case st.Overlaps(selected):
			parts = append(parts, st.Config().Name)
		}
	}
	switch len(names) {
	case 0:
		if len(parts) > 0 {
			return "", problemf(kindNotFound, "no stream captures all that %.80q selects, but a part: name the stream to read that from it, with stream=NAME (--stream NAME), one of %.300q", filter, parts)
		}
		return "", problemf(kindNotFound, "no stream captures all that %.80q selects: create one; without from (--from), what is published from now on is received", filter)
	case 1:
		return names[0], nil
	}
	return "", problemf(kindRequest, "several streams capture all that %.80q selects: add stream=NAME, one of %.300q", filter, names)
}

// knownParameters refuses a parameter that nobody knows, or that is there twice: its misspelling would change what is done.
func knownParameters(query string, known []string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return problemf(kindRequest, "the parameters cannot be read: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return problemf(kindRequest, "the parameter %.40q is not known: there are none here", name)
		case !slices.Contains(known, name):
			return problemf(kindRequest, "the parameter %.40q is not known: there are %s", name, strings.Join(known, ", "))
		case len(q[name]) > 1:
			return problemf(kindRequest, "the parameter %s is there twice", name)
		}
	}
	return nil
}

// serveLive sends what is published from now on.
func (s *subscription) serveLive(q url.Values, raw bool) error {
	policy, known := map[string]bus.Overflow{
		"": bus.Disconnect, "disconnect": bus.Disconnect, "drop-oldest": bus.DropOldest, "drop-newest": bus.DropNewest,
	}[q.Get("policy")]
	switch {
	case !known:
		return problemf(kindRequest, "policy must be disconnect, drop-oldest or drop-newest, not %.40q", q.Get("policy"))
	case s.filter == "":
		return problemf(kindRequest, "say which subjects: filter=sensors/+/temperature, or filter=%%23 for all")
	}
	limits := s.door.opts.Limits
	if _, _, err := parseFilter(s.filter, s.door.opts.Event); err != nil {
		return err
	}
	if err := s.door.may(s.call, auth.ActionSubscribe, s.filter); err != nil {
		return err
	}
	leave, err := s.door.enter(s.conn.remote)
	if err != nil {
		return err
	}
	defer leave()
	queue, err := s.door.opts.Bus.NewQueue(s.filter, bus.QueueOptions{Events: limits.QueueEvents, Bytes: limits.QueueBytes, Overflow: policy})
	if err != nil {
		return err
	}
	defer queue.Close()
	return s.run(raw, func(ctx context.Context) error { return s.sendLive(ctx, queue) })
}

// run sends the head of the answer and then what send sends, until that ends with a reason, which the client is told.
func (s *subscription) run(raw bool, send func(context.Context) error) error {
	out := newSSE(s.w, raw)
	s.out = out
	if s.r.Method == http.MethodHead {
		return nil
	}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil { // the request has been read; its answer has no end
		return err
	}
	ctx, cancel := s.door.untilDrain(s.r.Context())
	defer cancel()
	out.retry()
	err := send(ctx)
	if s.r.Context().Err() != nil {
		return nil // the client has gone
	}
	if errors.Is(context.Cause(ctx), errDrained) {
		err = errDrained
	}
	s.farewell(err)
	return nil
}

// farewell is the last thing that is sent.
func (s *subscription) farewell(err error) {
	switch {
	case errors.Is(err, errDrained):
	case errors.Is(err, bus.ErrOverflow):
		err = errOverflow
		s.out.notice("error", problemf(kindBusy, "%v", err))
	default:
		p := problemOf(err)
		if p.kind == kindInternal {
			s.door.opts.Logger.Error("a subscription failed", "conn", s.conn.id, "filter", s.filter, "error", err)
		}
		err = p
		s.out.notice("error", p)
	}
	s.out.comment("closed: " + err.Error())
	_ = s.out.flush() // the client may have gone
}

// sendLive sends what the queue brings.
func (s *subscription) sendLive(ctx context.Context, queue *bus.Queue) error {
	dropped := uint64(0)
	for {
		if queue.Len() == 0 || s.out.full() {
			if err := s.out.flush(); err != nil {
				return err
			}
		}
		e, err := s.next(ctx, queue)
		if err != nil {
			return err
		}
		if n := queue.Dropped(); n > dropped {
			s.out.notice("dropped", map[string]uint64{"dropped": n - dropped})
			dropped = n
		}
		if e == nil {
			s.out.comment("")
			continue
		}
		if err := s.mayReceive(e.Subject); err != nil {
			return err
		}
		if err := s.write(e, ""); err != nil {
			return err
		}
	}
}

// write writes one event. A large one is sent at once, and its memory is taken from what large things share: many that do
// not read must not hold one each.
func (s *subscription) write(e *event.Event, token string) error {
	size := int64(e.Size())
	if size <= writePiece {
		s.out.event(e, token)
		return nil
	}
	need := textCost * size
	if !s.take(s.door, need) {
		return problemf(kindBusy, "other requests take all memory that there is for large events: connect again in a few seconds")
	}
	defer s.give(s.door, need)
	s.out.event(e, token)
	return s.out.flush()
}

// next waits for the next event; there is none when it is time for a sign of life.
func (s *subscription) next(ctx context.Context, queue *bus.Queue) (*event.Event, error) {
	wait, cancel := context.WithTimeout(ctx, s.door.opts.Limits.Heartbeat)
	defer cancel()
	e, err := queue.Next(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return nil, s.stillAllowed()
	}
	return e, err
}

// mayReceive asks about one event, unless nothing has changed since the subscription was allowed.
func (s *subscription) mayReceive(subject string) error {
	a := s.door.opts.Auth
	if a.Generation() == s.judged && s.id.Expires().IsZero() || a.CanReceive(s.id, subject) {
		return nil
	}
	return a.Authorize(s.from, s.id, auth.ActionReceive, subject)
}

// stillAllowed ends a subscription that says nothing once its right is gone: it would look like a quiet one.
func (s *subscription) stillAllowed() error {
	a := s.door.opts.Auth
	generation := a.Generation()
	if generation == s.judged && s.id.Expires().IsZero() {
		return nil
	}
	if s.filter == "" {
		return a.Refresh(s.id)
	}
	if err := s.door.may(s.call, auth.ActionSubscribe, s.filter); err != nil {
		return err
	}
	s.judged = generation
	return nil
}
