package stream

import (
	"context"
	"fmt"

	"github.com/spate-io/spate/event"
)

// A Tap is a stream of the server's own whose filters come and go while it is used, and are not stored: what it captures is what somebody waits for
// at the moment. Its methods are safe for concurrent use. MQTT's sessions are one.
type Tap struct {
	log     *Log
	name    string
	accept  func(*event.Event) bool
	filters map[event.Filter]struct{} // guarded by log.mu
}

// Tap makes a stream of the server's own, if there is none, see [Log.Reserve], and returns how to change what it captures. It captures what is accepted of the
// subjects that a filter of the tap selects. Called once for a name, before the log is used by several goroutines.
func (l *Log) Tap(ctx context.Context, c Config, accept func(*event.Event) bool) (*Tap, error) {
	if err := l.Reserve(ctx, c); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[c.Name]
	if s.tap != nil {
		return nil, fmt.Errorf("%w: the stream %q is tapped already", ErrExists, c.Name)
	}
	s.tap = &Tap{log: l, name: c.Name, accept: accept, filters: map[event.Filter]struct{}{}}
	return s.tap, nil
}

// Add has the tap capture what a filter selects. What is published after it has returned is captured.
func (t *Tap) Add(f event.Filter) {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	if _, has := t.filters[f]; has {
		return
	}
	t.filters[f] = struct{}{}
	t.log.capture.Add(f, t.log.streams[t.name])
	t.log.changes.Add(1)
}

// Remove has the tap no longer capture what a filter selects. What is being published meanwhile may be captured still.
func (t *Tap) Remove(f event.Filter) {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	if _, has := t.filters[f]; !has {
		return
	}
	delete(t.filters, f)
	if s := t.log.streams[t.name]; !s.has(f) {
		t.log.capture.Remove(f, s)
		t.log.changes.Add(1)
	}
}

// Name returns the name of the stream.
func (t *Tap) Name() string { return t.name }

// captures yields every filter of the stream. The caller has the lock of the log.
func (s *Stream) captures(yield func(event.Filter) bool) {
	for _, f := range s.filters {
		if !yield(f) {
			return
		}
	}
	if s.tap == nil {
		return
	}
	for f := range s.tap.filters {
		if !s.has(f) && !yield(f) {
			return
		}
	}
}

// has tells whether a filter is one of the configuration.
func (s *Stream) has(f event.Filter) bool {
	for _, own := range s.filters {
		if own == f {
			return true
		}
	}
	return false
}

// takes tells whether the stream wants an event that its filters select.
func (s *Stream) takes(e *event.Event) bool { return s.tap == nil || s.tap.accept(e) }
