package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// State is a value for each key of a handler: what it knew when the last event of that key was handled. It is read and written in handlers of
// [Handle] and [HandleBatch], belongs to the handler's name and the key of the event (see stream.Config.Key), and is committed with the step.
type State[T any] struct {
	name string
	settings[T]
	err error
}

// NewState declares a state. Handlers of several names that use it have each their own. The only option is [WithCodec].
func NewState[T any](name string, options ...Option[T]) *State[T] {
	s := &State[T]{name: name}
	err := s.apply(options)
	switch {
	case err != nil:
	case name == "" || strings.ContainsRune(name, 0):
		err = errors.New("the name must not be empty, nor have U+0000 in it")
	case s.key != nil || s.subject != nil:
		err = errors.New("the options Key and Subject are those of topics: a state goes by the key of the event")
	}
	if err != nil {
		s.err = fmt.Errorf("the state %.80q: %w: %w", name, ErrTopic, err)
	}
	return s
}

// Get returns the value, or the zero value if there is none. It sees what this step, and those of the key before it, have set.
func (s *State[T]) Get(ctx context.Context) (T, error) {
	v, _, err := s.Lookup(ctx)
	return v, err
}

// Lookup is [State.Get] that tells whether there is a value.
func (s *State[T]) Lookup(ctx context.Context) (v T, found bool, err error) {
	d, err := s.step(ctx)
	if err != nil {
		return v, false, err
	}
	data, err := d.Get(ctx, s.name)
	if err != nil || data == nil {
		return v, false, err
	}
	if v, err = s.codec.Decode(data); err != nil {
		return v, true, fmt.Errorf("the state %q that is stored cannot be decoded: %w", s.name, err)
	}
	return v, true, nil
}

// Set sets the value.
func (s *State[T]) Set(ctx context.Context, v T) error {
	d, err := s.step(ctx)
	if err != nil {
		return err
	}
	data, err := s.codec.Encode(v)
	if err != nil {
		return fmt.Errorf("encoding the state %q: %w", s.name, err)
	}
	return d.Put(s.name, data)
}

// Delete removes the value.
func (s *State[T]) Delete(ctx context.Context) error {
	d, err := s.step(ctx)
	if err != nil {
		return err
	}
	return d.Delete(s.name)
}

// ErrManyKeys means that the state of a batch was asked for, whose events have each their own key.
var ErrManyKeys = errors.New("a batch has the states of many keys: use the context that At returns for one of its events")

func (s *State[T]) step(ctx context.Context) (*Delivery, error) {
	if s.err != nil {
		return nil, s.err
	}
	h, _ := ctx.Value(handlingKey{}).(*handling)
	if h != nil && h.batch != nil && h.delivery == nil {
		return nil, fmt.Errorf("the state %q: %w", s.name, ErrManyKeys)
	}
	d, ok := step(ctx)
	if !ok {
		return nil, fmt.Errorf("the state %q: %w", s.name, ErrNoStep)
	}
	return d, nil
}
