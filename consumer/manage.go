package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// meta is what the store knows of a consumer.
type meta struct {
	Stream string `json:"stream"`
	Filter string `json:"filter,omitempty"`
	Paused bool   `json:"paused,omitempty"`

	revision uint64
}

const metaPrefix = "consumer/config/"

func (s *Set) meta(ctx context.Context, name string) (m meta, err error) {
	v, err := s.store().Get(ctx, metaPrefix+name)
	if err == nil && v.Revision != 0 {
		err = json.Unmarshal(v.Data, &m)
	}
	m.revision = v.Revision
	if err != nil {
		return m, fmt.Errorf("reading the consumer %q: %w", name, err)
	}
	return m, nil
}

// keep stores what is known of a consumer.
func (s *Set) keep(ctx context.Context, name string, m meta) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	key := metaPrefix + name
	b := &store.Batch{Requires: []store.Require{{Key: key, Revision: m.revision}}, Puts: []store.Put{{Key: key, Data: data}}}
	if err := store.Commit(ctx, s.store(), b); err != nil {
		return fmt.Errorf("storing the consumer %q: %w", name, err)
	}
	return nil
}

// enter makes the consumer known to the store.
func (s *Set) enter(ctx context.Context, c *Consumer) (meta, error) {
	m, err := s.meta(ctx, c.config.Name)
	switch {
	case err != nil:
		return m, err
	case m.revision != 0 && m.Stream != c.config.Stream:
		return m, fmt.Errorf("%w: %q, which reads the stream %q and not %q: remove it, or take another name", ErrExists, c.config.Name, m.Stream, c.config.Stream)
	case m.revision == 0 || m.Filter != c.config.Filter:
		m.Stream, m.Filter = c.config.Stream, c.config.Filter
		return m, s.keep(ctx, c.config.Name, m)
	}
	return m, nil
}

// known returns what is stored of a consumer that exists.
func (s *Set) known(ctx context.Context, name string) (meta, error) {
	m, err := s.meta(ctx, name)
	if err == nil && m.revision == 0 {
		err = fmt.Errorf("%w: %.80q", ErrNotFound, name)
	}
	return m, err
}

// Pause stops a consumer until it is resumed, also over restarts. It begins nothing new, what is being handled is committed, and then Pause returns. When the
// context ends before that, the error says what goes on; the consumer is paused nevertheless, and another Pause waits for it again.
func (s *Set) Pause(ctx context.Context, name string) error {
	if err := s.setPaused(ctx, name, true); err != nil {
		return err
	}
	if err := s.again(ctx, name); err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	return nil
}

// Resume lets a consumer that was paused go on.
func (s *Set) Resume(ctx context.Context, name string) error {
	if err := s.setPaused(ctx, name, false); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[name]; c != nil {
		c.asked++ // it looks again, also if it has just found that it is paused
		c.changedLocked()
	}
	return nil
}

func (s *Set) setPaused(ctx context.Context, name string, paused bool) error {
	m, err := s.known(ctx, name)
	if err != nil || m.Paused == paused {
		return err
	}
	m.Paused = paused
	return s.keep(ctx, name, m)
}

// notOwn refuses to move or remove a consumer of the server itself, whose state others rely on.
func notOwn(name string) error {
	if strings.HasPrefix(name, "$") {
		return fmt.Errorf("%w: %.80q", ErrOwn, name)
	}
	return nil
}

// Reset moves a consumer to a place in its stream. Its state stays. An offset that is beyond the end of every partition is [ErrPlace]. It waits for what is being handled; when the context ends before that, nothing is changed.
func (s *Set) Reset(ctx context.Context, name string, from stream.From) error {
	if err := notOwn(name); err != nil {
		return err
	}
	m, err := s.known(ctx, name)
	if err != nil {
		return err
	}
	st, err := s.opts.Log.Get(m.Stream)
	if err != nil {
		return err
	}
	places, err := s.locate(ctx, st, from)
	if err != nil {
		return err
	}
	return s.held(ctx, name, func() error {
		for n, at := range places {
			p := store.Partition{Stream: m.Stream, Number: n}
			id := store.Cursor{Consumer: name, Partition: p}
			b := &store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: store.AnyCursor, To: at}}, Deletes: []string{marksKey(id)}}
			if err := store.Commit(ctx, s.store(), b); err != nil {
				return fmt.Errorf("resetting the consumer %q: %w", name, err)
			}
		}
		return nil
	})
}

// locate returns where a place is in each partition.
func (s *Set) locate(ctx context.Context, st *stream.Stream, from stream.From) (places []uint64, err error) {
	c, end, within := st.Config(), uint64(0), false
	for n := range c.Partitions {
		p := store.Partition{Stream: c.Name, Number: n}
		at, err := s.opts.Log.Locate(ctx, p, from)
		if err != nil {
			return nil, err
		}
		b, err := s.store().Bounds(ctx, p)
		if err != nil {
			return nil, err
		}
		places, end, within = append(places, at), max(end, b.Next), within || at <= b.Next
	}
	if !within {
		return nil, fmt.Errorf("%w: no partition of %q has come to offset %d, the longest ends at %d: say end for the end of each", ErrPlace, c.Name, places[0], end)
	}
	return places, nil
}

// Remove forgets a consumer: its place, its state, and what was redriven to it. It waits like Reset. Of a consumer whose handler is in this process, paused
// or not, it is [ErrRunning], since nothing would handle its events until the process starts again, and then from where its options say: unless it is forced.
func (s *Set) Remove(ctx context.Context, name string, force bool) error {
	if err := notOwn(name); err != nil {
		return err
	}
	if _, err := s.known(ctx, name); err != nil {
		return err
	}
	s.mu.Lock()
	here := s.all[name] != nil
	s.mu.Unlock()
	if here && !force {
		return fmt.Errorf("removing the consumer %q: %w: take the handler out of the program first, or force it", name, ErrRunning)
	}
	return s.held(ctx, name, func() error {
		s.mu.Lock()
		c := s.all[name]
		delete(s.all, name)
		if c != nil && c.stop != nil {
			c.stop()
		}
		s.mu.Unlock()
		if c != nil {
			s.opts.Logger.Warn("a consumer was removed whose handler was running: it begins anew, without state, when the process starts again", "consumer", name)
		}
		cursors, err := s.store().Cursors(ctx, name)
		if err != nil {
			return err
		}
		for id := range cursors {
			b := &store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: store.AnyCursor, To: store.NoCursor}}, Deletes: []string{marksKey(id)}}
			if err := store.Commit(ctx, s.store(), b); err != nil {
				return fmt.Errorf("removing the consumer %q: %w", name, err)
			}
		}
		if err := s.removeState(ctx, statePrefix(name)); err != nil {
			return fmt.Errorf("removing the state of the consumer %q: %w", name, err)
		}
		if err := s.removeRedriven(ctx, name); err != nil {
			return fmt.Errorf("removing what was redriven to the consumer %q: %w", name, err)
		}
		return store.Commit(ctx, s.store(), &store.Batch{Deletes: []string{metaPrefix + name}})
	})
}

// removeState deletes all keys with a prefix, a page at a time.
func (s *Set) removeState(ctx context.Context, prefix string) error {
	page := max(1, min(500, s.store().Limits().Operations/2))
	for {
		entries, err := s.store().Scan(ctx, prefix, "", page)
		if err != nil || len(entries) == 0 {
			return err
		}
		b := &store.Batch{}
		for _, e := range entries {
			b.Deletes = append(b.Deletes, e.Key)
		}
		if err := store.Commit(ctx, s.store(), b); err != nil {
			return err
		}
	}
}

// Info is what there is to know about a consumer.
type Info struct {
	Name    string `json:"name"`
	Stream  string `json:"stream"`
	Filter  string `json:"filter,omitempty"`
	Running bool   `json:"running"` // in this process
	Paused  bool   `json:"paused"`
	// Lag is how many events it has not handled yet.
	Lag uint64 `json:"lag"`
	// Redriven is how many dead letters were redriven to it and are not handled yet: of the oldest [MaxRedriven] of all consumers.
	Redriven   int             `json:"redriven"`
	Partitions []PartitionInfo `json:"partitions"`
	Counters   Counters        `json:"counters"`
	Error      string          `json:"error,omitempty"` // why it does not run
}

// PartitionInfo is a consumer's place in a partition.
type PartitionInfo struct {
	Partition int    `json:"partition"`
	Cursor    uint64 `json:"cursor"` // everything before it is done
	End       uint64 `json:"end"`
	Lag       uint64 `json:"lag"`
	InFlight  int    `json:"in_flight"` // events in memory, also those that are being committed
	Held      int    `json:"held"`      // keys that wait for their next attempt
}

// Counters count since the handler was added, in this process: nothing of them is kept over a restart.
type Counters struct {
	Handled uint64 `json:"handled"`
	Skipped uint64 `json:"skipped"`
	Retried uint64 `json:"retried"`
	Dead    uint64 `json:"dead"`
	Steps   uint64 `json:"steps"`   // commits
	Missed  uint64 `json:"missed"`  // events that retention removed before they were read
	Corrupt uint64 `json:"corrupt"` // records that cannot be read
	Full    uint64 `json:"full"`    // commits that had to wait for room on the disk
}

// List returns all consumers of the store, by name.
func (s *Set) List(ctx context.Context) ([]Info, error) {
	names := s.names()
	for after, more := "", true; more; {
		const page = 500
		entries, err := s.store().Scan(ctx, metaPrefix, after, page)
		if err != nil {
			return nil, fmt.Errorf("listing the consumers: %w", err)
		}
		for _, e := range entries {
			after = e.Key
			names = append(names, strings.TrimPrefix(e.Key, metaPrefix))
		}
		more = len(entries) == page
	}
	slices.Sort(names)
	redriven, err := s.redriven(ctx)
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, name := range slices.Compact(names) {
		info, err := s.info(ctx, name)
		info.Redriven = redriven[name]
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

// readers returns the consumers of a stream, by name: those of this process, and those that are stored.
func (s *Set) readers(ctx context.Context, stream string) (names []string, err error) {
	s.mu.Lock()
	for name, c := range s.all {
		if c.config.Stream == stream {
			names = append(names, name)
		}
	}
	s.mu.Unlock()
	for after, more := "", true; more; {
		const page = 500
		entries, err := s.store().Scan(ctx, metaPrefix, after, page)
		if err != nil {
			return nil, fmt.Errorf("looking for its consumers: %w", err)
		}
		for _, e := range entries {
			var m meta
			if after = e.Key; json.Unmarshal(e.Data, &m) == nil && m.Stream == stream {
				names = append(names, strings.TrimPrefix(e.Key, metaPrefix))
			}
		}
		more = len(entries) == page
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Info returns what there is to know about one consumer.
func (s *Set) Info(ctx context.Context, name string) (Info, error) {
	info, err := s.info(ctx, name)
	if err != nil {
		return info, err
	}
	redriven, err := s.redriven(ctx)
	info.Redriven = redriven[name]
	return info, err
}

func (s *Set) info(ctx context.Context, name string) (Info, error) {
	s.mu.Lock()
	c := s.all[name]
	info := Info{Name: name}
	if c != nil {
		info.Stream, info.Filter = c.config.Stream, c.config.Filter
		info.Counters = c.stats.read()
		if c.err != nil {
			info.Error = c.err.Error()
		}
	}
	s.mu.Unlock()
	m, err := s.known(ctx, name)
	if err != nil && c == nil {
		return info, err
	}
	if err == nil {
		info.Stream, info.Filter, info.Paused = m.Stream, m.Filter, m.Paused
	}
	return info, s.places(ctx, c, &info)
}

// places fills in where the consumer stands.
func (s *Set) places(ctx context.Context, c *Consumer, info *Info) error {
	st, err := s.opts.Log.Get(info.Stream)
	if err != nil {
		info.Error = fmt.Sprintf("the stream %q was removed: nothing is handled until there is one of that name", info.Stream)
		return nil
	}
	for n := range st.Config().Partitions {
		p := store.Partition{Stream: info.Stream, Number: n}
		b, err := s.store().Bounds(ctx, p)
		if err != nil {
			return err
		}
		at, err := s.store().Cursor(ctx, store.Cursor{Consumer: info.Name, Partition: p})
		if err != nil {
			return err
		}
		if at == store.NoCursor {
			at = b.First
		}
		at = min(max(at, b.First), b.Next)
		pi := PartitionInfo{Partition: n, Cursor: at, End: b.Next, Lag: b.Next - at}
		if c != nil {
			info.Running = c.inMemory(n, &pi) || info.Running
		}
		info.Lag += pi.Lag
		info.Partitions = append(info.Partitions, pi)
	}
	return nil
}

// Busy says what is being handled and committed now, a sentence for each consumer that does anything.
func (s *Set) Busy() []string {
	var all []string
	for _, name := range s.names() {
		s.mu.Lock()
		c := s.all[name]
		s.mu.Unlock()
		if c == nil {
			continue
		}
		if what := c.busy(); what != "" {
			all = append(all, fmt.Sprintf("the consumer %q %s", name, what))
		}
	}
	return all
}

// busy says what a consumer is at, or nothing.
func (c *Consumer) busy() string {
	c.mu.Lock()
	parts := c.parts
	c.mu.Unlock()
	for _, p := range parts {
		p.mu.Lock()
		running, waiting, first := p.running, p.commit != nil || len(p.finished) > 0, p.flight.first()
		p.mu.Unlock()
		switch {
		case running > 0:
			return fmt.Sprintf("handles events of %d keys in partition %d of %q, the first at offset %d", running, p.at.Number, p.at.Stream, first)
		case waiting:
			return fmt.Sprintf("waits for a commit in partition %d of %q", p.at.Number, p.at.Stream)
		}
	}
	return ""
}

// inMemory adds what the process knows of a partition, and tells whether it handles it.
func (c *Consumer) inMemory(n int, info *PartitionInfo) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n >= len(c.parts) {
		return false
	}
	p := c.parts[n]
	p.mu.Lock()
	defer p.mu.Unlock()
	info.InFlight, info.Held = p.flight.len(), len(p.held)
	if p.commit != nil {
		info.InFlight += len(p.commit.items)
	}
	return true
}

func (c *counters) read() Counters {
	return Counters{
		Handled: c.handled.Load(), Skipped: c.skipped.Load(), Retried: c.retried.Load(), Dead: c.dead.Load(),
		Steps: c.steps.Load(), Missed: c.missed.Load(), Corrupt: c.corrupt.Load(), Full: c.full.Load(),
	}
}
