package pebblestore

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

const benchPartitions = 8

func benchEvent(gen *event.Generator, i int) *event.Event {
	id := gen.New()
	return &event.Event{ID: id, Subject: fmt.Sprintf("sensors/hall%d/temperature", i%50), Key: fmt.Sprintf("hall%d", i%50), Time: id.Time(), Data: make([]byte, 128)}
}

func openBench(b *testing.B) *Store {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func report(b *testing.B, s *Store) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if st := s.Stats(); st.Groups > 0 {
		b.ReportMetric(float64(st.Events)/float64(st.Groups), "events/group")
	}
	b.ReportMetric(0, "ns/op")
}

// renew makes the next event of an old one. Half of its data is text, so that it compresses about as well as what people send.
func renew(gen *event.Generator, e *event.Event) {
	e.ID = gen.New()
	for i := 0; i < len(e.Data); i += 8 {
		binary.LittleEndian.PutUint64(e.Data[i:], rand.Uint64())
	}
	hex.Encode(e.Data[:64], e.Data[64:96])
}

// BenchmarkPublishers has many goroutines commit one event at a time.
func BenchmarkPublishers(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openBench(b)
			var gen event.Generator
			b.ResetTimer()
			var all sync.WaitGroup
			for g := range n {
				all.Go(func() {
					e := benchEvent(&gen, g)
					done := make(chan error, 1)
					answer := func(err error) { done <- err }
					batch := &store.Batch{Appends: []store.Append{{Partition: store.Partition{Stream: "s", Number: g % benchPartitions}, Event: e}}}
					for range b.N / n {
						renew(&gen, e)
						s.Submit(batch, answer)
						if err := <-done; err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			report(b, s)
		})
	}
}

// BenchmarkBatches has a few goroutines commit batches, of which each has one in flight.
func BenchmarkBatches(b *testing.B) {
	for _, c := range []struct{ size, goroutines int }{{100, 1}, {1000, 1}, {100, 4}, {1000, 4}} {
		b.Run(fmt.Sprintf("%dx%d", c.size, c.goroutines), func(b *testing.B) {
			s := openBench(b)
			b.ResetTimer()
			fill(b, s, b.N, c.size, c.goroutines)
			report(b, s)
		})
	}
}

// fill appends n events.
func fill(b *testing.B, s *Store, n, size, goroutines int) {
	var gen event.Generator
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			batch := &store.Batch{Appends: make([]store.Append, size)}
			for i := range batch.Appends {
				batch.Appends[i] = store.Append{Partition: store.Partition{Stream: "s", Number: (g + i) % benchPartitions}, Event: benchEvent(&gen, i)}
			}
			done := make(chan error, 1)
			for range (n/size + goroutines - 1) / goroutines {
				for i := range batch.Appends {
					renew(&gen, batch.Appends[i].Event)
				}
				s.Submit(batch, func(err error) { done <- err })
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
}
