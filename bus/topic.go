package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spate-io/spate/event"
)

// Topic is the subjects that a filter selects, and the type of what is published on them. It is made once, most often as a variable of
// a package, and may be used by any number of nodes and goroutines. What is wrong with it is the error of everything that
// uses it, and of [Topic.Err].
type Topic[T any] struct {
	filter event.Filter
	settings[T]

	before, after string // the filter around its single '+', if that is its only wildcard
	oneHole       bool
	err           error
}

// settings is what options set. Each may be set once, so that their order does not matter.
type settings[T any] struct {
	key     func(T) string
	subject func(T) string
	codec   Codec[T]
	twice   string // the option that was given twice
}

// Option is an option of [NewTopic], [NewState] or [NewEndpoint]. In what order they are given does not matter; giving one twice is an error.
type Option[T any] func(*settings[T])

// Key says by which key the order is kept. In a topic that has one '+' and no other wildcard, and no option [Subject], it fills the '+', and the
// event has no key of its own: its subject says it, so that events of other doors, which know the subject only, are in the same order and have
// the same [State]. Where one order is wanted for several such topics of a stream, say so with stream.Config.Key, such as "level:2". In any other topic
// it is the key of the event.
// Default: an event has no key, and a stream goes by its subject.
func Key[T any](of func(T) string) Option[T] {
	return func(s *settings[T]) {
		s.once("Key", s.key != nil)
		s.key = of
	}
}

// Subject says on which subject of the topic a value is published. Default: see [Topic.Event].
func Subject[T any](of func(T) string) Option[T] {
	return func(s *settings[T]) {
		s.once("Subject", s.subject != nil)
		s.subject = of
	}
}

// WithCodec says how values become data. Default: [JSON], and [Raw] for []byte.
func WithCodec[T any](c Codec[T]) Option[T] {
	return func(s *settings[T]) {
		s.once("WithCodec", s.codec != nil)
		s.codec = c
	}
}

func (s *settings[T]) once(name string, given bool) {
	if given {
		s.twice = name
	}
}

func (s *settings[T]) apply(options []Option[T]) error {
	for _, o := range options {
		o(s)
	}
	if s.codec == nil {
		s.codec = defaultCodec[T]()
	}
	if s.twice != "" {
		return fmt.Errorf("the option %s is given twice: leave one out", s.twice)
	}
	return nil
}

// ErrTopic means that a topic, a state or an endpoint was not declared as it has to be.
var ErrTopic = errors.New("the declaration is not usable")

// NewTopic declares a topic.
func NewTopic[T any](filter string, options ...Option[T]) *Topic[T] {
	t := &Topic[T]{}
	err := t.apply(options)
	if err == nil {
		t.filter, err = event.ParseFilter(filter, event.Limits{SubjectLength: event.MaxSubjectLength})
	}
	if err != nil {
		t.err = fmt.Errorf("the topic %.80q: %w: %w", filter, ErrTopic, err)
	}
	if strings.Count(filter, "+") == 1 && !strings.HasSuffix(filter, "#") {
		t.before, t.after, t.oneHole = strings.Cut(filter, "+")
	}
	return t
}

// Filter returns the filter.
func (t *Topic[T]) Filter() string { return t.filter.String() }

// Err returns what is wrong with the declaration, or nil.
func (t *Topic[T]) Err() error { return t.err }

// ErrSubject means that no subject could be made for a value.
var ErrSubject = errors.New("there is no subject for it")

// Event returns the event that publishing a value would publish: for those who want to add headers or set its ID, and
// publish it with [Bus.Publish] or [consumer.Delivery.Publish]. Its subject is, in this order,
//
//   - what the option Subject says, which must be one that the filter selects;
//   - the filter, if it has no wildcard;
//   - the filter with the key in place of the '+', if that is its only wildcard. The key is what the option Key says; without that option, in a
//     handler, it is the key of the event that is handled: see the package comment. The event has no key beside it: see [Key].
//
// Anything else is [ErrSubject]. If the context has a trace, the event carries it.
func (t *Topic[T]) Event(ctx context.Context, v T) (*event.Event, error) {
	if t.err != nil {
		return nil, t.err
	}
	e, key := &event.Event{}, ""
	if t.key != nil {
		key = t.key(v)
	}
	var err error
	if e.Subject, err = t.subjectOf(ctx, v, key); err != nil {
		return nil, fmt.Errorf("publishing on the topic %q: %w: %w", t.filter, ErrSubject, err)
	}
	if !t.fills() {
		e.Key = key
	}
	if e.Data, err = t.codec.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding a value for the topic %q: %w", t.filter, err)
	}
	carryTrace(ctx, e)
	return e, nil
}

// fills tells whether the key stands in the subject, so that events need none of their own.
func (t *Topic[T]) fills() bool { return t.oneHole && t.subject == nil }

func (t *Topic[T]) subjectOf(ctx context.Context, v T, key string) (string, error) {
	switch {
	case t.subject != nil:
		subject := t.subject(v)
		if !t.filter.Match(subject) {
			return "", fmt.Errorf("the option Subject says %.80q, which is not one of the topic", subject)
		}
		return subject, nil
	case t.filter.IsLiteral():
		return t.filter.String(), nil
	case !t.oneHole:
		return "", errors.New("it has several wildcards: say with the option Subject how they are filled")
	case t.key == nil:
		if key = inheritedKey(ctx); key == "" {
			return "", errors.New("say with the option Key or Subject how its wildcard is filled")
		}
	}
	if !isLevel(key) {
		return "", fmt.Errorf("the key %.80q cannot take the place of the '+': it must be one level, without '/', '+' and '#'", key)
	}
	return t.before + key + t.after, nil
}

// isLevel tells whether a key can be a level of a subject.
func isLevel(key string) bool {
	for i := range len(key) {
		if c := key[i]; c == '/' || c == '+' || c == '#' {
			return false
		}
	}
	return key != ""
}

// DecodeError is the error of an event that is not of the type of its topic.
type DecodeError struct {
	// Event is the event.
	Event *event.Event
	// Err is what the codec says.
	Err error
}

// Error names the event and the reason.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("the event %v on %.80q is not what its topic says: %v", e.Event.ID, e.Event.Subject, e.Err)
}

// Unwrap returns what the codec says.
func (e *DecodeError) Unwrap() error { return e.Err }

// Decode returns the value of an event. The error is a [DecodeError].
func (t *Topic[T]) Decode(e *event.Event) (T, error) {
	v, err := t.codec.Decode(e.Data)
	if err != nil {
		return v, &DecodeError{Event: e, Err: err}
	}
	return v, nil
}

// keyOf is the key that events get which are published while this one is handled, and have none of their own.
func (t *Topic[T]) keyOf(e *event.Event, v T) string {
	switch {
	case e.Key != "":
		return e.Key
	case t.key != nil:
		return t.key(v)
	case t.oneHole && len(e.Subject) > len(t.before)+len(t.after):
		return e.Subject[len(t.before) : len(e.Subject)-len(t.after)]
	}
	return ""
}
