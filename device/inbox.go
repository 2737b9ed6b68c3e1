package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// The inbox is a stream of all that is said to the service about devices, by themselves, by applications and by the service itself. Its consumer handles what
// concerns one device in order, and different devices beside each other, and commits with each step what the device's state is then and what is to be published.
const inbox = "$devices"

// Subjects of the inbox that only the service publishes on are below "$inbox/{id}/".
const (
	inputForget    = "forget"    // the device was removed
	inputDrop      = "drop"      // the device was removed, and the data names commands that it had
	inputState     = "state"     // update its state
	inputCall      = "call"      // give it a command
	inputDelivered = "delivered" // it has acknowledged the command that the data names
	inputReady     = "ready"     // it has subscribed to what is said to it
	inputDeaf      = "deaf"      // it has unsubscribed from some of that
	inputResumed   = "resumed"   // it has connected again, with the session in which it has subscribed to that
	inputTick      = "tick"      // the time has come that the data names
)

// inboxConfig is the stream of the inbox.
func inboxConfig() stream.Config {
	root := bus.DeviceRoot + "/+/"
	return stream.Config{
		Name: inbox, Partitions: inboxPartitions, Key: "level:2", MaxEventBytes: maxInput,
		Subjects: []string{
			root + "state/reported", root + "state/desired", root + "state/update", root + "state/get",
			root + "commands/+/response", root + "commands/+/error", bus.InboxRoot + "/#",
		},
	}
}

// begin makes the inbox and has it handled, once there is a first device: a server without devices is spared it.
func (s *Service) begin(ctx context.Context) error {
	if s.begun.Load() {
		return nil
	}
	s.beginning.Lock()
	defer s.beginning.Unlock()
	if s.begun.Load() {
		return nil
	}
	err := s.opts.Bus.Streams().Reserve(ctx, inboxConfig())
	if err == nil {
		err = s.answers.listen()
	}
	if err == nil {
		err = s.opts.Consumers.Handle(consumer.Config{Name: inbox, Stream: inbox}, s.handle)
	}
	if err != nil {
		return fmt.Errorf("making the inbox of devices: %w", err)
	}
	s.begun.Store(true)
	return nil
}

// input makes an event for the inbox.
func (s *Service) input(id, what string, data []byte, headers ...event.Header) *event.Event {
	return &event.Event{ID: s.ids.New(), Subject: bus.InboxRoot + "/" + id + "/" + what, Time: s.now(), Data: data, Headers: headers}
}

// A turn is one event of the inbox that is being handled. What it changes and tells is committed together.
type turn struct {
	*Service
	*consumer.Delivery
	ctx context.Context
	id  string // of the device

	hears *hearing // once it was read
	ended int      // how many commands it has ended
}

// storeError is an error of the store, after which the same turn may succeed.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// handle is the consumer of the inbox. Only errors of the store are tried again: any other one comes again with each attempt, and whatever is said to the device later
// would wait behind it for ever.
func (s *Service) handle(ctx context.Context, d *consumer.Delivery) error {
	root, rest, _ := strings.Cut(d.Event.Subject, "/")
	id, tail, _ := strings.Cut(rest, "/")
	if d.Event.Key != "" && d.Event.Key != id { // somebody else's order, and state
		return consumer.Skip
	}
	t := &turn{Service: s, Delivery: d, ctx: ctx, id: id}
	var err error
	if root == bus.InboxRoot {
		err = t.own(tail)
	} else {
		err = t.said(tail)
	}
	var again *storeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &again):
		s.failed("it is tried again", d.Event.Subject, err)
		return consumer.RetryAfter(storeAgain)
	}
	s.failed("it is skipped", d.Event.Subject, err)
	return consumer.Skip
}

// failed logs what has become of an event of the inbox. Others decide how often that is.
func (s *Service) failed(outcome, subject string, err error) {
	if s.lines.Allow(time.Now()) {
		s.opts.Logger.Error("what was said to a device could not be handled", "outcome", outcome, "subject", subject, "error", err, "others", s.lines.Take())
	}
}

// get returns what is kept of the device under a name, as the turns before have left it.
func (t *turn) get(name string) ([]byte, error) {
	data, err := t.Delivery.Get(t.ctx, name)
	if err != nil {
		return nil, &storeError{err}
	}
	return data, nil
}

// said handles what devices and applications say.
func (t *turn) said(tail string) error {
	switch tail {
	case "state/reported", "state/desired":
		return t.update(sectionRequest(strings.TrimPrefix(tail, "state/"), t.Event.Data))
	case "state/update":
		return t.update(parseRequest(t.Event.Data, t.config.Limits.StateDepth))
	case "state/get":
		return t.answerGet()
	}
	if command, ok := strings.CutPrefix(tail, "commands/"); ok {
		id, what, _ := strings.Cut(command, "/")
		return t.answered(id, what == "error")
	}
	return nil
}

// own handles what the service says to itself.
func (t *turn) own(tail string) error {
	switch tail {
	case inputState:
		return t.update(parseRequest(t.Event.Data, t.config.Limits.StateDepth))
	case inputForget:
		return t.forget()
	case inputDrop:
		return t.dropRest()
	case inputCall:
		return t.call()
	case inputDelivered:
		return t.delivered(string(t.Event.Data))
	case inputReady:
		return t.ready()
	case inputDeaf:
		return t.deaf()
	case inputResumed:
		return t.resumed()
	case inputTick:
		return t.tick()
	}
	return nil
}

// forget removes all that is kept of a device beside its entry.
func (t *turn) forget() error {
	q, err := t.queue()
	var again *storeError
	if errors.As(err, &again) {
		return err
	}
	err = nil // what cannot be read is removed too
	for _, id := range q.Done {
		err = errors.Join(err, t.Delete(commandName+id))
	}
	if q.Due != 0 {
		err = errors.Join(err, t.Delete(dueName(q.Due)))
	}
	open := make([]string, len(q.Open))
	for i := range q.Open {
		open[i] = q.Open[i].ID
	}
	return errors.Join(err, t.Delete(queueName), t.Delete(stateName), t.Delete(hearingName), t.drop(open))
}

// drop removes open commands of a device that was removed, and tells who waits for them. There may be more than fit into one step: the rest has its own, which says what
// they are, since by then there may be another device of that name.
func (t *turn) drop(commands []string) error {
	for _, id := range commands[:min(len(commands), maxEnded)] {
		c, err := t.command(id)
		var again *storeError
		if errors.As(err, &again) {
			return err
		}
		c.ID, c.Device, c.State, c.Error, c.Finished = id, t.id, Failed, ErrNotFound.Error(), t.now()
		if err := errors.Join(t.Delete(commandName+id), t.Delete(payloadName+id), t.tellCommand(c)); err != nil {
			return err
		}
	}
	if len(commands) <= maxEnded {
		return nil
	}
	rest, err := json.Marshal(commands[maxEnded:])
	if err != nil {
		return err
	}
	return t.Publish(t.input(t.id, inputDrop, rest))
}

// dropRest goes on with drop.
func (t *turn) dropRest() error {
	var commands []string
	if err := json.Unmarshal(t.Event.Data, &commands); err != nil {
		return nil // only the service says so
	}
	return t.drop(commands)
}

// publish publishes JSON with the step, on a subject of the device.
func (t *turn) publish(tail string, v any, headers ...event.Header) error {
	e, err := t.event(tail, v, headers...)
	if err != nil {
		return err
	}
	return t.Publish(e)
}

// event makes an event of JSON, on a subject of the device, that can be published. Where the limits on headers are too low for all, it has the first of those given: that
// of the request that it answers.
func (t *turn) event(tail string, v any, headers ...event.Header) (*event.Event, error) {
	e, err := t.tell(subjectOf(t.id, tail), v)
	if err != nil {
		return nil, err
	}
	e.Headers = append(e.Headers, headers...)
	if t.opts.Bus.Prepare(e) == nil {
		return e, nil
	}
	e.Headers = headers[:min(1, len(headers))]
	return e, t.opts.Bus.Prepare(e)
}

// trim removes what was handled from the inbox.
func (s *Service) trim(ctx context.Context) error {
	for n := 0; s.begun.Load() && n < inboxPartitions; n++ {
		p := store.Partition{Stream: inbox, Number: n}
		at, err := s.store.Cursor(ctx, store.Cursor{Consumer: inbox, Partition: p})
		if err != nil {
			return err
		}
		b, err := s.store.Bounds(ctx, p)
		if err != nil {
			return err
		}
		if at == store.NoCursor || b.Count == 0 || at <= b.First {
			continue
		}
		if err := s.opts.Bus.Streams().Trim(ctx, store.Position{Partition: p, Offset: at}); err != nil {
			return err
		}
	}
	return nil
}

// answers are the callers that wait for what becomes of an event of the inbox. They are told by what is published about it, after that is on disk.
type answers struct {
	service *Service
	client  *bus.Client

	mu      sync.Mutex
	waiting map[string][]chan *event.Event // by the ID of the event; several may ask with the same
	places  int                            // how many wait
}

// headerRequest has the ID of the event of the inbox that something is the answer to.
const headerRequest = "request-id"

// listen subscribes to answers.
func (a *answers) listen() error {
	if a.client != nil {
		return nil
	}
	client := a.service.opts.Bus.NewClient(a)
	for _, tail := range []string{"state/update/accepted", "state/update/rejected", "commands/+/status"} {
		if _, err := client.Subscribe(subjectOf("+", tail)); err != nil {
			client.Close()
			return err
		}
	}
	a.client = client
	return nil
}

// Deliver implements bus.Subscriber. It never waits.
func (a *answers) Deliver(m *bus.Message) bool {
	a.service.updated(m.Event().Subject)
	request := m.Event().Header(headerRequest)
	if request == "" {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	callers := a.waiting[request]
	if len(callers) == 0 {
		return true
	}
	told := m.Keep()
	for _, c := range callers {
		c <- told // it has room for one
	}
	a.places -= len(callers)
	delete(a.waiting, request)
	return true
}

// open makes a place for an answer.
func (a *answers) open(request string) (chan *event.Event, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[string][]chan *event.Event{}
	}
	if a.places >= maxWaiting {
		return nil, ErrBusy
	}
	c := make(chan *event.Event, 1)
	a.waiting[request] = append(a.waiting[request], c)
	a.places++
	return c, nil
}

// forget gives a place back, if no answer has come.
func (a *answers) forget(request string, c chan *event.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	callers := a.waiting[request]
	at := slices.Index(callers, c)
	if at < 0 {
		return
	}
	a.places--
	if a.waiting[request] = slices.Delete(callers, at, at+1); len(callers) == 1 {
		delete(a.waiting, request)
	}
}

func (a *answers) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// ask puts an event into the inbox, and returns the answer to it. When the context ends first, or after it has waited, if that is not 0, the event is stored and will be handled: [ErrUnanswered].
func (s *Service) ask(ctx context.Context, e *event.Event, wait time.Duration) (*event.Event, error) {
	request := e.ID.String()
	answer, err := s.answers.open(request)
	if err != nil {
		return nil, err
	}
	defer s.answers.forget(request, answer)
	if err := s.commit(nil, e); err != nil {
		return nil, err
	}
	if wait > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, wait)
		defer stop()
	}
	select {
	case told := <-answer:
		return told, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnanswered, ctx.Err())
	}
}
