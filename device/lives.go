package device

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// livesKey has the lives of the processes that have had these devices, the oldest first: what is asked of them is when the first one began after another. One commit
// at a start has it for all devices, where a time that each of them has would be as many commits as there were connections to cut.
const livesKey = "$devices/lives"

// noteLife keeps that this process has begun, unless there was nobody whom the one before it can have cut off.
func (s *Service) noteLife(ctx context.Context) error {
	if len(s.lives) > 0 || s.count.Load() == 0 {
		return nil
	}
	v, err := s.store.Get(ctx, livesKey)
	if err != nil {
		return fmt.Errorf("reading when the server was started: %w", err)
	}
	var lives []event.ID
	if json.Unmarshal(v.Data, &lives) != nil {
		lives = nil // then it is this start that counts, as it is if there was none
	}
	lives = slices.DeleteFunc(lives, func(l event.ID) bool { return l.Compare(s.life) >= 0 }) // the clock was set back
	lives = thin(append(lives, s.life), s.started)
	data, err := json.Marshal(lives)
	if err != nil {
		return err
	}
	err = s.commit(&store.Batch{
		Requires: []store.Require{{Key: livesKey, Revision: v.Revision}},
		Puts:     []store.Put{{Key: livesKey, Data: data}},
	})
	if err != nil {
		return fmt.Errorf("storing when the server was started: %w", err)
	}
	s.lives = lives
	return nil
}

// thin removes lives so that few are left of a server that starts again and again. The one that is found for another began later than the one that was removed, by
// less than a part of the time since.
func thin(lives []event.ID, now time.Time) []event.ID {
	for n := 1; n < len(lives)-1; {
		if next := lives[n+1].Time(); next.Sub(lives[n-1].Time()) < now.Sub(next)/livesPart {
			lives = slices.Delete(lives, n, n+1)
		} else {
			n++
		}
	}
	return lives[max(0, len(lives)-maxLives):]
}

// begunAfter returns when the first process began after the one with a life.
func (s *Service) begunAfter(life event.ID) time.Time {
	for _, l := range s.lives {
		if l.Compare(life) > 0 {
			return l.Time().UTC()
		}
	}
	return s.started
}
