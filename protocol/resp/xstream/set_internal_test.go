package xstream

import (
	"fmt"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

func small(t testing.TB, keys int) *Set {
	t.Helper()
	m := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = m.Close() })
	log, err := stream.Open(t.Context(), m, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Bus: bus.New(bus.Options{Log: log}), Limits: Limits{Keys: keys}})
}

// TestEvict forgets the key that was used longest ago, of those that nobody uses.
func TestEvict(t *testing.T) {
	s := small(t, 3)
	a, b, c := s.acquire([]byte("a")), s.acquire([]byte("b")), s.acquire([]byte("c"))
	has := func(want string) {
		t.Helper()
		got := ""
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if s.keys[name] != nil {
				got += name
			}
		}
		if got != want {
			t.Errorf("%s are in memory, want %s", got, want)
		}
	}
	d := s.acquire([]byte("d"))
	has("abcd") // all are used
	b.release()
	a.release()
	c.release()
	d.release()
	s.acquire([]byte("b")).release()
	has("abcd")
	s.acquire([]byte("e")).release() // makes room for itself, and for the one that was too many
	has("bde")
	d.retain()
	for i := range 10 {
		s.acquire(fmt.Appendf(nil, "%d", i)).release()
	}
	has("d")
	if s.idle.Len() != 2 || len(s.keys) != 3 {
		t.Errorf("%d idle, %d in all", s.idle.Len(), len(s.keys))
	}
}

// BenchmarkEvict makes room for one key with each that comes: it must cost the same however many there are.
func BenchmarkEvict(b *testing.B) {
	for _, keys := range []int{100, 100_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			s := small(b, keys)
			in := make([]*key, 0, keys)
			for i := range keys - 1 { // used, but for one: what would be looked at in vain
				in = append(in, s.acquire(fmt.Appendf(nil, "used%d", i)))
			}
			for i := 0; b.Loop(); i++ {
				s.acquire(fmt.Appendf(nil, "%d", i)).release()
			}
			for _, k := range in {
				k.release()
			}
		})
	}
}
