package httpapi

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/spate-io/spate/engine"
)

// report logs the end of the connection. Ordinary ends are told at debug level.
// The others are a client's doing as a rule, so their lines have a limit, and
// those beyond it are counted.
func (c *conn) report(why engine.Reason, cause error) {
	level := slog.LevelInfo
	switch why {
	case engine.ReasonPeer, engine.ReasonReset, engine.ReasonQuit, engine.ReasonIdleTimeout, engine.ReasonShutdown:
		level = slog.LevelDebug
	}
	log := c.lst.door.opts.Logger
	if !log.Enabled(context.Background(), level) {
		return
	}
	if level == slog.LevelInfo && !c.lst.door.closings.allow() {
		return
	}
	attrs := []slog.Attr{
		slog.String("reason", why.String()), slog.Uint64("conn", c.id), slog.String("listener", c.lst.name),
		slog.String("remote", c.remoteString()), slog.Duration("age", time.Since(c.opened).Round(time.Millisecond)),
		slog.Uint64("bytes_in", c.in.Load()), slog.Uint64("bytes_out", c.out.Load()),
	}
	if cause != nil {
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	log.LogAttrs(context.Background(), level, "connection closed", attrs...)
}

// closings bounds the lines about connections as the engine does, and says how
// many were left out: a second after the first of them, and at the end.
type closings struct {
	log   *slog.Logger
	limit engine.LineLimit

	mu      sync.Mutex
	timer   *time.Timer // of the next line about what was left out, or nil
	stopped bool

	saying sync.Mutex // such a line is being written, by a timer for which stop waits
}

// allow tells whether a line may be written.
func (l *closings) allow() bool {
	if l.limit.Allow(time.Now()) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil && !l.stopped {
		l.timer = time.AfterFunc(leftOutAfter, l.say)
	}
	return false
}

// say writes how many closings had no line, if there are any.
func (l *closings) say() {
	l.saying.Lock()
	defer l.saying.Unlock()
	l.mu.Lock()
	l.timer = nil
	l.mu.Unlock()
	if n := l.limit.Take(); n > 0 {
		l.log.Info("connections closed without a line of their own: too many at a time", "count", n)
	}
}

// stop says what is left to say. Nothing is written later.
func (l *closings) stop() {
	l.mu.Lock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.say()
}
