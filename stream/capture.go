package stream

import (
	"fmt"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Captures tells whether a stream captures a subject. It does not allocate.
func (l *Log) Captures(subject string) (some, all bool) {
	l.capture.Match(subject, func(s *Stream) bool {
		some, all = true, s.tap == nil
		return !all
	})
	return some, all
}

// Capturing returns the streams that capture a subject, each once.
func (l *Log) Capturing(subject string) []*Stream { return l.appendCapturing(nil, subject) }

func (l *Log) appendCapturing(all []*Stream, subject string) []*Stream {
	l.capture.Match(subject, func(s *Stream) bool {
		for _, other := range all {
			if other == s { // by another filter
				return true
			}
		}
		all = append(all, s)
		return true
	})
	return all
}

// Capture calls fn, which may call [Log.Add] and must submit the batch before it returns. A stream that is removed meanwhile is removed after that.
func (l *Log) Capture(fn func()) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	fn()
}

// Own says which subjects are the server's own. What it tells there must not depend on the streams of others: an event that such a stream is too small for is left out of
// it, and counted. It is to be called before the log is used by several goroutines.
func (l *Log) Own(subject func(string) bool) { l.own = subject }

// Add puts an event into a batch, once for each stream that captures it, and returns how many did and the strongest durability that
// they ask for. The batch's own durability is left alone.
func (l *Log) Add(b *store.Batch, e *event.Event) (captured int, d store.Durability, err error) {
	d = store.None
	var few [4]*Stream // one is usual
	streams := l.appendCapturing(few[:0], e.Subject)
	for _, s := range streams {
		if !s.takes(e) {
			continue
		}
		if err := s.tooLarge(e); err != nil && l.spares(s, e) {
			l.leftOut(s, err)
			continue
		} else if err != nil {
			return 0, d, err
		}
		captured++
		b.Appends = append(b.Appends, s.append(e))
		d = min(d, s.durability)
	}
	return captured, d, nil
}

// spares tells whether an event that a stream is too small for is left out of it, and does not fail.
func (l *Log) spares(s *Stream, e *event.Event) bool {
	return l.own != nil && !reserved(s.config.Name) && l.own(e.Subject)
}

// leftOut counts an event of the server that a stream is too small for.
func (l *Log) leftOut(s *Stream, err error) {
	s.left.Add(1)
	if l.lines.Allow(time.Now()) {
		l.opts.Logger.Warn("an event of the server is left out of a stream: raise its max_event_bytes", "stream", s.config.Name, "error", err, "others", l.lines.Take())
	}
}

// LeftOut returns how many events of the server's own the stream was too small for since the start.
func (s *Stream) LeftOut() uint64 { return s.left.Load() }

func (s *Stream) append(e *event.Event) store.Append {
	return store.Append{Partition: s.Partition(e), Event: e, Dedupe: s.dedupe()}
}

// Check reports why a stream that captures the subject of an event does not take it, or nil. [Log.Add] fails for the same reason, and with it all that is in the batch.
func (l *Log) Check(e *event.Event) (err error) {
	l.capture.Match(e.Subject, func(s *Stream) bool {
		if err = s.tooLarge(e); err != nil && l.spares(s, e) {
			err = nil
		}
		return err == nil
	})
	return err
}

func (s *Stream) tooLarge(e *event.Event) error {
	if most := s.config.MaxEventBytes; most > 0 && len(e.Data) > most {
		return fmt.Errorf("event on subject %q has %d bytes of data, stream %q takes at most %d: %w",
			e.Subject, len(e.Data), s.config.Name, most, event.ErrTooLong)
	}
	return nil
}
