package resp

import (
	"bytes"
	"context"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/protocol/resp/wire"
)

// loose returns a request without a connection, for what needs none.
func loose(t testing.TB, o Options) *Request {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{proto: p}
	s.set(stateOpen, true)
	return &Request{proto: p, sess: s, limits: wire.Limits{Args: 1 << 20, Bulk: 1 << 20, Total: 1 << 20}}
}

// serveAll is what Serve does, without the connection.
func (r *Request) serveAll(in []byte) error {
	r.out = r.out[:0]
	for len(in) > 0 {
		n, err := r.next(in)
		if err != nil {
			return err
		}
		in = in[n:]
		if err := r.run(); err != nil {
			return err
		}
	}
	return nil
}

var hot = []struct{ name, in string }{
	{"PingInline", "PING\r\n"},
	{"Ping", "*1\r\n$4\r\nPING\r\n"},
	{"Echo", "*2\r\n$4\r\nECHO\r\n$16\r\n0123456789abcdef\r\n"},
	{"Publish", "*3\r\n$7\r\nPUBLISH\r\n$10\r\nnews/today\r\n$16\r\n0123456789abcdef\r\n"},
	{"ClientID", "*2\r\n$6\r\nclient\r\n$7\r\ngetname\r\n"},
}

// BenchmarkRequest is parsing, finding, running and replying, for one request of a pipeline of 64.
func BenchmarkRequest(b *testing.B) {
	for _, bc := range hot {
		b.Run(bc.name, func(b *testing.B) {
			r := loose(b, Options{})
			in := bytes.Repeat([]byte(bc.in), 64)
			b.ReportAllocs()
			for i := 0; i < b.N; i += 64 {
				if err := r.serveAll(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublishDelivered is a publish that one of 100 subscribers of other subjects gets.
func BenchmarkPublishDelivered(b *testing.B) {
	r := loose(b, Options{})
	for i := range 100 {
		client := r.proto.bus.NewClient(sink{})
		if _, err := client.Subscribe("news/" + string(rune('a'+i))); err != nil {
			b.Fatal(err)
		}
	}
	in := bytes.Repeat([]byte(request("PUBLISH", "news/b", "0123456789abcdef")), 64)
	b.ReportAllocs()
	for i := 0; i < b.N; i += 64 {
		if err := r.serveAll(in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLatency is what the histogram costs a batch of requests, however many they are.
func BenchmarkLatency(b *testing.B) {
	r := loose(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		r.began = r.proto.uptime()
		r.tally.commands, r.timed = 16, 0
		r.answered()
	}
}

// sink encodes what it gets.
type sink struct{}

func (sink) Deliver(m *bus.Message) bool { return len(m.Frame(messages[0])) > 0 }

func request(args ...string) string {
	b := wire.Header(nil, '*', len(args))
	for _, arg := range args {
		b = wire.Bulk(b, arg)
	}
	return string(b)
}

// TestHotRequestsDoNotAllocate keeps the figure of the benchmark.
func TestHotRequestsDoNotAllocate(t *testing.T) {
	for _, tc := range hot {
		r := loose(t, Options{})
		in := bytes.Repeat([]byte(tc.in), 64)
		if n := testing.AllocsPerRun(100, func() {
			if err := r.serveAll(in); err != nil {
				t.Error(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations in 64 requests", tc.name, n)
		}
	}
}

// TestUserCommandsGetAContextForFree is about commands that do not ask for what is in it.
func TestUserCommandsGetAContextForFree(t *testing.T) {
	r := loose(t, Options{Commands: []Command{{Name: "NOTHING", Arity: 1, Run: func(context.Context, *Request) error { return nil }}}})
	in := []byte(request("NOTHING"))
	if n := testing.AllocsPerRun(100, func() { _ = r.serveAll(in) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if got := string(r.out); got != "+OK\r\n" {
		t.Errorf("%q", got)
	}
}
