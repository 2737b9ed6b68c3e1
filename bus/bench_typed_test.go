package bus_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// go test ./bus -run '^$' -bench Pipeline -benchtime 300000x

// Stream → typed handler → stream: 128-byte events of 1000 keys; one event published for each.
func BenchmarkPipeline(b *testing.B) {
	payload := make([]byte, 128)
	for i := range payload {
		payload[i] = 'x'
	}
	for _, partitions := range []int{1, 8} {
		b.Run(fmt.Sprintf("raw,partitions=%d", partitions), func(b *testing.B) {
			in := bus.NewTopic[[]byte]("in/+")
			out := bus.NewTopic[[]byte]("out/+")
			pipeline(b, partitions, func(i int) (string, []byte) { return "in/" + strconv.Itoa(i%1000), payload }, func(r *rig, done func()) error {
				return bus.Handle(r, in, "pipe", func(ctx context.Context, v []byte) error {
					done()
					return bus.Publish(ctx, out, v)
				})
			})
		})
		b.Run(fmt.Sprintf("json,partitions=%d", partitions), func(b *testing.B) {
			type doc struct {
				Device  string
				Celsius float64
				Note    string
			}
			key := func(d doc) string { return d.Device }
			in, out := bus.NewTopic("in/+", bus.Key(key)), bus.NewTopic("out/+", bus.Key(key))
			note := string(payload[:90])
			pipeline(b, partitions, func(i int) (string, []byte) {
				d := strconv.Itoa(i % 1000)
				return "in/" + d, []byte(`{"Device":"` + d + `","Celsius":21.5,"Note":"` + note + `"}`)
			}, func(r *rig, done func()) error {
				return bus.Handle(r, in, "pipe", func(ctx context.Context, v doc) error {
					done()
					return bus.Publish(ctx, out, v)
				})
			})
		})
	}
}

// pipeline fills the stream "in", and measures until a handler has handled it and its last step is committed.
func pipeline(b *testing.B, partitions int, of func(i int) (string, []byte), handle func(r *rig, done func()) error) {
	s := memstore.New(memstore.Options{Limits: store.Limits{Operations: 20_000}})
	defer s.Close()
	r := newRig(b, s, bus.NodeOptions{})
	for _, name := range []string{"in", "out"} {
		if _, err := r.log.Create(b.Context(), stream.Config{Name: name, Subjects: []string{name + "/#"}, Partitions: partitions}); err != nil {
			b.Fatal(err)
		}
	}
	fill(b, r, of)
	var left atomic.Int64
	left.Store(int64(b.N))
	all := make(chan struct{})
	err := handle(r, func() {
		if left.Add(-1) == 0 {
			close(all)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	r.run()
	<-all
	r.stop() // waits for the last commit
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if got := size(b, r, "out"); got != b.N {
		b.Errorf("%d of %d came out", got, b.N)
	}
}

func size(b *testing.B, r *rig, name string) (n int) {
	s, err := r.log.Get(name)
	if err != nil {
		b.Fatal(err)
	}
	for i := range s.Config().Partitions {
		at, err := r.store.Bounds(b.Context(), store.Partition{Stream: name, Number: i})
		if err != nil {
			b.Fatal(err)
		}
		n += int(at.Next)
	}
	return n
}

func fill(b *testing.B, r *rig, of func(i int) (string, []byte)) {
	for i := 0; i < b.N; {
		batch := &store.Batch{Durability: store.None}
		for range min(1000, b.N-i) {
			subject, data := of(i)
			e := &event.Event{Subject: subject, Data: data, Time: time.Now()}
			if err := r.Bus().Prepare(e); err != nil {
				b.Fatal(err)
			}
			if _, _, err := r.log.Add(batch, e); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if err := store.Commit(b.Context(), r.store, batch); err != nil {
			b.Fatal(err)
		}
	}
}

// The cost of a request, with one responder and with as many requesters as processors.
func BenchmarkRequest(b *testing.B) {
	r := &rig{node: bus.NewNode(bus.NodeOptions{Bus: bus.New(bus.Options{})}), t: b}
	echo := bus.NewEndpoint[[]byte, []byte]("echo")
	if err := bus.Respond(r, echo, func(_ context.Context, v []byte) ([]byte, error) { return v, nil }); err != nil {
		b.Fatal(err)
	}
	r.run()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := bus.Request(context.Background(), r, echo, []byte("hello")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.StopTimer()
	r.stop()
}
