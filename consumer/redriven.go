package consumer

import (
	"context"
	"fmt"
	"strings"

	"github.com/spate-io/spate/store"
)

// What is redriven and not handled yet waits in one partition for all consumers.
var redrivePartition = store.Partition{Stream: RedriveStream}

// MaxRedriven is how many redriven letters are looked at to count those of a consumer, see [Info].
const MaxRedriven = 10_000

// eachRedriven shows the redriven letters that wait, of whatever consumer, at most so many (0 is all), until use returns an error.
func (s *Set) eachRedriven(ctx context.Context, most uint64, use func(store.Record, string) error) error {
	at := store.Position{Partition: redrivePartition}
	for seen := uint64(0); most == 0 || seen < most; {
		records, err := s.store().Read(ctx, at, store.ReadOptions{})
		if err != nil {
			return fmt.Errorf("reading the dead letters that are to be handled again: %w", err)
		}
		if len(records) == 0 {
			return nil
		}
		for _, r := range records {
			at.Offset = r.Offset + 1
			if err := use(r, strings.TrimPrefix(r.Event.Subject, redriveSubject(""))); err != nil {
				return err
			}
			seen++
		}
	}
	return nil
}

// redriven counts the letters that wait, by consumer.
func (s *Set) redriven(ctx context.Context) (map[string]int, error) {
	b, err := s.store().Bounds(ctx, redrivePartition)
	if err != nil || b.Count == 0 {
		return nil, err
	}
	counts := map[string]int{}
	return counts, s.eachRedriven(ctx, MaxRedriven, func(_ store.Record, name string) error {
		counts[name]++
		return nil
	})
}

// removeRedriven removes the letters that wait for a consumer that is removed: they were for what it was.
func (s *Set) removeRedriven(ctx context.Context, name string) error {
	s.letters.Lock()
	defer s.letters.Unlock()
	return s.eachRedriven(ctx, 0, func(r store.Record, of string) error {
		if of != name {
			return nil
		}
		return store.Commit(ctx, s.store(), &store.Batch{Removes: []store.Position{{Partition: redrivePartition, Offset: r.Offset}}})
	})
}

// mayRedrive tells whether there is a consumer that a letter can be given to.
func (s *Set) mayRedrive(ctx context.Context, name string) error {
	s.mu.Lock()
	here := s.all[name] != nil
	s.mu.Unlock()
	if here {
		return nil
	}
	_, err := s.known(ctx, name)
	return err
}
