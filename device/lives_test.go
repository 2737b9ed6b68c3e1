package device

import (
	"testing"
	"time"

	"github.com/spate-io/spate/event"
)

// However often and however long a server is started, few starts are known, and the one that is found for a life began soon after the next one.
func TestThin(t *testing.T) {
	for _, every := range []time.Duration{time.Second, time.Minute, 36 * time.Hour} {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		g := event.Generator{Clock: func() time.Time { return now }}
		var all []event.ID
		s := &Service{}
		for range 5000 {
			now = now.Add(every)
			all = append(all, g.New())
			s.lives = thin(append(s.lives, all[len(all)-1]), now)
		}
		if len(s.lives) > maxLives/2 {
			t.Errorf("every %v: %d are known", every, len(s.lives))
		}
		for n, life := range all[:len(all)-1] {
			next, got := all[n+1].Time(), s.begunAfter(life)
			if late := got.Sub(next); late < 0 || late > now.Sub(next)/livesPart {
				t.Fatalf("every %v, %v ago: %v late", every, now.Sub(next), late)
			}
		}
	}
}
