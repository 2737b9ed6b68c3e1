package engine

import (
	"log/slog"
	"sync"
	"time"
)

// report logs the end of the connection. Ordinary ends are told at debug level.
// The others are a peer's doing as a rule, so their lines have a limit, and
// those beyond it are counted.
func (c *Conn) report(why *CloseError) {
	level := slog.LevelInfo
	if c.reason.routine() {
		level = slog.LevelDebug
	}
	if !c.eng.log.Enabled(c.eng.ctx, level) {
		return
	}
	if level == slog.LevelInfo && !c.eng.closings.Allow(time.Now()) {
		return
	}
	args := []any{
		"reason", c.reason.String(), "conn", c.id, "listener", c.lst.name, "remote", c.RemoteString(),
		"age", time.Duration(c.eng.clock.ticks()-c.openedAt) * wheelTick,
		"bytes_in", c.bytesIn.Load(), "bytes_out", c.bytesOut.Load(),
	}
	if why.Err != nil {
		args = append(args, "error", why.Err.Error())
	}
	c.eng.log.Log(c.eng.ctx, level, "connection closed", args...)
}

// reportLeftOut says once a second how many closings had no line; Shutdown says
// it a last time. It is not the work of keepTime, since a log that blocks must
// not hold up the deadlines.
func (e *Engine) reportLeftOut() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			e.sayLeftOut()
		case <-e.stopTime:
			return
		}
	}
}

func (e *Engine) sayLeftOut() {
	if n := e.closings.Take(); n > 0 {
		e.log.Info("connections closed without a line of their own: too many at a time", "count", n)
	}
}

// A LineLimit is a token bucket for lines of the log whose number others decide, such as those about connections that ended:
// 100 at once, and another each 100 ms. The zero value is full. Its methods may be
// called from any goroutine.
type LineLimit struct {
	mu      sync.Mutex
	full    time.Time // when the bucket is full again
	leftOut uint64    // lines that were not allowed since Take was called
}

// Allow tells whether a line may be written, and counts it otherwise.
func (l *LineLimit) Allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full.Before(now) {
		l.full = now
	}
	if l.full.Sub(now) > (closeBurst-1)*closeEvery {
		l.leftOut++
		return false
	}
	l.full = l.full.Add(closeEvery)
	return true
}

// Take returns how many lines were not allowed, and forgets them.
func (l *LineLimit) Take() (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, l.leftOut = l.leftOut, 0
	return n
}
