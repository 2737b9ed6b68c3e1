package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/spate-io/spate/store"
)

var errFound = errors.New("found")

// failing fails a script in which a crash follows a put of "k0" that follows a trim.
func failing(script []step) error {
	seen := 0
	for _, s := range script {
		if s.restart == byCrash && seen == 2 {
			return errFound
		}
		for _, d := range s.batches {
			if len(d.Trims) > 0 {
				seen = max(seen, 1)
			}
			for _, p := range d.Puts {
				if p.Key == "k0" && seen == 1 {
					seen = 2
				}
			}
		}
	}
	return nil
}

// TestShrink reduces long scripts to the one crash, put and trim that it takes.
func TestShrink(t *testing.T) {
	for seed := range uint64(10) {
		script := generate(seed, 200)
		if failing(script) == nil {
			t.Fatalf("seed %d: the script has no crash after a put after a trim", seed)
		}
		before := fmt.Sprint(script)
		fewer, why := shrink(script, nil, failing)
		if !errors.Is(why, errFound) || failing(fewer) == nil {
			t.Fatalf("seed %d: what is left does not fail: %v", seed, why)
		}
		operations := 0
		for _, s := range fewer {
			for _, d := range s.batches {
				operations += d.Operations() + len(d.current)
			}
		}
		if len(fewer) > 3 || operations != 2 {
			t.Errorf("seed %d: %d operations in %d steps are left: %v", seed, operations, len(fewer), fewer)
		}
		if fmt.Sprint(script) != before {
			t.Errorf("seed %d: shrinking has changed the script that it was given", seed)
		}
	}
}

// TestShrinkFlaky keeps the script when the failure does not repeat itself.
func TestShrinkFlaky(t *testing.T) {
	script := generate(1, 20)
	fewer, why := shrink(script, errFound, func([]step) error { return nil })
	if !errors.Is(why, errFound) || len(fewer) != len(script) {
		t.Errorf("%d steps of %d are left, because %v", len(fewer), len(script), why)
	}
}

// TestGenerate looks for everything that a script can do, and for the same script from the same seed.
func TestGenerate(t *testing.T) {
	if first, again := fmt.Sprint(generate(7, 50)), fmt.Sprint(generate(7, 50)); first != again {
		t.Error("one seed gives two scripts")
	}
	seen := map[string]int{}
	count := func(what string, is bool) {
		if is {
			seen[what]++
		}
	}
	for _, s := range generate(7, 300) {
		count("back", s.clock < 0)
		count("forth", s.clock > 0)
		count(fmt.Sprint("restart ", s.restart), true)
		for _, d := range s.batches {
			count("trim", len(d.Trims) > 0)
			count("remove", len(d.Removes) > 1)
			count("drop", len(d.Drops) > 0)
			count("revision as it is", len(d.current) > 0)
			count("revision", len(d.Requires) > 0)
			count("put", len(d.Puts) > 0)
			count("delete", len(d.Deletes) > 0)
			count("cursor as it is", len(d.onTop) > 0)
			count("cursor", len(d.Cursors) > len(d.onTop))
			count("several appends", len(d.Appends) > 1)
			count("dedupe", slices.ContainsFunc(d.Appends, func(a store.Append) bool { return a.Dedupe > 0 }))
		}
	}
	if len(seen) != 17 {
		t.Errorf("the script has only %v", seen)
	}
}
