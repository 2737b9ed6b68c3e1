package bus

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"github.com/spate-io/spate/event"
)

type discard struct{ n int }

func (d *discard) Deliver(*Message) bool { d.n++; return true }

// framing is a subscriber that does what a protocol does: append the shared frame to a buffer of its own.
type framing struct {
	format *Format
	out    []byte
}

func (f *framing) Deliver(m *Message) bool {
	f.out = append(f.out[:0], m.Frame(f.format)...)
	return true
}

func BenchmarkPublish(b *testing.B) {
	subject, data := []byte("sensors/hall-17/temperature"), make([]byte, 64)
	for _, subscribers := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			bus := New(Options{})
			for i := range 1000 {
				subscribe(b, bus.NewClient(&discard{}), fmt.Sprintf("sensors/%d/temperature", i))
			}
			for range subscribers {
				subscribe(b, bus.NewClient(&discard{}), string(subject))
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bus.PublishBytes(subject, data)
			}
			perSubscriber(b, subscribers)
		})
	}
}

func BenchmarkPublishFrames(b *testing.B) {
	subject, data := []byte("sensors/hall-17/temperature"), make([]byte, 64)
	for _, subscribers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			bus := New(Options{})
			format, _ := counting(false)
			for range subscribers {
				subscribe(b, bus.NewClient(&framing{format: format}), "sensors/+/temperature")
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bus.PublishBytes(subject, data)
			}
			perSubscriber(b, subscribers)
		})
	}
}

func BenchmarkPublishGlobs(b *testing.B) {
	bus := New(Options{})
	for i := range 1000 {
		subscribeGlob(b, bus.NewClient(&discard{}), fmt.Sprintf("user:%d:*", i))
	}
	subject := []byte("sensors/hall-17/temperature")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = bus.PublishBytes(subject, nil)
	}
	perSubscriber(b, 1000)
}

func BenchmarkPublishParallel(b *testing.B) {
	bus := New(Options{})
	b.RunParallel(func(pb *testing.PB) {
		subject, data := []byte("sensors/hall-17/temperature"), make([]byte, 64)
		for pb.Next() {
			_, _ = bus.PublishBytes(subject, data)
		}
	})
}

func perSubscriber(b *testing.B, n int) {
	if n > 0 {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/subscriber")
	}
}

func TestPublishAllocations(t *testing.T) {
	bus := New(Options{})
	subject, data := []byte("sensors/hall/temperature"), make([]byte, 64)
	subscribeGlob(t, bus.NewClient(&discard{}), "nobody:*")
	subscribe(t, bus.NewClient(&discard{}), "none/of/these")
	none := func() { _, _ = bus.PublishBytes(subject, data) }
	if n := testing.AllocsPerRun(100, none); n != 0 {
		t.Errorf("%v allocations with nobody subscribed, want 0", n)
	}
	e := &event.Event{Subject: "sensors/hall/temperature", Data: data}
	if n := testing.AllocsPerRun(100, func() { _, _ = bus.PublishLive(e) }); n != 0 {
		t.Errorf("%v allocations for an event with nobody subscribed, want 0", n)
	}
	for range 10 {
		subscribe(t, bus.NewClient(&discard{}), "sensors/+/temperature")
	}
	if n := testing.AllocsPerRun(100, none); n != 0 {
		t.Errorf("%v allocations with ten subscribers that keep nothing, want 0", n)
	}
}

// TestMemoryPerSubscription reports what a client with one subscription of its own costs, and what is left of it.
func TestMemoryPerSubscription(t *testing.T) {
	const n = 50_000
	if size := unsafe.Sizeof(Subscription{}); size > 64 {
		t.Errorf("a Subscription is %d bytes, more than a cache line", size)
	}
	bus := New(Options{})
	clients := make([]*Client, n)
	filters := make([]string, n)
	for i := range clients {
		filters[i] = fmt.Sprintf("device/%d/state", i)
	}
	before := heap()
	for i := range clients {
		clients[i] = bus.NewClient(&discard{})
		subscribe(t, clients[i], filters[i])
	}
	per := (heap() - before) / n
	if per > 350 {
		t.Errorf("%d bytes per client with one subscription", per)
	}
	t.Logf("%d bytes per client with one subscription", per)
	for i, c := range clients {
		c.Close()
		clients[i] = nil
	}
	if left := int64(heap()) - int64(before); left > 100_000 {
		t.Errorf("%d bytes are left when all have gone", left)
	}
	runtime.KeepAlive(bus)
	runtime.KeepAlive(filters)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
