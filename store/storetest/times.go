package storetest

import (
	"time"

	"github.com/spate-io/spate/store"
)

var timeChecks = []check{
	{"time stamps", checkStamps},
	{"a clock that steps back", checkStepBack},
	{"find", checkFind},
	{"find among gaps", checkFindGaps},
}

func checkStamps(f *fixture) {
	p := part("a", 0)
	var stamps []time.Time
	for range 5 {
		f.Clock.Advance(time.Second + 7*time.Millisecond)
		b := f.commit(&store.Batch{Appends: appends(p, "x", "y")})
		for _, a := range b.Appends {
			equal(f, "the time of the answer is the clock's", a.Appended.Equal(f.Clock.Now()), true)
			stamps = append(stamps, a.Appended)
		}
	}
	f.both(func() {
		for i, r := range f.read(p, 0, store.ReadOptions{}) {
			if !r.Appended.Equal(stamps[i]) {
				f.Fatalf("record %d has the time %v, the answer said %v", i, r.Appended, stamps[i])
			}
		}
	})
}

// checkStepBack moves the clock back, also across a reopening, and when nothing is left that would remember.
func checkStepBack(f *fixture) {
	p, fresh := part("a", 0), part("a", 1)
	last := f.Clock.Now()
	for i, seconds := range []int{10, -20, 5, -3600, 4000, -1, 2} {
		f.Clock.Advance(time.Duration(seconds) * time.Second)
		if i%2 == 1 {
			f.commit(&store.Batch{Trims: []store.Position{at(p, 1000)}})
		}
		if i%3 == 1 {
			f.reopen()
		}
		a := f.commit(&store.Batch{Appends: appends(p, "x")}).Appends[0]
		if a.Appended.Before(last) {
			f.Fatalf("the time fell from %v to %v", last, a.Appended)
		}
		if now := f.Clock.Now(); now.After(last) && !a.Appended.Equal(now) {
			f.Fatalf("the time is %v, and not the clock's %v", a.Appended, now)
		}
		last = a.Appended
	}
	f.Clock.Advance(-24 * time.Hour)
	a := f.commit(&store.Batch{Appends: appends(fresh, "x")}).Appends[0]
	equal(f, "the time in a new partition is the clock's", a.Appended.Equal(f.Clock.Now()), true)
}

func (f *fixture) finds(p store.Partition, t time.Time, want uint64) {
	f.Helper()
	got, err := f.s.Find(f.ctx, p, t)
	f.ok(err)
	equal(f, "place found for "+t.Format(time.RFC3339Nano), got, want)
}

// checkFind has 2 records at 0 s, 1 each at 10 s and, by a clock that stepped back, at 10 s again, and 1 at 30 s.
func checkFind(f *fixture) {
	p := part("a", 0)
	start := f.Clock.Now()
	f.add(p, "0", "1")
	f.Clock.Advance(10 * time.Second)
	f.add(p, "2")
	f.Clock.Advance(-5 * time.Second)
	f.add(p, "3")
	f.Clock.Advance(25 * time.Second)
	f.add(p, "4")
	stamps := f.read(p, 0, store.ReadOptions{})
	if fell := stamps[3].Appended; fell.Before(start.Add(10*time.Second)) || !fell.Before(start.Add(30*time.Second)) {
		f.Fatalf("the record that came when the clock had stepped back has the time %v", fell)
	}
	f.both(func() {
		f.finds(p, time.Time{}, 0)
		f.finds(p, time.Unix(0, 0), 0)
		f.finds(p, start, 0)
		f.finds(p, start.Add(time.Nanosecond), 2)
		f.finds(p, start.Add(10*time.Second), 2)
		f.finds(p, stamps[3].Appended.Add(time.Nanosecond), 4)
		f.finds(p, start.Add(30*time.Second-1), 4)
		f.finds(p, start.Add(30*time.Second), 4)
		f.finds(p, start.Add(30*time.Second+1), 5)
		f.finds(p, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 5)
		f.finds(part("a", 1), start, 0)
	})
}

func checkFindGaps(f *fixture) {
	p := part("a", 0)
	start := f.Clock.Now()
	const n = 200
	for i := range uint64(n) {
		f.Clock.Advance(time.Second)
		if i%10 == 0 {
			f.add(p, "x")
			continue
		}
		f.submit(&store.Batch{Appends: appends(p, "x")}) // the clock may go on before it is taken
	}
	f.commit(&store.Batch{Trims: []store.Position{at(p, 20)}, Removes: []store.Position{at(p, 25), at(p, 26), at(p, 40), at(p, n-1)}})
	records := f.read(p, 0, store.ReadOptions{})
	f.both(func() {
		f.finds(p, start, 20)
		last := time.Time{}
		for _, r := range records {
			if r.Appended.After(last) {
				f.finds(p, last.Add(time.Nanosecond), r.Offset)
				f.finds(p, r.Appended, r.Offset)
			}
			last = r.Appended
		}
		f.finds(p, last.Add(1), n)
	})
	f.commit(&store.Batch{Trims: []store.Position{at(p, n)}})
	f.both(func() { f.finds(p, start, n) })
}
