package storetest

import (
	"slices"
	"time"
)

// shrinkTime is how long RunModel looks for less that fails as well.
const shrinkTime = 20 * time.Second

// shrink leaves out steps, larger parts first, and then parts of steps, as long as the rest fails. A failure that does not repeat itself leaves the
// script as it is.
func shrink(script []step, why error, try func([]step) error) ([]step, error) {
	until := time.Now().Add(shrinkTime)
	for part := len(script) / 2; part > 0; part /= 2 {
		for from := 0; from < len(script); {
			if time.Now().After(until) {
				return script, why
			}
			fewer := slices.Delete(slices.Clone(script), from, min(from+part, len(script)))
			if err := try(fewer); err != nil {
				script, why = fewer, err
			} else {
				from += part
			}
		}
	}
	for i := range script {
		for n := 0; n < len(simpler(script[i])); {
			if time.Now().After(until) {
				return script, why
			}
			less := slices.Clone(script)
			less[i] = simpler(script[i])[n]
			if err := try(less); err != nil {
				script, why = less, err // what was in place n has gone, and the next has moved there
			} else {
				n++
			}
		}
	}
	return script, why
}

// simpler returns the step with one part less, in every way there is.
func simpler(s step) (all []step) {
	for i := range s.batches {
		less := s
		less.batches = without(s.batches, i)
		all = append(all, less)
	}
	for i, d := range s.batches {
		for _, simple := range simplerDrafts(d) {
			less := s
			less.batches = slices.Clone(s.batches)
			less.batches[i] = simple
			all = append(all, less)
		}
	}
	if s.clock != 0 {
		less := s
		less.clock = 0
		all = append(all, less)
	}
	if s.restart != goOn {
		less := s
		less.restart = goOn
		all = append(all, less)
	}
	return all
}

// simplerDrafts returns the draft with one operation less. Moves of cursors go together, since onTop counts them.
func simplerDrafts(d draft) (all []draft) {
	add := func(n int, leave func(less *draft, i int)) {
		for i := range n {
			less := d
			leave(&less, i)
			all = append(all, less)
		}
	}
	add(len(d.Appends), func(less *draft, i int) { less.Appends = without(d.Appends, i) })
	add(len(d.Requires), func(less *draft, i int) { less.Requires = without(d.Requires, i) })
	add(len(d.current), func(less *draft, i int) { less.current = without(d.current, i) })
	add(min(len(d.Cursors), 1), func(less *draft, _ int) { less.Cursors, less.onTop = nil, nil })
	add(len(d.Puts), func(less *draft, i int) { less.Puts = without(d.Puts, i) })
	add(len(d.Deletes), func(less *draft, i int) { less.Deletes = without(d.Deletes, i) })
	add(len(d.Removes), func(less *draft, i int) { less.Removes = without(d.Removes, i) })
	add(len(d.Trims), func(less *draft, i int) { less.Trims = without(d.Trims, i) })
	add(len(d.Drops), func(less *draft, i int) { less.Drops = without(d.Drops, i) })
	return all
}

func without[T any](all []T, i int) []T { return slices.Delete(slices.Clone(all), i, i+1) }
