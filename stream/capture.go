package stream

import (
	"fmt"

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
		captured++
		if err := s.tooLarge(e); err != nil {
			return 0, d, err
		}
		b.Appends = append(b.Appends, s.append(e))
		d = min(d, s.durability)
	}
	return captured, d, nil
}

func (s *Stream) append(e *event.Event) store.Append {
	return store.Append{Partition: s.Partition(e), Event: e, Dedupe: s.dedupe()}
}

// Check reports why a stream that captures the subject of an event does not take it, or nil. [Log.Add] fails for the same reason, and with it all that is in the batch.
func (l *Log) Check(e *event.Event) (err error) {
	l.capture.Match(e.Subject, func(s *Stream) bool {
		err = s.tooLarge(e)
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
