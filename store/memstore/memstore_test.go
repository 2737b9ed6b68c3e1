package memstore

import (
	"bytes"
	"encoding/gob"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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
	commit(t, s, &store.Batch{Puts: []store.Put{{Key: "k", Data: []byte("v")}}}, store.ErrFull)
	commit(t, s, &store.Batch{Puts: []store.Put{{Key: "k", Data: make([]byte, 5000)}}, Drops: []string{"other"}}, store.ErrFull)
	commit(t, s, &store.Batch{Puts: []store.Put{{Key: "k", Data: []byte("v")}}, Drops: []string{"other"}}, nil)
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

// TestRefuse has a hook refuse batches by what is in them.
func TestRefuse(t *testing.T) {
	mine := errors.New("mine")
	s := opened(t, Options{BeforeCommit: func(b *store.Batch) error {
		if string(b.Appends[0].Event.Data) == "b" {
			return mine
		}
		return nil
	}})
	commit(t, s, appending("a"), nil)
	commit(t, s, appending("b"), mine)
	commit(t, s, appending("c"), nil)
	holds(t, s, "a", "c")
}

// TestFormat restores what no memstore wrote.
func TestFormat(t *testing.T) {
	var other bytes.Buffer
	if err := gob.NewEncoder(&other).Encode("spate memstore 999"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*bytes.Buffer{&other, bytes.NewBufferString("something else")} {
		if _, err := Restore(r, Options{}); !errors.Is(err, store.ErrFormat) {
			t.Errorf("restoring an unknown format: %v", err)
		}
	}
}

// TestCorrupt keeps a record corrupt over a reopening, and knows where there is none.
func TestCorrupt(t *testing.T) {
	s := opened(t, Options{})
	commit(t, s, appending("a"), nil)
	if !s.Corrupt(store.Position{Partition: hall}) || s.Corrupt(store.Position{Partition: hall, Offset: 1}) {
		t.Error("Corrupt does not say where there is a record")
	}
	next := s.Reopen()
	defer next.Close()
	var corrupt *store.CorruptError
	if _, err := next.Read(t.Context(), store.Position{Partition: hall}, store.ReadOptions{}); !errors.As(err, &corrupt) {
		t.Errorf("reading a corrupt record: %v", err)
	}
}

// TestFakeClock runs a store in a bubble, whose time it takes by default.
func TestFakeClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		defer s.Close()
		start := time.Now()
		time.Sleep(time.Hour)
		b := appending("a")
		commit(t, s, b, nil)
		if got := b.Appends[0].Appended.Sub(start); got != time.Hour {
			t.Errorf("the record was taken after %v", got)
		}
	})
}
