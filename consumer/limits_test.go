package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/task"
)

// logged is a log that several write.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Of an error of megabytes, the beginning and the size are kept and logged, whatever the handler does with it; it is still that error.
func TestErrorsAreCut(t *testing.T) {
	huge := errors.New(strings.Repeat("ä", 10<<20))
	for name, fail := range map[string]func() error{
		"an error":    func() error { return huge },
		"dead":        func() error { return consumer.Dead(huge) },
		"a panic":     func() error { panic(huge) },
		"of a string": func() error { panic(huge.Error()) },
	} {
		var log logged
		n := newNode(t, memstore.New(memstore.Options{}), func(o *consumer.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		n.handle(consumer.Config{Retry: task.Backoff{Attempts: 2, Initial: time.Millisecond}}, func(context.Context, *consumer.Delivery) error { return fail() })
		n.publish("k", "x")
		n.run()
		n.caughtUp("c")
		n.stop()
		letters, err := n.set.Dead(t.Context(), "", "", 10)
		if err != nil || len(letters) != 1 {
			t.Fatalf("%s: %d letters, %v", name, len(letters), err)
		}
		if reason := letters[0].Reason; len(reason) > consumer.MaxErrorText+100 || !strings.Contains(reason, "… (") || !strings.Contains(reason, "209715") {
			t.Errorf("%s: the reason has %d bytes and ends with %q", name, len(reason), reason[max(0, len(reason)-30):])
		}
		if size := len(log.String()); size > 200<<10 {
			t.Errorf("%s: %d bytes were logged", name, size)
		}
	}
	if cut := consumer.CutError(huge); !errors.Is(cut, huge) || consumer.CutError(nil) != nil {
		t.Errorf("what was cut is another error")
	}
}

// Handlers decide how often they fail, so the lines about it are few, and the others are counted.
func TestFailuresDoNotFloodTheLog(t *testing.T) {
	const events = 400
	var log logged
	n := newNode(t, memstore.New(memstore.Options{}), func(o *consumer.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	start := time.Now()
	n.handle(consumer.Config{}, func(_ context.Context, d *consumer.Delivery) error {
		if d.Attempt == 1 {
			return consumer.RetryAfter(time.Millisecond)
		}
		return consumer.Dead(errors.New("never"))
	})
	n.publish("k", numbers(events)...)
	n.run()
	n.caughtUp("c")
	n.stop()
	text := log.String()
	told, counted := strings.Count(text, "it is called again")+strings.Count(text, "became a dead letter"), 0
	for line := range strings.Lines(text) {
		if _, count, found := strings.Cut(line, "too many at a time\" consumer=c count="); found {
			var k int
			if _, err := fmt.Sscan(count, &k); err != nil {
				t.Fatal(err)
			}
			counted += k
		}
	}
	if most := 101 + int(time.Since(start)/(100*time.Millisecond)); told < 100 || told > most || told+counted != 2*events {
		t.Errorf("%d lines, want 100 to %d, and %d counted, of %d", told, most, counted, 2*events)
	}
}
