package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
)

// Command is something that a device is asked to do, and what became of it.
type Command struct {
	ID     string `json:"id"`
	Device string `json:"device"`
	Method string `json:"method"`
	// State is [Queued], [Sent], [Delivered], [Done], [Failed] or [Expired].
	State       string `json:"state"`
	ContentType string `json:"content_type,omitempty"`
	// Attempts is how often it was sent.
	Attempts  int       `json:"attempts"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"` // when it is given up, if it is not answered
	Sent      time.Time `json:"sent,omitzero"`
	Delivered time.Time `json:"delivered,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	// Response is what the device has answered, and ResponseType its media type.
	Response     []byte `json:"response,omitempty"`
	ResponseType string `json:"response_type,omitempty"`
	// Error is why it has failed.
	Error string `json:"error,omitempty"`
}

// The states of a [Command], in their order. The last three are final.
const (
	Queued    = "queued"    // stored, and not sent yet: the device is not connected, has not subscribed, or has enough to do
	Sent      = "sent"      // published to the device
	Delivered = "delivered" // acknowledged by the device
	Done      = "done"      // answered
	Failed    = "failed"    // answered with an error, or impossible
	Expired   = "expired"   // not answered in time
)

// Final tells whether nothing more becomes of the command.
func (c *Command) Final() bool { return c.State == Done || c.State == Failed || c.State == Expired }

// Err returns why there is no answer: nil, [ErrFailed] or [ErrExpired].
func (c *Command) Err() error {
	switch c.State {
	case Failed:
		return fmt.Errorf("%w: %s", ErrFailed, c.Error)
	case Expired:
		return fmt.Errorf("%w: the command %s of %q was %s", ErrExpired, c.ID, c.Device, c.reached())
	}
	return nil
}

// reached says how far a command has come that has expired.
func (c *Command) reached() string {
	switch {
	case !c.Delivered.IsZero():
		return Delivered
	case !c.Sent.IsZero():
		return Sent
	}
	return Queued
}

// plainCommand is a command as it is stored: bytes are base64.
type plainCommand Command

// MarshalJSON writes the answer as it is, if it is JSON, and else as base64 in response_base64.
func (c Command) MarshalJSON() ([]byte, error) {
	form := struct {
		plainCommand
		Response json.RawMessage `json:"response,omitempty"`
		Base64   []byte          `json:"response_base64,omitempty"`
	}{plainCommand: plainCommand(c)}
	if json.Valid(c.Response) {
		form.Response = c.Response
	} else {
		form.Base64 = c.Response
	}
	return json.Marshal(form)
}

// CallOptions say how a command is given. The zero value is good.
type CallOptions struct {
	// ContentType is the media type of the payload. Default: none.
	ContentType string
	// Expiry is how long the command waits for its answer, connected or not. Default [DefaultExpiry], most [MaxExpiry].
	Expiry time.Duration
	// Wait is how long [Service.Call] waits for the answer once the command is on disk. Default: until the context ends.
	Wait time.Duration
}

// headerMethod has the method of a command.
const headerMethod = "method"

// NewCommandID returns the identifier of a command to be, for [Service.Send].
func (s *Service) NewCommandID() string { return s.ids.New().String() }

// CommandSubject returns the subject on which a device gets a command.
func CommandSubject(id, command, method string) string {
	return subjectOf(id, "commands/"+command+"/request/"+method)
}

// CheckMethod tells why a text cannot be the method of a command, with [ErrMethod].
func (s *Service) CheckMethod(method string) error {
	if method == "" || len(method) > maxMethod || !plain(method) || strings.ContainsAny(method, "/+#") {
		return fmt.Errorf("%w: it must have 1 to %d visible characters, and none of / + #", ErrMethod, maxMethod)
	}
	return nil
}

// Send gives a command to a device, and returns when that is on disk. It is sent when the device can receive it.
func (s *Service) Send(ctx context.Context, id, method string, payload []byte, o CallOptions) (Command, error) {
	return s.SendAs(ctx, s.NewCommandID(), id, method, payload, o)
}

// SendAs is Send with an identifier from [Service.NewCommandID]. With that of a command that the device has already, nothing happens, but that its end is
// told once more if it is over.
func (s *Service) SendAs(ctx context.Context, command, id, method string, payload []byte, o CallOptions) (Command, error) {
	c, e, err := s.newCommand(ctx, command, id, method, payload, o)
	if err == nil {
		err = s.commit(nil, e)
	}
	if err != nil {
		return Command{}, fmt.Errorf("the command %.64q of the device %.128q: %w", method, id, err)
	}
	return c, nil
}

// Call gives a command to a device, and waits for the answer: until the context or [CallOptions.Wait] ends, or the command is over. The error is that of the command, see
// [Command.Err], or [ErrUnanswered] with why, and then the command goes on until it expires. One that is returned without its identifier was not given, or, with
// [ErrNotFound], was removed together with its device.
func (s *Service) Call(ctx context.Context, id, method string, payload []byte, o CallOptions) (Command, error) {
	return s.CallAs(ctx, s.NewCommandID(), id, method, payload, o)
}

// CallAs is Call with an identifier from [Service.NewCommandID]. With that of a command that the device has already, it waits for the answer to that.
func (s *Service) CallAs(ctx context.Context, command, id, method string, payload []byte, o CallOptions) (Command, error) {
	c, e, err := s.newCommand(ctx, command, id, method, payload, o)
	if err != nil {
		return Command{}, fmt.Errorf("the command %.64q of the device %.128q: %w", method, id, err)
	}
	told, err := s.ask(ctx, e, o.Wait)
	now, stored := s.Command(context.WithoutCancel(ctx), id, c.ID)
	switch {
	case err != nil && !errors.Is(err, ErrUnanswered):
		return Command{}, fmt.Errorf("the command %.64q of the device %.128q: %w", method, id, err)
	case errors.Is(stored, ErrNotFound): // the device was removed, and the command with it
		return Command{}, fmt.Errorf("the command %.64q of the device %.128q: %w", method, id, stored)
	case stored == nil:
		c = now
	case err == nil && errors.Is(stored, ErrNoCommand): // it was not even kept
		c, stored = decodeTold(told.Data)
	}
	switch {
	case c.Final():
		return c, c.Err()
	case err == nil:
		return c, stored
	}
	return c, fmt.Errorf("the command %s of the device %q: %w", c.ID, id, err)
}

// decodeTold reads what a status event says.
func decodeTold(data []byte) (Command, error) {
	var c plainCommand
	err := json.Unmarshal(data, &c)
	return Command(c), err
}

// newCommand checks a command, and makes the event that gives it.
func (s *Service) newCommand(ctx context.Context, command, id, method string, payload []byte, o CallOptions) (c Command, e *event.Event, err error) {
	if _, err := s.known(ctx, id); err != nil {
		return c, nil, err
	}
	given, err := event.ParseID(command)
	if err != nil {
		return c, nil, fmt.Errorf("%w: %w", ErrNoCommand, err)
	}
	if err := s.CheckMethod(method); err != nil {
		return c, nil, err
	}
	o.Expiry = orDefault(o.Expiry, DefaultExpiry)
	switch {
	case len(payload) > s.config.Limits.Payload:
		return c, nil, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrPayload, len(payload), s.config.Limits.Payload)
	case o.Expiry > MaxExpiry:
		return c, nil, fmt.Errorf("%w: it has %v at most", ErrExpiry, MaxExpiry)
	case len(o.ContentType) > DefaultLabel || !plain(o.ContentType):
		return c, nil, fmt.Errorf("%w: its content type", ErrLabel)
	}
	q, err := s.openCommands(ctx, id)
	if err == nil && len(q.Open) >= s.config.Limits.Commands {
		err = fmt.Errorf("%w: %d", ErrQueue, len(q.Open))
	}
	if err != nil {
		return c, nil, err
	}
	now := s.now()
	c = Command{ID: command, Device: id, Method: method, State: Queued, ContentType: o.ContentType, Created: now, Expires: now.Add(o.Expiry)}
	e = s.input(id, inputCall, payload, event.Header{Name: headerMethod, Value: method},
		event.Header{Name: event.Expires, Value: strconv.FormatInt(c.Expires.UnixMilli(), 10)}, event.Header{Name: event.ContentType, Value: o.ContentType})
	e.ID = given
	return c, e, nil
}

// openCommands returns the commands of a device, as they are stored.
func (s *Service) openCommands(ctx context.Context, id string) (queue, error) {
	v, err := s.store.Get(ctx, consumer.StateKey(inbox, queueName, id))
	if err != nil {
		return queue{}, fmt.Errorf("reading the commands of the device %q: %w", id, err)
	}
	return decodeQueue(v.Data)
}

// Command returns a command of a device: one that is open, or one of the last that were finished.
func (s *Service) Command(ctx context.Context, id, command string) (Command, error) {
	if _, err := s.known(ctx, id); err != nil {
		return Command{}, err
	}
	if len(command) > maxToken {
		return Command{}, fmt.Errorf("%w: %.64q", ErrNoCommand, command)
	}
	v, err := s.store.Get(ctx, consumer.StateKey(inbox, commandName+command, id))
	if err != nil {
		return Command{}, fmt.Errorf("reading the command %q of the device %q: %w", command, id, err)
	}
	if v.Revision == 0 {
		return Command{}, fmt.Errorf("%w: %.64q of %q", ErrNoCommand, command, id)
	}
	return decodeTold(v.Data)
}

// Commands returns the commands of a device: the last that were finished, and those that are open, in their order.
func (s *Service) Commands(ctx context.Context, id string) ([]Command, error) {
	if _, err := s.known(ctx, id); err != nil {
		return nil, err
	}
	q, err := s.openCommands(ctx, id)
	if err != nil {
		return nil, err
	}
	ids := q.Done
	for _, o := range q.Open {
		ids = append(ids, o.ID)
	}
	all := []Command{}
	for _, command := range ids {
		c, err := s.Command(ctx, id, command)
		if errors.Is(err, ErrNoCommand) {
			continue // it was forgotten meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
