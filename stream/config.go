package stream

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Config describes a stream. In JSON, durations are texts such as "36h" and absent means the default.
type Config struct {
	// Name identifies the stream: 1 to 255 letters, digits, and any of "._:-/" and others that are visible, without spaces. Names that begin with "$"
	// are the server's own.
	Name string `json:"name"`
	// Subjects are the filters of what it captures. At least one.
	Subjects []string `json:"subjects"`
	// Partitions is the number of logs that it is spread over. Default [DefaultPartitions]. It cannot be changed.
	Partitions int `json:"partitions,omitempty" yaml:",omitempty"`
	// Key says what the order is kept by for events that have no key of their own: "subject" (the default), "level:2" for the second level
	// of the subject, which one of Subjects must reach, "header:NAME" for a header. An event without such a level or header goes by its subject.
	Key string `json:"key,omitempty" yaml:",omitempty"`
	// MaxAge is how long records are kept, at least [MinAge]. Default: for ever.
	MaxAge Duration `json:"max_age,omitzero" yaml:",omitempty"`
	// MaxBytes is how many bytes a partition keeps, at least [MinBytes] and MaxEventBytes. Default: no limit.
	MaxBytes int64 `json:"max_bytes,omitempty" yaml:",omitempty"`
	// MaxEvents is how many records a partition keeps. Default: no limit.
	MaxEvents int64 `json:"max_events,omitempty" yaml:",omitempty"`
	// MaxEventBytes is the size of the largest event that it takes. Default: what the server takes at all.
	MaxEventBytes int `json:"max_event_bytes,omitempty" yaml:",omitempty"`
	// Dedupe is how long an event's ID is remembered: a second event with that ID is acknowledged and left out. Default: none is.
	Dedupe Duration `json:"dedupe,omitzero" yaml:",omitempty"`
	// Durability is "fsync" (the default: what is acknowledged is on disk), "interval" (a loss of power loses the last second) or
	// "none" (up to the last ten seconds).
	Durability string `json:"durability,omitempty" yaml:",omitempty"`
}

// Duration is a time.Duration that is written as text, "1h30m".
type Duration time.Duration

// String returns the duration as it is written.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it as in \"90s\" or \"36h\"", text)
	}
	*d = Duration(v)
	return nil
}

// Defaults and bounds.
const (
	DefaultPartitions = 8
	MaxPartitions     = 1024
	MaxName           = 255
	MaxSubjects       = 256
	MaxStreams        = 100_000
	// MinAge is the least [Config].MaxAge, and MinBytes the least MaxBytes: with less, events go before anybody can read them.
	MinAge   = Duration(time.Second)
	MinBytes = 1024
)

var durabilities = map[string]store.Durability{"": store.Fsync, "fsync": store.Fsync, "interval": store.Interval, "none": store.None}

// ErrConfig means that a configuration cannot be used as it is.
var ErrConfig = errors.New("the configuration of the stream is not usable")

// withDefaults returns c as it is stored and shown.
func (c Config) withDefaults() Config {
	if c.Partitions == 0 {
		c.Partitions = DefaultPartitions
	}
	if c.Key == "" {
		c.Key = "subject"
	}
	if c.Durability == "" {
		c.Durability = "fsync"
	}
	return c
}

// A FieldError is what is wrong with one key of a [Config].
type FieldError struct {
	Key string // as it is written: "max_age", "subjects[1]"
	Err error
}

// Error says what is wrong with which key.
func (e *FieldError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// Validate reports everything that is wrong with the configuration of a stream that is to be created: an [ErrConfig] of what [Config.Problems] returns.
func (c Config) Validate(limits event.Limits) error {
	return problems(c.Problems(limits)).err()
}

// Problems returns everything that is wrong with the configuration of a stream that is to be created, key by key.
func (c Config) Problems(limits event.Limits) []*FieldError {
	p := problems{}
	p.named(c)
	p.structure(c, limits)
	p.sense(c, limits)
	return p
}

type problems []*FieldError

func (p *problems) wrong(bad bool, key, format string, args ...any) {
	if bad {
		*p = append(*p, &FieldError{key, fmt.Errorf(format, args...)})
	}
}

// err joins what is wrong, or returns nil.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	errs := make([]error, len(p))
	for i, e := range p {
		errs[i] = e
	}
	return fmt.Errorf("%w: %w", ErrConfig, errors.Join(errs...))
}

// named refuses what only the server itself may be called.
func (p *problems) named(c Config) {
	p.wrong(reserved(c.Name), "name", "%.80q is the server's own, since it begins with $: choose another", c.Name)
}

// structure refuses what no stream can be.
func (p *problems) structure(c Config, limits event.Limits) {
	p.wrong(!validName(c.Name), "name", "%.80q must have 1 to %d visible characters and no space", c.Name, MaxName)
	p.wrong(len(c.Subjects) == 0, "subjects", "must name at least one filter of what to capture, such as \"orders/#\"")
	p.wrong(len(c.Subjects) > MaxSubjects, "subjects", "%d are more than %d", len(c.Subjects), MaxSubjects)
	for i, s := range c.Subjects {
		_, err := event.ParseFilter(s, limits)
		p.wrong(err != nil, fmt.Sprintf("subjects[%d]", i), "%w", err)
	}
	p.wrong(c.Partitions < 0 || c.Partitions > MaxPartitions, "partitions", "must be 1 to %d, not %d", MaxPartitions, c.Partitions)
	for _, limit := range []struct {
		key string
		n   int64
	}{{"max_age", int64(c.MaxAge)}, {"max_bytes", c.MaxBytes}, {"max_events", c.MaxEvents}, {"max_event_bytes", int64(c.MaxEventBytes)}, {"dedupe", int64(c.Dedupe)}} {
		p.wrong(limit.n < 0, limit.key, "must not be negative")
	}
	_, known := durabilities[c.Durability]
	p.wrong(!known, "durability", "must be fsync, interval or none, not %.80q", c.Durability)
	_, err := parseKey(c.Key)
	p.wrong(err != nil, "key", "%w", err)
}

// sense refuses what a stream can be and nobody can want. It is not asked of what is stored: limits may have been changed since.
func (p *problems) sense(c Config, limits event.Limits) {
	first := map[string]int{}
	deepest := 0
	for i, s := range c.Subjects {
		at, twice := first[s]
		p.wrong(twice, fmt.Sprintf("subjects[%d]", i), "%.80q is there already, as subjects[%d]; give each filter once", s, at)
		if !twice {
			first[s] = i
		}
		levels := 1 + strings.Count(s, "/")
		if strings.HasSuffix(s, "#") {
			levels = cmp.Or(limits.SubjectLevels, event.DefaultSubjectLevels)
		}
		deepest = max(deepest, levels)
	}
	rule, err := parseKey(c.Key)
	p.wrong(err == nil && len(c.Subjects) > 0 && rule.level > deepest, "key", "%q names a level that no subject of the stream has: they have %d at most", c.Key, deepest)
	p.wrong(c.MaxAge > 0 && c.MaxAge < MinAge, "max_age", "%v is less than %v, the least: retention looks every %v", c.MaxAge, MinAge, DefaultRetain)
	p.wrong(c.MaxBytes > 0 && c.MaxBytes < MinBytes, "max_bytes", "%d is less than %d, the least: next to no event would fit", c.MaxBytes, MinBytes)
	p.wrong(c.MaxBytes >= MinBytes && c.MaxBytes < int64(c.MaxEventBytes), "max_bytes",
		"%d is less than the largest event of the stream, max_event_bytes: %d, which would be removed as soon as it is stored", c.MaxBytes, c.MaxEventBytes)
}

func validName(name string) bool {
	if name == "" || len(name) > MaxName {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}

// keyRule finds the key of events that have none.
type keyRule struct {
	level  int
	header string
}

func parseKey(text string) (keyRule, error) {
	kind, arg, _ := strings.Cut(text, ":")
	switch kind {
	case "", "subject":
		if arg == "" {
			return keyRule{}, nil
		}
	case "level":
		if n, err := strconv.Atoi(arg); err == nil && n > 0 {
			return keyRule{level: n}, nil
		}
	case "header":
		if arg != "" {
			return keyRule{header: arg}, nil
		}
	}
	return keyRule{}, fmt.Errorf("must be subject, level:N (from 1) or header:NAME, not %.80q", text)
}

// of returns the key of an event.
func (k keyRule) of(e *event.Event) string {
	if e.Key != "" {
		return e.Key
	}
	if k.header != "" {
		if v := e.Header(k.header); v != "" {
			return v
		}
	}
	rest, more := e.Subject, k.level > 0
	for n := k.level; more; n-- {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if n == 1 {
			return level
		}
	}
	return e.Subject
}

// spread returns which of n partitions a key belongs to. It is FNV-1a, which must stay: what is stored was spread by it.
func spread(key string, n int) int {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= h >> 32 // the high bits are mixed better than the low ones
	return int(h % uint64(n))
}
