package device

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
)

// Config says which clients are devices, and what is kept of them. The zero value is good.
type Config struct {
	// IDs are the patterns of identifiers that are devices' ('*' any characters, '?' one, [a-c] one of). Default: every identifier that a client has
	// chosen itself.
	IDs []string `yaml:"ids"`
	// Except are the patterns of those that are not. Default: none.
	Except []string
	// Unknown is what becomes of a device that connects and was not declared: "register" (the default) makes it known, "ignore" lets it connect and keeps nothing
	// of it, "refuse" does not let it connect.
	Unknown string
	// Grace is how long devices that were connected when the server stopped have to come back before they are marked as offline. Default [DefaultGrace].
	Grace time.Duration
	// Absence says which devices are absent when nothing is heard of them, and after how long. Default: none ever is.
	Absence []AbsenceRule
	// Limits bound what is kept.
	Limits Limits
}

// What becomes of unknown devices: [Config].Unknown.
const (
	Register = "register"
	Ignore   = "ignore"
	Refuse   = "refuse"
)

const unclosed = "%.40q has a [ without its ]; write \\[ for the character itself"

// Problems returns everything that is wrong with the configuration, key by key.
func (c Config) Problems() (problems []*FieldError) {
	wrong := func(bad bool, key, format string, args ...any) {
		if bad {
			problems = append(problems, &FieldError{key, fmt.Errorf(format, args...)})
		}
	}
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"ids", c.IDs}, {"except", c.Except}} {
		wrong(len(list.patterns) > maxPatterns, list.key, "has %d patterns; at most %d are accepted", len(list.patterns), maxPatterns)
		for i, p := range list.patterns {
			wrong(p == "" || len(p) > DefaultLabel, fmt.Sprintf("%s[%d]", list.key, i), "must have 1 to %d bytes", DefaultLabel)
			wrong(!bus.GlobClosed(p), fmt.Sprintf("%s[%d]", list.key, i), unclosed, p)
		}
	}
	switch c.Unknown {
	case "", Register, Ignore, Refuse:
	default:
		wrong(true, "unknown", "%.40q is not one of register, ignore and refuse", c.Unknown)
	}
	wrong(c.Grace < 0, "grace", "must not be negative")
	wrong(len(c.Absence) > maxRules, "absence", "has %d rules; at most %d are accepted", len(c.Absence), maxRules)
	for i, r := range c.Absence {
		wrong(r.After < MinAbsence, fmt.Sprintf("absence[%d].after", i), "%v is less than %v, the least", r.After, MinAbsence)
		wrong(len(r.IDs) > DefaultLabel, fmt.Sprintf("absence[%d].ids", i), "must have at most %d bytes", DefaultLabel)
		wrong(!bus.GlobClosed(r.IDs), fmt.Sprintf("absence[%d].ids", i), unclosed, r.IDs)
	}
	for _, l := range []struct {
		key     string
		n, most int
	}{
		{"state", c.Limits.State, MaxState}, {"state_depth", c.Limits.StateDepth, MaxStateDepth}, {"commands", c.Limits.Commands, MaxCommands},
		{"payload", c.Limits.Payload, MaxPayload}, {"window", c.Limits.Window, MaxWindow},
	} {
		wrong(l.n > l.most, "limits."+l.key, "%d is more than %d, the most", l.n, l.most)
	}
	return problems
}

// A FieldError is what is wrong with one key of a [Config].
type FieldError struct {
	Key string // as it is written: "unknown", "ids[1]"
	Err error
}

// Error says what is wrong with which key.
func (e *FieldError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

func (c Config) withDefaults() (Config, error) {
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, p)
	}
	if len(errs) > 0 {
		return c, fmt.Errorf("%w: %w", ErrConfig, errors.Join(errs...))
	}
	if c.Unknown == "" {
		c.Unknown = Register
	}
	c.Grace = orDefault(c.Grace, DefaultGrace)
	c.Limits = c.Limits.WithDefaults()
	return c, nil
}

// names tells whether an identifier that a client has chosen is that of a device.
func (c *Config) names(id string) bool {
	match := func(p string) bool { return bus.Glob(p, id) }
	return c.validID(id) == nil && (len(c.IDs) == 0 || slices.ContainsFunc(c.IDs, match)) && !slices.ContainsFunc(c.Except, match)
}

// validID tells whether a text can be one level of a subject, and be written in a log and a path.
func (c *Config) validID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it is empty", ErrID)
	case len(id) > c.Limits.ID:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrID, len(id), c.Limits.ID)
	case !plain(id) || strings.ContainsAny(id, "/+#"):
		return fmt.Errorf("%w: %.64q has one of / + #, or what cannot be seen", ErrID, id)
	}
	return nil
}

// checkLabels reports what is wrong with a type and tags.
func (c *Config) checkLabels(kind string, tags []string) error {
	if len(tags) > c.Limits.Tags {
		return fmt.Errorf("%w: there are %d tags, at most %d are allowed", ErrLabel, len(tags), c.Limits.Tags)
	}
	for i, label := range append([]string{kind}, tags...) {
		switch {
		case label == "" && i > 0:
			return fmt.Errorf("%w: a tag is empty", ErrLabel)
		case len(label) > c.Limits.Label:
			return fmt.Errorf("%w: %.64q has %d bytes, at most %d are allowed", ErrLabel, label, len(label), c.Limits.Label)
		case i > 0 && strings.Contains(label, ","):
			return fmt.Errorf("%w: the tag %.64q has a comma, which stands between tags where they are asked for: give each apart", ErrLabel, label)
		case !plain(label):
			return fmt.Errorf("%w: %.64q has what cannot be seen", ErrLabel, label)
		}
	}
	return nil
}

// plain tells whether a text is UTF-8 without control characters.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 })
}

// Options are what a [Service] works with.
type Options struct {
	// Config says which clients are devices, and what is kept of them.
	Config Config
	// Bus is what events travel on. It must have streams, whose store keeps the registry. Required.
	Bus *bus.Bus
	// Consumers handle what is said to devices. Required.
	Consumers *consumer.Set
	// LastHeard returns when something was last received from a device that is connected. It must not block. Default: nobody knows more than when devices
	// connected and disconnected.
	LastHeard func(id string) (time.Time, bool)
	// Logger is told of devices that cannot be kept. Default: nobody is.
	Logger *slog.Logger
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	var err error
	if o.Config, err = o.Config.withDefaults(); err != nil {
		return o, err
	}
	if o.Bus == nil || o.Bus.Streams() == nil || o.Consumers == nil {
		return o, errors.New("devices need a bus with a store, and consumers")
	}
	if o.LastHeard == nil {
		o.LastHeard = func(string) (time.Time, bool) { return time.Time{}, false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o, nil
}
