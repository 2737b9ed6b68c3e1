package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// An apiKit is a door that serves the API, with a bus, its streams and their store.
type apiKit struct {
	*kit
	bus   *bus.Bus
	log   *stream.Log
	store *memstore.Store
	set   *consumer.Set // with a consumer "billing" of the stream "orders", for which orders/bad is a dead letter
}

// startAPI starts a door with streams. The test names those that it wants as "name subject subject…".
func startAPI(t *testing.T, s setup, streams ...string) *apiKit {
	t.Helper()
	k := &apiKit{kit: &kit{t: t}, store: memstore.New(memstore.Options{})}
	var err error
	if k.log, err = stream.Open(t.Context(), k.store, stream.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, text := range streams {
		f := strings.Fields(text)
		if _, err := k.log.Create(t.Context(), stream.Config{Name: f[0], Subjects: f[1:], Partitions: 4}); err != nil {
			t.Fatal(err)
		}
	}
	k.bus = bus.New(bus.Options{Log: k.log})
	s.options.Bus = k.bus
	if s.consumers {
		k.consume()
		s.options.Consumers = k.set
		if s.devices {
			s.options.Devices = k.keepDevices()
		}
	}
	t.Cleanup(func() {
		k.bus.Wait()
		if err := k.store.Close(); err != nil {
			t.Error(err)
		}
	})
	k.kit = start(t, s)
	return k
}

// consume runs a consumer of the stream "orders".
func (k *apiKit) consume() {
	t := k.t
	k.set = consumer.NewSet(consumer.Options{Log: k.log, Prepare: k.bus.Prepare, Reserve: k.bus.Reserve, Deliver: k.bus.DeliverStored})
	err := k.set.Handle(consumer.Config{Name: "billing", Stream: "orders"}, func(_ context.Context, d *consumer.Delivery) error {
		if d.Event.Subject == "orders/bad" {
			return consumer.Dead(errors.New("no such customer"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// exampleCommand is the command that "fan-7" has been given.
const exampleCommand = "01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d"

// keepDevices returns devices: "fan-7", with a state of version 1 and a command.
func (k *apiKit) keepDevices() *device.Service {
	s, err := device.New(k.t.Context(), device.Options{Bus: k.bus, Consumers: k.set})
	if err == nil {
		_, err = s.Declare(k.t.Context(), "fan-7", "fan", []string{"hall"})
	}
	if err == nil {
		_, err = s.UpdateState(k.t.Context(), "fan-7", device.Update{Reported: []byte(`{"on":true,"ON":1}`)})
	}
	if err == nil {
		_, err = s.SendAs(k.t.Context(), exampleCommand, "fan-7", "spin", nil, device.CallOptions{})
	}
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	for {
		if c, err := s.Command(ctx, "fan-7", exampleCommand); err == nil && c.State == device.Sent {
			return s
		}
		if ctx.Err() != nil {
			k.t.Fatal("the command was not sent")
		}
		runtime.Gosched()
	}
}

// waitForDead waits until there is a dead letter at an offset or after it.
func (k *apiKit) waitForDead(offset uint64) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	if err := k.store.Wait(ctx, store.Position{Partition: store.Partition{Stream: consumer.DeadStream}, Offset: offset}); err != nil {
		k.t.Fatal(err)
	}
}

// send sends a request with a body on a connection of its own.
func (k *kit) send(method, path, body string, header ...string) reply {
	k.t.Helper()
	c := k.dial()
	defer c.Close()
	header = append(header, fmt.Sprintf("Content-Length: %d", len(body)))
	text := method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + body
	if _, err := io.WriteString(c, text); err != nil {
		k.t.Logf("%s %s: %v", method, path, err) // the answer may have come before the whole request has gone
	}
	return k.read(c)
}

// want checks the status of a reply, and returns its JSON.
func (r reply) want(t *testing.T, status int) map[string]any {
	t.Helper()
	if r.status != status {
		t.Fatalf("%d %s, want %d", r.status, r.body, status)
	}
	var value map[string]any
	if r.body == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(r.body), &value); err != nil {
		t.Fatalf("%q is not JSON: %v", r.body, err)
	}
	return value
}

// wantProblem checks that a reply is a problem of a kind.
func (r reply) wantProblem(t *testing.T, status int, kind string) {
	t.Helper()
	v := r.want(t, status)
	if v["type"] != "/v1/problems/"+kind || v["status"] != float64(status) || v["title"] == "" || v["detail"] == "" {
		t.Errorf("%s is not a whole problem of the kind %s", r.body, kind)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("a problem of the type %q", got)
	}
}

// A listening is a client of server-sent events.
type listening struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	last string // the last id
}

// A message is one server-sent event.
type message struct{ name, data, comment, id string }

// listen subscribes, and returns once the server has said that it did.
func (k *kit) listen(path string, header ...string) *listening {
	k.t.Helper()
	l, r := k.tryListen(path, header...)
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(r.Body)
		k.t.Fatalf("%s: %s %s", path, r.Status, body)
	}
	return l
}

func (k *kit) tryListen(path string, header ...string) (*listening, *http.Response) {
	k.t.Helper()
	return k.listenOn(k.dial(), path, header...)
}

func (k *kit) listenOn(c net.Conn, path string, header ...string) (*listening, *http.Response) {
	k.t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", path, strings.Join(append(header, "Accept: text/event-stream"), "\r\n")); err != nil {
		k.t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return &listening{t: k.t, conn: c, in: bufio.NewReader(r.Body)}, r
}

// next reads the next block, as a browser does.
func (l *listening) next() (m message, err error) {
	var data []string
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			m.data = strings.Join(data, "\n")
			return m, nil
		case field == "":
			m.comment += value
		case field == "data":
			data = append(data, value)
		case field == "event":
			m.name = value
		case field == "id":
			m.id, l.last = value, value
		}
	}
}

// event reads up to the next event.
func (l *listening) event() message {
	l.t.Helper()
	for {
		m, err := l.next()
		if err != nil {
			l.t.Fatalf("waiting for an event: %v", err)
		}
		if m.data != "" || m.name != "" {
			return m
		}
	}
}

// rest reads up to the end.
func (l *listening) rest() (all []message) {
	for {
		m, err := l.next()
		if err != nil {
			return all
		}
		all = append(all, m)
	}
}
