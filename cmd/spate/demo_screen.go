package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/internal/fleet"
	"github.com/spate-io/spate/task"
)

const (
	// demoLines is how many lines about single devices are shown between two summaries.
	demoLines = 10
	// demoTimes is of how many fans the median is shown.
	demoTimes = 501
	// On a terminal there is one line of summary, and elsewhere one after the other.
	inPlaceEvery, byLineEvery = time.Second, 5 * time.Second
)

// A screen shows lines, and on a terminal a last one that changes.
type screen struct {
	out   io.Writer
	place bool // a terminal
	width int

	mu   sync.Mutex
	last string // the line that changes
	room int    // for lines until the next summary
	left int    // lines that there was no room for
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, room: demoLines}
	if f, ok := out.(*os.File); ok && isTerminal(out) {
		s.place, s.width = true, 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.width = w
		}
	}
	return s
}

// say shows a line, if not too many came before it.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == 0 {
		s.left++
		return
	}
	s.room--
	s.line(time.Now().Format(time.TimeOnly) + "  " + fmt.Sprintf(format, args...))
}

func (s *screen) line(text string) {
	if s.place {
		fmt.Fprintf(s.out, "\r\x1b[K%s\n%s", text, s.last)
		return
	}
	fmt.Fprintln(s.out, text)
}

// summary shows a summary, in place of the one before on a terminal.
func (s *screen) summary(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > 0 {
		s.line(fmt.Sprintf("          … and %d more", s.left))
	}
	s.room, s.left = demoLines, 0
	if !s.place {
		s.line(text)
		return
	}
	if runes := []rune(text); len(runes) >= s.width {
		text = string(runes[:max(0, s.width-1)])
	}
	s.last = text
	fmt.Fprintf(s.out, "\r\x1b[K%s", text)
}

// end leaves the last summary where it is.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.place {
		fmt.Fprintln(s.out)
		s.last = "" // or what else happens has it shown again
	}
}

// A watcher shows what happens in a demonstration.
type watcher struct {
	demo   *demo
	raised *bus.Reader[alert]
	moved  *bus.Reader[fan]
	begun  time.Time
	before fleet.Figures // at the last summary
	at     time.Time

	mu     sync.Mutex
	count  int             // alerts
	hot    map[string]bool // devices: at most as many as there are
	times  [demoTimes]float64
	orders int // fans turned on
}

// watch subscribes to what is to be shown.
func (d *demo) watch() (*watcher, error) {
	now := time.Now()
	w := &watcher{demo: d, begun: now, at: now, hot: map[string]bool{}}
	var err error
	if w.raised, err = bus.Subscribe(d.node.App(), alerts); err == nil {
		w.moved, err = bus.Subscribe(d.node.App(), fans)
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("subscribing to what is to be shown: %w", err)
	}
	return w, nil
}

func (w *watcher) close() {
	if w.raised != nil {
		w.raised.Close()
	}
	if w.moved != nil {
		w.moved.Close()
	}
}

// alerts shows alerts until ctx ends.
func (w *watcher) alerts(ctx context.Context) error {
	return each(ctx, w.raised, func(a alert) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if a.Hot {
			w.count++
			w.hot[a.Device] = true
			w.demo.screen.say("%s is too hot: %.1f °C", a.Device, a.Celsius)
			return
		}
		delete(w.hot, a.Device)
		w.demo.screen.say("%s has cooled to %.1f °C", a.Device, a.Celsius)
	})
}

// fans shows what fans do until ctx ends.
func (w *watcher) fans(ctx context.Context) error {
	return each(ctx, w.moved, func(f fan) {
		w.mu.Lock()
		defer w.mu.Unlock()
		what := "off"
		if f.On {
			what = "on"
			w.times[w.orders%demoTimes] = f.Seconds
			w.orders++
		}
		w.demo.screen.say("%s: fan %s, %v after the reading", f.Device, what, shortly(f.Seconds))
	})
}

// each calls fn for each event until ctx ends. What does not decode was published by somebody else.
func each[T any](ctx context.Context, r *bus.Reader[T], fn func(T)) error {
	for v, err := range r.All(ctx) {
		var other *bus.DecodeError
		switch {
		case err == nil:
			fn(v)
		case !errors.As(err, &other) && ctx.Err() == nil:
			return err
		}
	}
	return nil
}

// summarize shows a summary now and then, and a last one when ctx has ended.
func (w *watcher) summarize(ctx context.Context) {
	every := byLineEvery
	if w.demo.screen.place {
		every = inPlaceEvery
	}
	ticks := task.Interval{Every: every, After: every}
	for now := range ticks.Ticks(ctx) {
		if ctx.Err() == nil {
			w.demo.screen.summary(w.summary(now))
		}
	}
	w.before, w.at = fleet.Figures{}, w.begun // of the whole
	w.demo.screen.summary(w.summary(time.Now()))
	w.demo.screen.end()
}

// summary fits a terminal of 80 columns, almost always.
func (w *watcher) summary(now time.Time) string {
	f := w.demo.fleet.Figures()
	rate := 0.0
	if past := now.Sub(w.at).Seconds(); past > 0 {
		rate = float64(f.Readings-w.before.Readings) / past
	}
	w.before, w.at = f, now
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("%d/%d online, %.0f readings/s, %s (%d hot), %s", f.Online, f.Devices, rate, plural(w.count, "alert", "alerts"), len(w.hot),
		plural(int(f.Commands), "command", "commands"))
	if w.orders > 0 {
		some := slices.Sorted(slices.Values(w.times[:min(w.orders, demoTimes)]))
		text += fmt.Sprintf(", p50 %v", shortly(some[len(some)/2]))
	}
	return text + ", " + now.Sub(w.begun).Round(time.Second).String()
}

// shortly is a time with two or three digits.
func shortly(seconds float64) time.Duration {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
