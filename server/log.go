package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// newLogger returns a logger that writes to out: text for people or JSON for machines.
func newLogger(out io.Writer, text bool, level *slog.LevelVar) *slog.Logger {
	if !text {
		return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration}))
	}
	h := &textHandler{shared: &textOut{to: out}, level: level}
	h.inner = slog.NewTextHandler(&h.shared.line, &slog.HandlerOptions{Level: level, ReplaceAttr: dropBuiltins})
	return slog.New(h)
}

// A textHandler writes lines for people: the time of day, the level and the
// message as they are, and the attributes as slog's text handler writes them.
type textHandler struct {
	shared *textOut
	level  slog.Leveler
	inner  slog.Handler // writes the attributes to shared.line
}

// textOut is shared by a handler and those made from it with attributes.
type textOut struct {
	mu   sync.Mutex
	to   io.Writer
	line bytes.Buffer
}

// Enabled reports whether the level is logged.
func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle writes one line with one call of Write.
func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	s := h.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line.Reset()
	s.line.WriteString(r.Time.Format(time.TimeOnly + " "))
	level := r.Level.String()
	s.line.WriteString((level + "      ")[:max(6, len(level)+1)])
	s.line.WriteString(r.Message)
	s.line.WriteByte(' ')
	if err := h.inner.Handle(ctx, r); err != nil {
		return err
	}
	line := bytes.TrimRight(s.line.Bytes(), " \n")
	_, err := s.to.Write(append(line, '\n'))
	return err
}

// WithAttrs returns a handler that adds the attributes to each line.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &textHandler{shared: h.shared, level: h.level, inner: h.inner.WithAttrs(attrs)}
}

// WithGroup returns a handler that puts attributes into a group.
func (h *textHandler) WithGroup(name string) slog.Handler {
	return &textHandler{shared: h.shared, level: h.level, inner: h.inner.WithGroup(name)}
}

// readableDuration writes a duration as 1.5s and not as a number of nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// dropBuiltins leaves out what Handle has written already.
func dropBuiltins(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}
