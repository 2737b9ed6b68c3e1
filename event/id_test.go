package event

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestIDLayout(t *testing.T) {
	at := time.Date(2026, 11, 23, 2, 6, 30, 123456789, time.UTC)
	ones := Generator{Clock: func() time.Time { return at }, Rand: func() uint64 { return ^uint64(0) }}
	id := ones.New()
	if id[6]>>4 != 7 || id[8]>>6 != 2 {
		t.Errorf("%v is not version 7, variant 2", id)
	}
	if !id.Time().Equal(at.Truncate(time.Millisecond)) {
		t.Errorf("Time = %v, want %v", id.Time(), at)
	}
	zeros := Generator{Clock: ones.Clock, Rand: func() uint64 { return 0 }}
	if got, want := zeros.New().String(), "019aaed7-1a3b-7000-8000-000000000000"; got[14:] != want[14:] {
		t.Errorf("no random bits: %s, want the end of %s", got, want)
	}
	if got := zeros.New().String(); got[14:] != "7000-8040-000000000000" {
		t.Errorf("the second of a millisecond: %s, want the counter at 1", got)
	}
	if got := ones.New().String(); got[14:] != "7800-803f-ffffffffffff" {
		t.Errorf("counter after the top of its lower half: %s", got)
	}
}

func TestIDText(t *testing.T) {
	id := new(Generator).New()
	for _, text := range []string{id.String(), string(must(id.MarshalText()))} {
		parsed, err := ParseID(text)
		if err != nil || parsed != id {
			t.Errorf("ParseID(%q) = %v, %v", text, parsed, err)
		}
	}
	var upper ID
	if err := upper.UnmarshalText([]byte("01932C07-3F2E-7C1A-9D5B-0E6F8A2B4C6D")); err != nil || upper.IsZero() {
		t.Errorf("upper case: %v", err)
	}
	for _, text := range []string{
		"", "x", "01932c073f2e7c1a9d5b0e6f8a2b4c6d", "01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6", "01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6dd",
		"01932c07-3f2e-4c1a-9d5b-0e6f8a2b4c6d", "01932c07-3f2e-7c1a-1d5b-0e6f8a2b4c6d", "01932c07_3f2e-7c1a-9d5b-0e6f8a2b4c6d",
		"0193-c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d", "g1932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d", ID{}.String(),
	} {
		before := upper
		if err := upper.UnmarshalText([]byte(text)); err == nil || upper != before {
			t.Errorf("ParseID(%q) = %v, %v, want an error and no change", text, upper, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestIDsIncreaseWhenTheClockDoesNot(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	g := Generator{Clock: func() time.Time { return now }}
	last := g.New()
	for i := range 3 << counterBits / 2 { // past the end of the counter, into the next millisecond
		if i == 1000 {
			now = now.Add(-time.Hour)
		}
		id := g.New()
		if id.Compare(last) <= 0 {
			t.Fatalf("ID %d: %v after %v", i, id, last)
		}
		last = id
	}
	if ahead := last.Time().Sub(time.UnixMilli(1_000_000)); ahead <= 0 || ahead > 2*time.Millisecond {
		t.Errorf("the time in the ID is %v ahead, want 1 or 2 ms", ahead)
	}
	now = time.UnixMilli(2_000_000)
	if id := g.New(); !id.Time().Equal(now) {
		t.Errorf("when the clock has caught up: %v, want %v", id.Time(), now)
	}
}

func TestIDsSortAsTextAndBytes(t *testing.T) {
	now := time.UnixMilli(1)
	g := Generator{Clock: func() time.Time { return now }}
	var ids []ID
	for i := range 1000 {
		now = now.Add(time.Duration(i) * time.Millisecond)
		ids = append(ids, g.New(), g.New())
	}
	if !slices.IsSortedFunc(ids, ID.Compare) || !slices.IsSortedFunc(ids, func(a, b ID) int {
		return slices.Compare([]byte(a.String()), []byte(b.String()))
	}) {
		t.Error("the order of making is not the order of bytes and of text")
	}
}

func TestGeneratorConcurrent(t *testing.T) {
	const goroutines, each = 8, 20_000
	var g Generator
	all := make([][]ID, goroutines)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			for range each {
				all[i] = append(all[i], g.New())
			}
		})
	}
	wg.Wait()
	seen := make(map[ID]bool, goroutines*each)
	for _, ids := range all {
		if !slices.IsSortedFunc(ids, ID.Compare) {
			t.Error("one goroutine's IDs do not increase")
		}
		for _, id := range ids {
			seen[id] = true
		}
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d distinct IDs, want %d", len(seen), goroutines*each)
	}
}

func TestIDAllocations(t *testing.T) {
	var g Generator
	if n := testing.AllocsPerRun(100, func() { _ = g.New() }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParseID(text); err == nil {
			if again, err := ParseID(id.String()); err != nil || again != id {
				t.Errorf("%q is read as %v and that as %v (%v)", text, id, again, err)
			}
		}
	})
}

func BenchmarkGenerator(b *testing.B) {
	var g Generator
	b.ReportAllocs()
	for b.Loop() {
		_ = g.New()
	}
}
