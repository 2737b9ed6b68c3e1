package resp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
)

// TestIdleSessionIsSmall keeps the figure that the package comment names.
func TestIdleSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 64 {
		t.Errorf("a session has %d bytes", size)
	}
	if size := unsafe.Sizeof(subscriber{}); size > 64 {
		t.Errorf("a subscriber has %d bytes", size)
	}
}

func TestTable(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.table.list {
		for _, name := range []string{c.name, strings.ToUpper(c.name), strings.ToUpper(c.name[:1]) + c.name[1:]} {
			if got := p.table.find([]byte(name)); got != c {
				t.Errorf("%s is found as %+v", name, got)
			}
		}
		if got := p.table.find([]byte(c.name + "x")); got != nil {
			t.Errorf("%sx is found as %s", c.name, got.name)
		}
		if p.table.all[c.number-1] != c {
			t.Errorf("%s has the number of %s", c.name, p.table.all[c.number-1].full)
		}
	}
	for _, name := range []string{"", "p", "pinG\x00", "P\x09NG", "@uit", "\xff\xff\xff\xff"} {
		if got := p.table.find([]byte(name)); got != nil {
			t.Errorf("%q is found as %s", name, got.name)
		}
	}
}

// TestTrace records a span for each request, and none with a tracer that does nothing.
func TestTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	defer provider.Shutdown(t.Context())
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(t.Context())
	p, err := New(Options{Tracer: provider.Tracer("resp"), Commands: []Command{
		{Name: "FAIL", Arity: 1, Run: func(context.Context, *Request) error { return errors.New("no") }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p})
	if err != nil {
		t.Fatal(err)
	}
	talk(t, l.Addr(), request("PING")+request("FAIL")+request("CLIENT", "ID")+request("QUIT"))
	var names []string
	for _, span := range spans.Ended() {
		names = append(names, span.Name())
		if failed := span.Status().Code == codes.Error; failed != (span.Name() == "fail") {
			t.Errorf("%s: status %v", span.Name(), span.Status())
		}
	}
	if got := strings.Join(names, " "); got != "ping fail client|id quit" {
		t.Errorf("spans %q", got)
	}
	for _, none := range []Options{{}, {Tracer: noop.Tracer{}}, {Tracer: noop.NewTracerProvider().Tracer("")}} {
		if p, err := New(none); err != nil || p.tracer != nil {
			t.Errorf("%T: traced (%v)", none.Tracer, err)
		}
	}
}

// TestHeld holds what is published while a confirmation is on the way, within its bound, and drops what belongs to a
// subscription that was taken back.
func TestHeld(t *testing.T) {
	for _, policy := range []engine.Overflow{engine.Disconnect, engine.DropNewest} {
		p, conn := connected(t, Options{Overflow: policy})
		sub := newSubscriber(&session{proto: p}, conn)
		for _, subject := range []string{"keep", "undo"} {
			if _, err := sub.client.Subscribe(subject); err != nil {
				t.Fatal(err)
			}
		}
		sub.beginConfirm()
		publish := func(subject string, size int) int {
			n, err := p.bus.PublishBytes([]byte(subject), make([]byte, size))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		publish("undo", 10)
		if n := publish("keep", 20); n != 1 || len(sub.wait.frames) != 2 {
			t.Fatalf("%d receivers, %d held", n, len(sub.wait.frames))
		}
		if n := publish("keep", heldMost); n != 0 {
			t.Error("more was held than may be")
		}
		if closing := conn.Closing(); closing != (policy == engine.Disconnect) {
			t.Errorf("policy %d: closing %t", policy, closing)
		}
		sub.client.Unsubscribe("undo")
		sub.endConfirm()
		if sub.wait != nil {
			t.Errorf("after it: %+v", sub.wait)
		}
		sub.client.Close()
	}
}

// TestFramesAreShared encodes a message once for all subscribers of one version and pattern.
func TestFramesAreShared(t *testing.T) {
	b := bus.New(bus.Options{})
	var frames []string
	for range 3 {
		c := b.NewClient(catch(func(m *bus.Message) {
			f := messages[1].Encode(nil, m)
			if got := m.Frame(messages[1]); string(got) != string(f) {
				t.Errorf("%q, want %q", got, f)
			}
			frames = append(frames, string(f))
		}))
		if _, err := c.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := b.PublishBytes([]byte("a"), []byte("x")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for _, f := range frames {
		if f != ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n" {
			t.Errorf("%q", f)
		}
	}
}

// catch is a subscriber that is a function.
type catch func(m *bus.Message)

func (f catch) Deliver(m *bus.Message) bool {
	f(m)
	return true
}
