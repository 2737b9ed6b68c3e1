package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Options configures a [Log]. The zero value is good.
type Options struct {
	// Logger is told what is created, removed, and stored with less than fsync. Default: nobody is.
	Logger *slog.Logger
	// Clock tells the time for retention. Default time.Now.
	Clock func() time.Time
	// Limits bounds events and filters. Default: the constants of package event.
	Limits event.Limits
	// Retain is how often retention is applied. Default [DefaultRetain].
	Retain time.Duration
}

// DefaultRetain is how often records beyond the limits are removed.
const DefaultRetain = 5 * time.Second

// Why a stream cannot be changed.
var (
	ErrNotFound    = errors.New("there is no such stream")
	ErrExists      = errors.New("there is another stream of that name")
	ErrRead        = errors.New("consumers read it, and would lose their place")
	ErrNoPartition = errors.New("there is no partition")
)

// A Log is the streams of a store. Its methods are safe for concurrent use.
type Log struct {
	store store.Store
	opts  Options
	ids   event.Generator

	capture event.Trie[*Stream]
	own     func(subject string) bool // nil if no subject is the server's own
	lines   engine.LineLimit          // of the log, about events that are left out
	changes atomic.Uint64
	// gate is read-locked from where an event is captured to where its batch is submitted, so that nothing is appended to a stream that was removed,
	// and nothing is missed by one that is being changed.
	gate sync.RWMutex

	mu      sync.RWMutex // of streams, and held while one is changed
	streams map[string]*Stream
	removed []func(name string)
	readers func(ctx context.Context, name string) ([]string, error)
}

// Stream is one stream as it was configured. A change makes another.
type Stream struct {
	id         event.ID
	refiltered bool
	config     Config
	key        keyRule
	durability store.Durability
	filters    []event.Filter
	revision   uint64
	tap        *Tap           // nil for most
	left       *atomic.Uint64 // events of the server that it is too small for
}

// definition is a stream as it is stored.
type definition struct {
	ID         event.ID `json:"id"`
	Refiltered bool     `json:"refiltered,omitempty"`
	Config
}

// Covers tells whether the stream captures every subject that a filter selects, by one of its own filters.
func (s *Stream) Covers(filter event.Filter) bool {
	return slices.ContainsFunc(s.filters, func(own event.Filter) bool { return own.Covers(filter) })
}

// Overlaps tells whether the stream captures a subject that a filter selects.
func (s *Stream) Overlaps(filter event.Filter) bool {
	return slices.ContainsFunc(s.filters, filter.Overlaps)
}

// ID tells the stream from every other that had its name before: it is given at the creation, and stays through changes, restarts and
// backups. A stream that is removed and created again has another one, and its offsets begin at 0.
func (s *Stream) ID() event.ID { return s.id }

// Refiltered tells whether the stream has had other filters before: then it may hold subjects that it does not capture any more.
func (s *Stream) Refiltered() bool { return s.refiltered }

// Config returns how the stream is configured, with the defaults filled in.
func (s *Stream) Config() Config {
	c := s.config
	c.Subjects = slices.Clone(c.Subjects)
	return c
}

// Partition returns the partition of an event.
func (s *Stream) Partition(e *event.Event) store.Partition {
	return store.Partition{Stream: s.config.Name, Number: spread(s.Key(e), s.config.Partitions)}
}

// configKey is the state that holds a stream's configuration.
func configKey(name string) string { return configPrefix + name }

const configPrefix = "stream/config/"

// Open reads what streams the store has.
func Open(ctx context.Context, s store.Store, o Options) (*Log, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Retain <= 0 {
		o.Retain = DefaultRetain
	}
	l := &Log{store: s, opts: o, streams: map[string]*Stream{}}
	l.ids.Clock = o.Clock
	for after, more := "", true; more; {
		const page = 1000
		entries, err := s.Scan(ctx, configPrefix, after, page)
		if err != nil {
			return nil, fmt.Errorf("reading the streams: %w", err)
		}
		for _, e := range entries {
			if err := l.load(e); err != nil {
				return nil, err
			}
			after = e.Key
		}
		more = len(entries) == page
	}
	return l, nil
}

// load enters a stream that was stored.
func (l *Log) load(e store.Entry) error {
	var d definition
	err := json.Unmarshal(e.Data, &d)
	var st *Stream
	if err == nil {
		st, err = l.build(d.Config)
	}
	if err != nil {
		return fmt.Errorf("the stored configuration %q: %w", e.Key, err)
	}
	st.id, st.refiltered, st.revision = d.ID, d.Refiltered, e.Revision
	l.enter(st)
	return nil
}

// parse checks a configuration that is given.
func (l *Log) parse(c Config) (*Stream, error) {
	p := problems{}
	p.structure(c, l.opts.Limits)
	p.sense(c, l.opts.Limits)
	if err := p.err(); err != nil {
		return nil, err
	}
	return l.build(c)
}

// build makes a stream of a configuration, which may be a stored one.
func (l *Log) build(c Config) (*Stream, error) {
	c = c.withDefaults()
	p := problems{}
	p.structure(c, l.opts.Limits)
	if err := p.err(); err != nil {
		return nil, err
	}
	s := &Stream{config: c, durability: durabilities[c.Durability], left: &atomic.Uint64{}}
	s.key, _ = parseKey(c.Key)
	for _, text := range c.Subjects {
		f, err := event.ParseFilter(text, l.opts.Limits)
		if err != nil {
			return nil, err
		}
		s.filters = append(s.filters, f)
	}
	return s, nil
}

// enter makes a stream capture. Called with the lock held, or before anybody else knows the log.
func (l *Log) enter(s *Stream) {
	l.streams[s.config.Name] = s
	for f := range s.captures {
		l.capture.Add(f, s)
	}
	l.changes.Add(1)
	if s.durability != store.Fsync {
		l.opts.Logger.Warn("a stream does not wait for the disk: what it acknowledges may be lost",
			"stream", s.config.Name, "durability", s.config.Durability, "lost", losses[s.durability])
	}
}

var losses = map[store.Durability]string{
	store.Interval: "up to the last second, when the process is killed or the power fails",
	store.None:     "up to the last ten seconds, when the process is killed or the power fails",
}

func (l *Log) leave(s *Stream) {
	delete(l.streams, s.config.Name)
	for f := range s.captures {
		l.capture.Remove(f, s)
	}
	l.changes.Add(1)
}

// Changes returns a number that grows whenever a stream begins or ends to capture: who keeps what [Log.Capturing] has returned looks again then.
func (l *Log) Changes() uint64 { return l.changes.Load() }

// Create makes a stream. One that exists with the same configuration is fine; with another it is [ErrExists].
func (l *Log) Create(ctx context.Context, c Config) (*Stream, error) {
	if err := c.Validate(l.opts.Limits); err != nil {
		return nil, err
	}
	return l.create(ctx, c)
}

// Reserve makes a stream of the server's own, if there is none: its name begins with "$", which nobody else can use, and it cannot be removed.
func (l *Log) Reserve(ctx context.Context, c Config) error {
	if !reserved(c.Name) {
		return fmt.Errorf("%w: the name %.80q of a stream of the server itself must begin with $", ErrConfig, c.Name)
	}
	if _, err := l.Get(c.Name); err == nil { // its retention may have been changed
		return nil
	}
	_, err := l.create(ctx, c)
	return err
}

func (l *Log) create(ctx context.Context, c Config) (*Stream, error) {
	s, err := l.parse(c)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.streams[s.config.Name]; old != nil {
		if sameConfig(old.config, s.config) {
			return old, nil
		}
		return nil, fmt.Errorf("creating the stream %q: %w: update it, or remove it first", s.config.Name, ErrExists)
	}
	if len(l.streams) >= MaxStreams {
		return nil, fmt.Errorf("creating the stream %q: there are %d already: %w", s.config.Name, MaxStreams, ErrConfig)
	}
	s.id = l.ids.New()
	if err := l.save(ctx, s, 0); err != nil {
		return nil, err
	}
	l.enter(s)
	level := slog.LevelInfo
	if reserved(s.config.Name) {
		level = slog.LevelDebug // nobody has asked for it
	}
	l.opts.Logger.Log(ctx, level, "stream created", "stream", s.config.Name, "subjects", s.config.Subjects, "partitions", s.config.Partitions)
	return s, nil
}

// Update changes a stream. Everything but the name, the partitions and the key can be changed; partitions and a key that are not given stay as they are.
func (l *Log) Update(ctx context.Context, c Config) (*Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.streams[c.Name]
	if old != nil {
		c.Partitions, c.Key = cmp.Or(c.Partitions, old.config.Partitions), cmp.Or(c.Key, old.config.Key)
	}
	s, err := l.parse(c)
	switch {
	case err != nil:
		return nil, err
	case old == nil:
		return nil, NotFound(c.Name)
	case sameConfig(old.config, s.config):
		return old, nil
	case reserved(c.Name) && !slices.Equal(old.config.Subjects, s.config.Subjects):
		return nil, fmt.Errorf("%w: the subjects of %q are the server's own; its retention can be changed", ErrConfig, c.Name)
	case old.config.Partitions != s.config.Partitions || old.config.Key != s.config.Key:
		return nil, fmt.Errorf("%w: %q has %d partitions by %s, which cannot be changed, since the order of each key would be lost: leave them out to keep what there is, or make another stream",
			ErrConfig, c.Name, old.config.Partitions, old.config.Key)
	}
	s.tap, s.left = old.tap, old.left
	s.id, s.refiltered = old.id, old.refiltered || !slices.Equal(old.config.Subjects, s.config.Subjects)
	if err := l.save(ctx, s, old.revision); err != nil {
		return nil, err
	}
	l.gate.Lock() // what is published meanwhile is captured by the one or the other
	l.leave(old)
	l.enter(s)
	l.gate.Unlock()
	l.opts.Logger.Info("stream changed", "stream", s.config.Name)
	return s, nil
}

func sameConfig(a, b Config) bool {
	same := slices.Equal(a.Subjects, b.Subjects)
	a.Subjects, b.Subjects = nil, nil
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return same && string(x) == string(y)
}

// save stores the configuration, if nobody else has meanwhile.
func (l *Log) save(ctx context.Context, s *Stream, was uint64) error {
	data, err := json.Marshal(definition{s.id, s.refiltered, s.config})
	if err != nil {
		return err
	}
	key := configKey(s.config.Name)
	b := &store.Batch{Requires: []store.Require{{Key: key, Revision: was}}, Puts: []store.Put{{Key: key, Data: data}}}
	if err := store.Commit(ctx, l.store, b); err != nil {
		return fmt.Errorf("storing the configuration of stream %q: %w", s.config.Name, err)
	}
	v, err := l.store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("reading back the configuration of stream %q: %w", s.config.Name, err)
	}
	s.revision = v.Revision
	return nil
}

// Remove removes a stream and all that it holds. If consumers read it, that is [ErrRead], which names them, unless it is forced: then they lose their places,
// and begin anew in a stream of that name, once there is one.
func (l *Log) Remove(ctx context.Context, name string, force bool) error {
	if _, err := l.Get(name); err == nil && !force && l.readers != nil && !reserved(name) {
		readers, err := l.readers(ctx, name)
		if err == nil && len(readers) > 0 {
			err = fmt.Errorf("%w: %q; remove them first, or force it", ErrRead, readers)
		}
		if err != nil {
			return fmt.Errorf("removing the stream %.80q: %w", name, err)
		}
	}
	return l.remove(ctx, name)
}

// Readers has a function called before each removal that is not forced: it returns the consumers of a stream. It is to be called before the log is used by
// several goroutines.
func (l *Log) Readers(fn func(ctx context.Context, name string) ([]string, error)) { l.readers = fn }

func (l *Log) remove(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[name]
	if s == nil {
		return NotFound(name)
	}
	if reserved(name) {
		return fmt.Errorf("%w: %q is the server's own: trim it, or drop its dead letters", ErrConfig, name)
	}
	b := &store.Batch{Deletes: []string{configKey(name)}, Drops: []string{name}}
	cursors, err := l.store.Cursors(ctx, "")
	if err != nil {
		return fmt.Errorf("removing the stream %q: %w", name, err)
	}
	for id := range cursors {
		if id.Stream == name { // offsets begin at 0 again: a cursor of today would skip what a stream of that name holds tomorrow
			b.Cursors = append(b.Cursors, store.MoveCursor{Cursor: id, From: store.AnyCursor, To: store.NoCursor})
		}
	}
	l.leave(s)
	l.gate.Lock()
	l.gate.Unlock() //nolint:staticcheck // an empty section waits for those who have captured it: their batches come before this one
	if err := store.Commit(ctx, l.store, b); err != nil {
		l.enter(s)
		return fmt.Errorf("removing the stream %q: %w", name, err)
	}
	l.opts.Logger.Info("stream removed", "stream", name, "cursors", len(b.Cursors))
	for _, fn := range l.removed {
		fn(name)
	}
	return nil
}

// OnRemove has a function called after each removal of a stream, with the lock of the log held: it must not block, and not use the log. It is to be
// called before the log is used by several goroutines.
func (l *Log) OnRemove(fn func(name string)) { l.removed = append(l.removed, fn) }

// reserved tells whether a stream is made and used by the server itself.
func reserved(name string) bool { return name != "" && name[0] == '$' }

// Get returns a stream.
func (l *Log) Get(name string) (*Stream, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if s := l.streams[name]; s != nil {
		return s, nil
	}
	return nil, NotFound(name)
}

// NotFound is the error of [Log.Get] for a name that no stream has. It is for doors that must not tell who asks that there is one.
func NotFound(name string) error { return fmt.Errorf("%w: %.80q", ErrNotFound, name) }

// List returns all streams, by name.
func (l *Log) List() []*Stream {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]*Stream, 0, len(l.streams))
	for _, s := range l.streams {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Stream) int {
		if a.config.Name < b.config.Name {
			return -1
		}
		return 1
	})
	return all
}

// Store returns the store.
func (l *Log) Store() store.Store { return l.store }

// Key returns what the order of an event is kept by.
func (s *Stream) Key(e *event.Event) string { return s.key.of(e) }
