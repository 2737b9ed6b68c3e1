package pebblestore

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A pebbleLogger passes on what Pebble says. Pebble ends the process through it when it cannot write; ours instead ends all writing, which makes it
// safe for Pebble to go on: nothing that it still does reaches the disk (see guardFS).
type pebbleLogger struct{ s *Store }

// Infof implements pebble.Logger.
func (l pebbleLogger) Infof(format string, args ...any) {
	if logger := l.s.options.Logger; logger.Enabled(context.Background(), -8) {
		logger.Debug("Pebble says something", "text", fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	if !l.s.hasFailed() {
		l.s.options.Logger.Warn("Pebble reports an error", "error", fmt.Sprintf(format, args...))
	}
}

// Fatalf implements pebble.Logger.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
}

// listener is told of what Pebble does in the background.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if s.hasFailed() {
				return
			}
			s.stats.backgroundErrors.Add(1)
			now, last := time.Now().UnixNano(), s.stats.warned.Load()
			if (last == 0 || now-last > int64(warnEvery)) && s.stats.warned.CompareAndSwap(last, now) {
				s.options.Logger.Warn("the store could not rearrange its files and tries again", "directory", s.dir, "error", err)
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.stats.corruptions.Add(1)
			s.options.Logger.Error("a file of the store is damaged", "file", info.Path, "error", info.Details)
		},
	}
}
