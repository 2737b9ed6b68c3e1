package event

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// filterSets are a million filters each, in the shapes that users have.
var filterSets = []struct {
	name    string
	filter  func(i int) string
	subject func(i int) string
}{
	{"literal", func(i int) string { return fmt.Sprintf("device/%d/state", i) }, func(i int) string { return fmt.Sprintf("device/%d/state", i) }},
	{"miss", func(i int) string { return fmt.Sprintf("device/%d/state", i) }, func(i int) string { return fmt.Sprintf("device/x%d/state", i) }},
	{"flat", func(i int) string { return fmt.Sprintf("channel-%d", i) }, func(i int) string { return fmt.Sprintf("channel-%d", i) }},
	{"mixed", mixedFilter, func(i int) string { return fmt.Sprintf("site%d/line%d/dev%d/temp", i%100, i%1000, i/4) }},
	{"family", func(i int) string { return fmt.Sprintf("device/%d/metric%d", i/5, i%5) }, func(i int) string { return fmt.Sprintf("device/%d/metric%d", i/5, i%5) }},
}

// mixedFilter makes four shapes, so that a subject has to follow several wildcards into the many.
func mixedFilter(i int) string {
	switch i % 4 {
	case 0:
		return fmt.Sprintf("site%d/line%d/dev%d/temp", i%100, i%1000, i/4)
	case 1:
		return fmt.Sprintf("site%d/+/dev%d/#", i%100, i/4)
	case 2:
		return fmt.Sprintf("+/line%d/dev%d/+", i%1000, i/4)
	}
	return fmt.Sprintf("+/+/dev%d/temp", i/4)
}

// BenchmarkMatchMillion reads subjects at random, so that most of what it touches is in no cache. Beside the
// mean it reports the best batch, which is the figure of the code when others use the machine.
func BenchmarkMatchMillion(b *testing.B) {
	const filters, subjects, batch = 1_000_000, 1 << 16, 1 << 10
	for _, set := range filterSets {
		b.Run(set.name, func(b *testing.B) {
			before := heap()
			trie := new(Trie[*int])
			v := new(int)
			for i := range filters {
				trie.Add(mustFilter(b, set.filter(i)), v)
			}
			perFilter := float64(heap()-before) / filters
			texts := make([][]byte, subjects)
			for i := range texts {
				texts[i] = []byte(set.subject(i * 104_729 % filters))
			}
			matched, best := 0, time.Hour
			b.ReportAllocs()
			b.ResetTimer()
			for from := 0; from < b.N; from += batch {
				begin := time.Now()
				for i := from; i < from+batch; i++ {
					trie.MatchBytes(texts[i%subjects], func(*int) bool { matched++; return true })
				}
				best = min(best, time.Since(begin))
			}
			b.ReportMetric(float64(best.Nanoseconds())/batch, "best-ns/op")
			b.ReportMetric(perFilter, "B/filter")
			runtime.KeepAlive(trie)
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkMatchFanOut(b *testing.B) {
	for _, fan := range []int{1, 10, 1000, 100_000} {
		b.Run(fmt.Sprint(fan), func(b *testing.B) {
			var trie Trie[*int]
			for range fan {
				trie.Add(mustFilter(b, "news/today"), new(int))
			}
			subject, n := []byte("news/today"), 0
			b.ReportAllocs()
			for b.Loop() {
				trie.MatchBytes(subject, func(*int) bool { n++; return true })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(fan), "ns/value")
		})
	}
}

func BenchmarkMatchParallel(b *testing.B) {
	var trie Trie[*int]
	for i := range 10_000 {
		trie.Add(mustFilter(b, fmt.Sprintf("device/%d/+", i)), new(int))
	}
	b.RunParallel(func(pb *testing.PB) {
		subject, n := []byte("device/77/state"), 0
		for pb.Next() {
			trie.MatchBytes(subject, func(*int) bool { n++; return true })
		}
	})
}

func BenchmarkAddRemove(b *testing.B) {
	for _, base := range []int{0, 1000, 1_000_000} {
		b.Run(fmt.Sprintf("filters=%d", base), func(b *testing.B) {
			var trie Trie[int]
			for i := range base {
				trie.Add(mustFilter(b, fmt.Sprintf("device/%d", i)), 1)
			}
			f := mustFilter(b, "device/new")
			b.ReportAllocs()
			for b.Loop() {
				trie.Add(f, 1)
				trie.Remove(f, 1)
			}
		})
	}
	b.Run("values=100000", func(b *testing.B) {
		var trie Trie[*int]
		f := mustFilter(b, "news")
		for range 100_000 {
			trie.Add(f, new(int))
		}
		v := new(int)
		b.ReportAllocs()
		for b.Loop() {
			trie.Add(f, v)
			trie.Remove(f, v)
		}
	})
}

// TestTrieGivesMemoryBack removes all but one of many filters, and then all but one of many values.
func TestTrieGivesMemoryBack(t *testing.T) {
	const n = 100_000
	filters := make([]Filter, n)
	for i := range filters {
		filters[i] = mustFilter(t, fmt.Sprintf("device/%d/+/state", i))
	}
	many := mustFilter(t, "news/#")
	trie := new(Trie[int])
	before := heap()
	for i, f := range filters {
		trie.Add(f, i)
		trie.Add(many, i)
	}
	full := heap() - before
	for i, f := range filters[1:] {
		trie.Remove(f, i+1)
		trie.Remove(many, i+1)
	}
	after := heap()
	if left := int64(after) - int64(before); left > 100_000 {
		t.Errorf("%d bytes are left of %d", left, full)
	}
	t.Logf("%d bytes per filter of four levels and one more value", full/n)
	runtime.KeepAlive(trie)
	runtime.KeepAlive(filters)
}
