package event

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTrieReadersAndWriters checks the promises of the package comment while everything around the steady
// values moves: those are seen exactly once, a value that is gone before a match begins is not seen.
func TestTrieReadersAndWriters(t *testing.T) {
	const writers, readers, rounds, steady = 2, 2, 6, 200
	var trie Trie[int]
	for i := range steady {
		trie.Add(mustFilter(t, fmt.Sprintf("r/%d/x", i)), -1-i)
		trie.Add(mustFilter(t, "r/#"), -1-i)
	}
	var stop atomic.Bool
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() { churn(t, &trie, w+1, rounds, 2500) })
	}
	for r := range readers {
		reading.Go(func() {
			for i := r; !stop.Load(); i = (i + 1) % steady {
				checkSteady(t, &trie, i, steady)
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()
	if filters, values := trie.Len(); filters != steady+1 || values != 2*steady {
		t.Errorf("at the end: %d filters, %d values, want %d, %d", filters, values, steady+1, 2*steady)
	}
}

// churn adds many children and many values beside the steady ones, and removes them, in several orders.
func churn(t *testing.T, trie *Trie[int], writer, rounds, n int) {
	r := rand.New(rand.NewPCG(uint64(writer), 0))
	many, _ := ParseFilter("r/#", Limits{})
	for range rounds {
		for i := range n {
			f, _ := ParseFilter(fmt.Sprintf("r/w%d-%d/x", writer, i), Limits{})
			trie.Add(f, writer)
			trie.Add(many, writer*n+i)
		}
		for _, i := range r.Perm(n) {
			subject := fmt.Sprintf("r/w%d-%d/x", writer, i)
			f, _ := ParseFilter(subject, Limits{})
			trie.Remove(f, writer)
			trie.Remove(many, writer*n+i)
			if i%100 == 0 {
				trie.Match(subject, func(v int) bool {
					if v == writer || v == writer*n+i {
						t.Errorf("%q yields %d after it was removed", subject, v)
					}
					return true
				})
			}
		}
	}
}

func checkSteady(t *testing.T, trie *Trie[int], i, steady int) {
	seen := make(map[int]int, 2*steady)
	trie.Match(fmt.Sprintf("r/%d/x", i), func(v int) bool { seen[v]++; return true })
	for v, n := range seen {
		if want := 1; n != want && !(v == -1-i && n == 2) {
			t.Errorf("value %d was yielded %d times", v, n)
		}
	}
	for v := range steady {
		if seen[-1-v] == 0 {
			t.Errorf("value %d was not yielded", -1-v)
		}
	}
	if i%50 == 0 {
		filters := map[string]int{}
		trie.Walk(func(filter []byte, _ int) bool { filters[string(filter)]++; return true })
		for v := range steady {
			if n := filters[fmt.Sprintf("r/%d/x", v)]; n != 1 {
				t.Errorf("Walk saw a steady filter %d times", n)
			}
		}
	}
}

// TestTrieSplitsUnderReaders divides and joins the path of one steady filter at every level, while it is read.
func TestTrieSplitsUnderReaders(t *testing.T) {
	const steady = "deep/1/+/3/4"
	var trie Trie[int]
	trie.Add(mustFilter(t, steady), 1)
	others := []string{"deep", "deep/1", "deep/1/+", "deep/1/+/3", "deep/1/2/3/4", "deep/x", "deep/1/+/x", "deep/1/+/3/4/5", "deep/1/+/#", "other"}
	var stop atomic.Bool
	var reading, writing sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for !stop.Load() {
				seen := 0
				trie.Match("deep/1/2/3/4", func(v int) bool {
					if v == 1 {
						seen++
					}
					return true
				})
				if seen != 1 {
					t.Errorf("the steady value was yielded %d times", seen)
				}
			}
		})
	}
	for w := range 2 {
		writing.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for range 10_000 {
				f, _ := ParseFilter(others[r.IntN(len(others))], Limits{})
				trie.Add(f, 2+w)
				f, _ = ParseFilter(others[r.IntN(len(others))], Limits{})
				trie.Remove(f, 2+w)
			}
			for _, text := range others {
				f, _ := ParseFilter(text, Limits{})
				trie.Remove(f, 2+w)
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()
	checkShape(t, &trie.root, true)
	if n := trie.root.child(&trie.seed, "deep"); n == nil || n.path != steady {
		t.Errorf("the steady filter was not joined to one node: %+v", n)
	}
}
