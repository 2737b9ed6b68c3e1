package xstream

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPEL compares the list of pending entries with a sorted slice.
func TestPEL(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l pel
	var model []ID
	for range 20_000 {
		id := ID{Ms: uint64(r.IntN(30)), Seq: uint64(r.IntN(100))}
		i, found := slices.BinarySearchFunc(model, id, ID.Compare)
		p := l.get(id)
		if (p != nil) != found {
			t.Fatalf("%v: found %v, want %v", id, p != nil, found)
		}
		switch {
		case found:
			l.drop(p)
			model = slices.Delete(model, i, i+1)
		default:
			l.put(&pending{id: id})
			model = slices.Insert(model, i, id)
		}
		if l.n != len(model) {
			t.Fatalf("%d entries, want %d", l.n, len(model))
		}
	}
	var got []ID
	from := ID{Ms: 10}
	l.from(from, func(p *pending) bool {
		got = append(got, p.id)
		return true
	})
	i, _ := slices.BinarySearchFunc(model, from, ID.Compare)
	if !slices.Equal(got, model[i:]) {
		t.Errorf("from %v: %v, want %v", from, got, model[i:])
	}
	if first, last := l.edges(); first.id != model[0] || last.id != model[len(model)-1] {
		t.Error("the edges are wrong")
	}
}

// TestPELTurns acknowledges at the front while it adds at the end.
func TestPELTurns(t *testing.T) {
	var l pel
	for i := range uint64(10_000) {
		l.put(&pending{id: ID{Ms: i + 1}})
		if i >= 1000 {
			first, _ := l.edges()
			l.drop(first)
		}
	}
	if l.n != 1000 || len(l.parts) > 6 {
		t.Errorf("%d entries in %d parts", l.n, len(l.parts))
	}
}
