package memstore

import (
	"errors"
	"slices"
	"testing"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var hall = store.Partition{Stream: "hall", Number: 1}

func appending(text string) *store.Batch {
	return &store.Batch{Appends: []store.Append{{Partition: hall, Event: &event.Event{Subject: "hall", Data: []byte(text)}}}}
}

func opened(t *testing.T, options Options) *Store {
	t.Helper()
	s := New(options)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func commit(t *testing.T, s *Store, b *store.Batch, want error) {
	t.Helper()
	if err := store.Commit(t.Context(), s, b); !errors.Is(err, want) {
		t.Fatalf("commit: %v, want %v", err, want)
	}
}

func holds(t *testing.T, s *Store, want ...string) {
	t.Helper()
	records, err := s.Read(t.Context(), store.Position{Partition: hall}, store.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, string(r.Event.Data))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the store holds %q, want %q", got, want)
	}
}

// TestCrash ends the store before and after a commit, from the hooks.
func TestCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		var s, next *Store
		crash := func(b *store.Batch) {
			if string(b.Appends[0].Event.Data) == "b" {
				next = s.Reopen()
			}
		}
		options := Options{AfterCommit: crash}
		want := []string{"a", "b"}
		if !after {
			options = Options{BeforeCommit: func(b *store.Batch) error { crash(b); return nil }}
			want = []string{"a"}
		}
		s = opened(t, options)
		commit(t, s, appending("a"), nil)
		done := make(chan error, 2)
		s.Submit(appending("b"), func(err error) { done <- err })
		s.Submit(appending("c"), func(err error) { done <- err })
		for range 2 {
			if err := <-done; !errors.Is(err, store.ErrClosed) {
				t.Errorf("a batch in a crash: %v", err)
			}
		}
		t.Cleanup(func() { _ = next.Close() })
		holds(t, next, want...)
		commit(t, next, appending("d"), nil)
		holds(t, next, append(want, "d")...)
	}
}

// TestFaults makes each fault once and ends it.
func TestFaults(t *testing.T) {
	s := opened(t, Options{})
	mine := errors.New("mine")
	s.FailNext(2, mine)
	commit(t, s, appending("a"), mine)
	commit(t, s, appending("b"), mine)
	commit(t, s, appending("c"), nil)
	if err := s.Health(); err != nil {
		t.Errorf("health after single faults: %v", err)
	}

	s.SetFull(true)
	commit(t, s, appending("d"), store.ErrFull)
	if err := s.Health(); !errors.Is(err, store.ErrFull) {
		t.Errorf("health of a full store: %v", err)
	}
	holds(t, s, "c")
	s.SetFull(false)
	commit(t, s, appending("e"), nil)

	s.Fail(mine)
	commit(t, s, appending("f"), store.ErrFailed)
	commit(t, s, appending("g"), mine)
	if err := s.Health(); !errors.Is(err, store.ErrFailed) || !errors.Is(err, mine) {
		t.Errorf("health of a failed store: %v", err)
	}
	holds(t, s, "c", "e")
	next := s.Reopen()
	defer next.Close()
	commit(t, next, appending("h"), nil)
	holds(t, next, "c", "e", "h")
}
