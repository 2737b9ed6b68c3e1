package event

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// model is the trie as a map, for comparison.
type model map[string]map[int]bool

func (m model) match(subject string) []int {
	var got []int
	for filter, values := range m {
		if naiveMatch(filter, subject) {
			got = slices.AppendSeq(got, maps.Keys(values))
		}
	}
	slices.Sort(got)
	return got
}

func matches(trie *Trie[int], subject string) []int {
	var got []int
	trie.Match(subject, func(v int) bool { got = append(got, v); return true })
	slices.Sort(got)
	return got
}

// randomText makes a filter or subject over few enough levels that they meet.
func randomText(r *rand.Rand, wild bool, breadth int) string {
	levels := make([]string, 1+r.IntN(4+6/breadth))
	for i := range levels {
		switch n := r.IntN(10); {
		case wild && n == 0:
			levels[i] = "+"
		case wild && n == 1 && i == len(levels)-1:
			levels[i] = "#"
		case n == 2:
			levels[i] = "$S"
		case n == 3 && len(levels) > 1:
			levels[i] = ""
		default:
			levels[i] = fmt.Sprint("l", r.IntN(breadth))
		}
	}
	return strings.Join(levels, "/")
}

func TestTrieAgainstModel(t *testing.T) {
	for _, breadth := range []int{1, 2, 12, 40} { // long paths; one, few and many children
		t.Run(fmt.Sprint(breadth), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(breadth)))
			var trie Trie[int]
			m := model{}
			for step := range 20_000 {
				filter, v := randomText(r, true, breadth), r.IntN(60)
				// Grow for a while, then shrink for a while, so that every form is entered and left.
				if r.IntN(10) < 3+4*(step/2500%2) {
					checkRemove(t, &trie, m, filter, v)
				} else {
					checkAdd(t, &trie, m, filter, v)
				}
				if step%1000 == 0 {
					checkShape(t, &trie.root, true)
				}
				if step%100 == 0 {
					subject := randomText(r, false, breadth)
					if got, want := matches(&trie, subject), m.match(subject); !slices.Equal(got, want) {
						t.Fatalf("step %d: Match(%q) = %v, want %v", step, subject, got, want)
					}
				}
			}
			checkWalk(t, &trie, m)
			checkShape(t, &trie.root, true)
			for filter, values := range maps.Clone(m) {
				for v := range maps.Clone(values) {
					checkRemove(t, &trie, m, filter, v)
				}
			}
			checkEmpty(t, &trie)
		})
	}
}

func checkAdd(t *testing.T, trie *Trie[int], m model, filter string, v int) {
	if m[filter] == nil {
		m[filter] = map[int]bool{}
	}
	want := !m[filter][v]
	m[filter][v] = true
	if n, added := trie.Add(mustFilter(t, filter), v); added != want || n != len(m[filter]) {
		t.Fatalf("Add(%q, %d) = %d, %v, want %d, %v", filter, v, n, added, len(m[filter]), want)
	}
}

func checkRemove(t *testing.T, trie *Trie[int], m model, filter string, v int) {
	want := m[filter][v]
	delete(m[filter], v)
	left := len(m[filter])
	if left == 0 {
		delete(m, filter)
	}
	if n, removed := trie.Remove(mustFilter(t, filter), v); removed != want || n != left {
		t.Fatalf("Remove(%q, %d) = %d, %v, want %d, %v", filter, v, n, removed, left, want)
	}
	if n := trie.Count(mustFilter(t, filter)); n != left {
		t.Fatalf("Count(%q) = %d, want %d", filter, n, left)
	}
}

// checkShape checks that no node is there without a reason, and that each is where its first level says.
func checkShape(t *testing.T, n *node[int], root bool) {
	if !root && (n.empty() || n.heir() != nil) {
		t.Fatalf("node %q has no reason", n.path)
	}
	if plus := n.plus.Load(); plus != nil {
		if !plus.beginsWith(singleLevel) {
			t.Fatalf("node %q is in the place of '+'", plus.path)
		}
		checkShape(t, plus, false)
	}
	if c := n.children.Load(); c != nil {
		c.each(nil, func(child *node[int]) bool {
			checkShape(t, child, false)
			return true
		})
	}
}

func checkWalk(t *testing.T, trie *Trie[int], m model) {
	t.Helper()
	got, want, total := map[string]int{}, map[string]int{}, 0
	trie.Walk(func(filter []byte, values int) bool { got[string(filter)] += values; return true })
	for filter, values := range m {
		want[filter] = len(values)
		total += len(values)
	}
	if !maps.Equal(got, want) {
		t.Errorf("Walk = %v, want %v", got, want)
	}
	if filters, values := trie.Len(); filters != len(m) || values != total {
		t.Errorf("Len = %d, %d, want %d, %d", filters, values, len(m), total)
	}
}

func checkEmpty(t *testing.T, trie *Trie[int]) {
	t.Helper()
	if filters, values := trie.Len(); filters != 0 || values != 0 || !trie.root.empty() {
		t.Errorf("after all was removed: %d filters, %d values, root empty %v", filters, values, trie.root.empty())
	}
}

// TestTrieManyChildren takes one node through splits of the index, and back.
func TestTrieManyChildren(t *testing.T) {
	const n = 50_000
	var trie Trie[int]
	filters := make([]Filter, n)
	for i := range filters {
		filters[i] = mustFilter(t, fmt.Sprintf("device/%d", i))
		trie.Add(filters[i], i)
	}
	for i := range filters {
		if got := matches(&trie, filters[i].String()); !slices.Equal(got, []int{i}) {
			t.Fatalf("Match(%q) = %v", filters[i], got)
		}
	}
	x := trie.root.child(&trie.seed, "device").children.Load().index
	if x == nil || len(*x.directory.Load()) < 64 {
		t.Fatal("fifty thousand children do not fill a directory of 64 tables")
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { filters[i], filters[j] = filters[j], filters[i] })
	for i, f := range filters {
		if _, removed := trie.Remove(f, matches(&trie, f.String())[0]); !removed {
			t.Fatalf("%q is not there", f)
		}
		if left := n - i - 1; left == 100 {
			if d := len(*x.directory.Load()); d != 1 || x.live != left {
				t.Errorf("with %d children left the directory has %d places and counts %d", left, d, x.live)
			}
		}
		if i%1000 == 0 && i < n-1 {
			if got := matches(&trie, filters[n-1].String()); len(got) != 1 {
				t.Fatalf("after %d removals the last one is lost", i)
			}
		}
	}
	checkEmpty(t, &trie)
}

func TestTrieManyValuesOnOneFilter(t *testing.T) {
	const n = 100_000
	var trie Trie[int]
	f := mustFilter(t, "news/#")
	for i := range n {
		if count, added := trie.Add(f, i); count != i+1 || !added {
			t.Fatalf("Add %d = %d, %v", i, count, added)
		}
	}
	if count, added := trie.Add(f, 7); count != n || added {
		t.Errorf("adding a value again = %d, %v", count, added)
	}
	got := matches(&trie, "news/today")
	for i, v := range got {
		if v != i {
			t.Fatalf("value %d is %d", i, v)
		}
	}
	for i := range n {
		if count, removed := trie.Remove(f, i); count != n-1-i || !removed {
			t.Fatalf("Remove %d = %d, %v", i, count, removed)
		}
	}
	checkEmpty(t, &trie)
}

func TestTrieStopsWhenToldTo(t *testing.T) {
	var trie Trie[int]
	for i, text := range []string{"#", "a/#", "a/b/#", "a/+", "+/b", "a/b", "a/b", "a/b"} {
		trie.Add(mustFilter(t, text), i)
	}
	for stop := 1; stop <= 8; stop++ {
		calls := 0
		trie.Match("a/b", func(int) bool { calls++; return calls < stop })
		if calls != stop {
			t.Errorf("%d calls, want %d", calls, stop)
		}
	}
	for stop := 1; stop <= 6; stop++ {
		calls := 0
		trie.Walk(func([]byte, int) bool { calls++; return calls < stop })
		if calls != stop {
			t.Errorf("Walk: %d calls, want %d", calls, stop)
		}
	}
}

func TestTrieZeroFilter(t *testing.T) {
	var trie Trie[int]
	if n, ok := trie.Add(Filter{}, 1); n != 0 || ok {
		t.Error("the zero filter was added")
	}
	if n, ok := trie.Remove(Filter{}, 1); n != 0 || ok || trie.Count(Filter{}) != 0 {
		t.Error("the zero filter was removed")
	}
	checkEmpty(t, &trie)
}

// TestReadingTakesNoLock reads while a writer holds every lock that there is.
func TestReadingTakesNoLock(t *testing.T) {
	var trie Trie[int]
	var set Set[int]
	f := mustFilter(t, "a/+")
	trie.Add(f, 1)
	set.Add(1)
	trie.mu.Lock()
	defer trie.mu.Unlock()
	set.mu.Lock()
	defer set.mu.Unlock()
	walked, each := 0, 0
	trie.Walk(func([]byte, int) bool { walked++; return true })
	set.Each(func(int) bool { each++; return true })
	if len(matches(&trie, "a/b")) != 1 || trie.Count(f) != 1 || walked != 1 || each != 1 || set.Len() != 1 {
		t.Error("a value is not seen")
	}
}

func TestSizeOfNode(t *testing.T) {
	if size := unsafe.Sizeof(node[*int]{}); size > 48 {
		t.Errorf("a node is %d bytes; the next size class is for 64", size)
	}
}

func TestTrieMatchDoesNotAllocate(t *testing.T) {
	var trie Trie[int]
	for i := range 1000 {
		trie.Add(mustFilter(t, fmt.Sprintf("a/%d/+", i)), i)
		trie.Add(mustFilter(t, "a/+/b/#"), i)
	}
	subject, sum := []byte("a/500/b"), 0
	if n := testing.AllocsPerRun(100, func() {
		trie.MatchBytes(subject, func(v int) bool { sum += v; return true })
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestSet(t *testing.T) {
	var s Set[string]
	for i := range 1000 {
		s.Add(fmt.Sprint(i % 500))
	}
	if n, added := s.Add("7"); n != 500 || added || s.Len() != 500 {
		t.Errorf("Add again = %d, %v, Len %d", n, added, s.Len())
	}
	if n, removed := s.Remove("none"); n != 500 || removed {
		t.Errorf("Remove of what is not there = %d, %v", n, removed)
	}
	for i := range 500 {
		s.Remove(fmt.Sprint(i))
	}
	s.Each(func(v string) bool { t.Errorf("%s is left", v); return true })
	if n, removed := s.Remove("7"); n != 0 || removed {
		t.Errorf("Remove from the empty set = %d, %v", n, removed)
	}
}
