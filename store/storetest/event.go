package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var eventChecks = []check{
	{"every field", checkFields},
	{"times", checkEventTimes},
	{"readers share nothing with the writer", checkShared},
}

// events are what a store must give back as it was.
func events() map[string]*event.Event {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	var many []event.Header
	for i := range 64 {
		many = append(many, event.Header{Name: fmt.Sprint("n", i%7), Value: strings.Repeat("v", i)})
	}
	return map[string]*event.Event{
		"empty":         {},
		"subject":       {Subject: "sensors/hall/temperature"},
		"all":           {ID: event.ID{0: 1, 15: 2}, Subject: "s", Key: "k", Time: time.Unix(1, 2), Headers: []event.Header{{Name: "n", Value: "v"}}, Data: []byte("data")},
		"full ID":       {ID: event.ID(bytes.Repeat([]byte{0xff}, 16)), Subject: "s"},
		"binary":        {Subject: string(binary), Key: string(binary), Headers: []event.Header{{Name: string(binary), Value: string(binary)}}, Data: binary},
		"order":         {Headers: []event.Header{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}, {Name: "b", Value: "3"}, {Name: "A", Value: "4"}}},
		"empty headers": {Headers: []event.Header{{}, {Name: "n"}, {Value: "v"}, {}}},
		"many headers":  {Headers: many},
		"long names":    {Subject: strings.Repeat("s/", 500), Key: strings.Repeat("k", 1024), Headers: []event.Header{{Name: "n", Value: strings.Repeat("v", 16<<10)}}},
		"zeros":         {Data: make([]byte, 100)},
		"one byte":      {Data: []byte{0}},
		"large":         {Subject: "s", Data: bytes.Repeat(binary, LeastBytes/2/256)},
	}
}

func checkFields(f *fixture) {
	p := part("a", 0)
	var want []string
	for name, e := range events() {
		b := f.commit(&store.Batch{Appends: []store.Append{{Partition: p, Event: e}}})
		equal(f, "offset of "+name, b.Appends[0].Offset, uint64(len(want)))
		want = append(want, describe(e))
	}
	f.both(func() {
		var got []string
		for _, r := range f.read(p, 0, store.ReadOptions{}) {
			got = append(got, describe(r.Event))
		}
		same(f, "events", got, want)
	})
}

func checkEventTimes(f *fixture) {
	p := part("a", 0)
	east := time.FixedZone("east", 5*3600+1800)
	times := []time.Time{
		{}, time.Unix(0, 0), time.Unix(0, 1), time.Unix(0, -1), time.Unix(1700000000, 123456789),
		time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(1901, 2, 3, 4, 5, 6, 7, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1500, 1, 1, 0, 0, 0, 999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Date(2026, 3, 4, 5, 6, 7, 8, east), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC),
	}
	var b store.Batch
	for _, t := range times {
		b.Appends = append(b.Appends, store.Append{Partition: p, Event: &event.Event{Subject: "s", Time: t}})
	}
	f.commit(&b)
	f.both(func() {
		for i, r := range f.read(p, 0, store.ReadOptions{}) {
			if got := r.Event.Time; !got.Equal(times[i]) || got.IsZero() != times[i].IsZero() || got.Location() != time.UTC {
				f.Errorf("the time %v came back as %v", times[i], got)
			}
			if r.Appended.Location() != time.UTC {
				f.Errorf("Appended is not in UTC: %v", r.Appended)
			}
		}
	})
}

// checkShared reuses one buffer for all that is written, as a protocol does.
func checkShared(f *fixture) {
	p := part("a", 0)
	buffer := make([]byte, 8)
	e := &event.Event{Subject: "s", Data: buffer}
	b := store.Batch{Appends: make([]store.Append, 1)}
	want := numbered("number0", 10)
	for _, s := range want {
		copy(buffer, s)
		b.Appends[0] = store.Append{Partition: p, Event: e}
		f.commit(&b)
		f.read(p, 0, store.ReadOptions{})
	}
	clear(buffer)
	f.both(func() { f.holds(p, want...) })
}
