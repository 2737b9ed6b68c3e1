package spate_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
)

type order struct {
	ID    string
	Euros int
}

var (
	orders   = bus.NewTopic[order]("orders/+", bus.Key(func(o order) string { return o.ID }))
	invoices = bus.NewTopic[order]("invoices/+", bus.Key(func(o order) string { return o.ID }))
)

// What an App has stored and handled is there after it is run again; its figures are shown.
func TestDurableApp(t *testing.T) {
	dir := t.TempDir() + "/data"
	for round := range 2 {
		o := quiet()
		o.Data = dir
		o.Streams = []stream.Config{{Name: "invoices", Subjects: []string{"invoices/#"}}}
		app := spate.New(o)
		if err := bus.Handle(app, orders, "bill", func(ctx context.Context, o order) error {
			return bus.Publish(ctx, invoices, o)
		}); err != nil {
			t.Fatal(err)
		}
		web, err := app.Listen("http://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, app)
		if err := bus.PublishTo(t.Context(), app, orders, order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		var info stream.Info
		for start := time.Now(); info.Events != uint64(round+1); {
			if info, err = app.Streams().Info(t.Context(), "invoices"); err != nil || time.Since(start) > patience {
				t.Fatal(info, err)
			}
		}
		for start := time.Now(); ; {
			_, body := get(t, web, "/metrics")
			if strings.Contains(body, `spate_consumer_lag{consumer="bill"} 0`) && strings.Contains(body, `spate_stream_events{stream="invoices"} `) &&
				strings.Contains(body, "\nspate_store_fsync_seconds_count ") && strings.Contains(body, "\nspate_store_healthy 1") {
				break
			}
			if time.Since(start) > patience {
				t.Fatal(body)
			}
		}
		stop()
	}
}

// The embedded store is opened as the options say: here on a file system in memory.
func TestEmbedded(t *testing.T) {
	o := quiet()
	o.Data = t.TempDir() + "/data"
	o.Embedded = pebblestore.Options{FS: vfs.NewMem(), MemTableBytes: 1 << 20}
	app := spate.New(o)
	stop := run(t, app)
	if _, err := app.Streams().Create(t.Context(), stream.Config{Name: "a", Subjects: []string{"a"}}); err != nil {
		t.Error(err)
	}
	stop()
	if _, err := os.Stat(o.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there are files on disk: %v", err)
	}
}

// A handler that does not return shows as lag, and does not keep Run from returning: it is left behind, by name.
func TestHandlerThatNeverReturns(t *testing.T) {
	o := quiet()
	o.Data, o.DrainTimeout = t.TempDir()+"/data", 50*time.Millisecond
	app := spate.New(o)
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	if err := bus.Handle(app, orders, "stuck", func(context.Context, order) error {
		close(begun)
		<-release
		return bus.Skip
	}); err != nil {
		t.Fatal(err)
	}
	web := listen(t, app, "http://127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	for range 3 {
		if err := bus.PublishTo(t.Context(), app, orders, order{"a", 1}); err != nil {
			t.Fatal(err)
		}
	}
	<-begun
	if _, body := get(t, web, "/metrics"); !strings.Contains(body, `spate_consumer_lag{consumer="stuck"} 3`) {
		t.Error(body)
	}
	cancel()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), `the consumer "stuck" handles events of 1 keys in partition `) {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Run waits for a handler that never returns")
	}
}

// A stream that XADD has made can be configured later: it keeps its partition and what it holds. Other partitions are refused with what to do.
func TestConfiguredAfterXADD(t *testing.T) {
	dir := t.TempDir() + "/data"
	configs := []struct {
		streams  []stream.Config
		commands [][2]string
	}{
		{nil, [][2]string{{"XADD orders/7 1-1 item tea", "$3\r\n1-1\r\n"}, {"XGROUP CREATE orders/7 g 0", "+OK\r\n"}}},
		{[]stream.Config{{Name: "orders/7", Subjects: []string{"orders/7"}, MaxEvents: 100}},
			[][2]string{{"XADD orders/7 1-2 item tea", "$3\r\n1-2\r\n"}, {"XLEN orders/7", ":2\r\n"}}},
		{[]stream.Config{{Name: "all", Subjects: []string{"orders/#"}}, {Name: "orders/7", Subjects: []string{"orders/#"}}},
			[][2]string{{"XADD orders/7 1-3 item tea", "$3\r\n1-3\r\n"}, {"XLEN orders/7", ":3\r\n"}, {"XREADGROUP GROUP g c STREAMS orders/7 >", "*1\r\n"}}},
	}
	for i, round := range configs {
		o := quiet()
		o.Data, o.Streams, o.CreateStreams = dir, round.streams, true
		app := spate.New(o)
		door, err := app.Listen("resp://127.0.0.1:0")
		if err != nil {
			t.Fatal(i, err)
		}
		stop := run(t, app)
		for _, c := range round.commands {
			if got := line(t, door, c[0]); !strings.HasPrefix(got, c[1]) {
				t.Errorf("%d, %s: %q, want %q", i, c[0], got, c[1])
			}
		}
		stop()
	}
	o := quiet()
	o.Data, o.Streams = dir, []stream.Config{{Name: "orders/7", Subjects: []string{"orders/#"}, Partitions: 8}}
	app := spate.New(o)
	defer app.Close()
	if err := app.Run(t.Context()); !errors.Is(err, stream.ErrConfig) || !strings.Contains(err.Error(), "leave them out to keep what there is") {
		t.Error(err)
	}
}

// line sends one request, and returns the first bytes of the reply.
func line(t *testing.T, l net.Addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", l.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(request + "\r\n")); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 1024)
	n, err := c.Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply[:n])
}

// An App whose store has failed is not ready, and says why.
func TestStoreFails(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	o := quiet()
	o.Store = s
	app := spate.New(o)
	web, err := app.Listen("http://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, app)
	if status, body := get(t, web, "/readyz"); status != http.StatusOK {
		t.Fatal(status, body)
	}
	s.SetFull(true)
	if status, body := get(t, web, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "full") {
		t.Error(status, body)
	}
	s.SetFull(false)
	if status, body := get(t, web, "/readyz"); status != http.StatusOK {
		t.Error(status, body)
	}
	s.Fail(errors.New("the cable is out"))
	if status, body := get(t, web, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "cable") {
		t.Error(status, body)
	}
}

// What is wrong with the data is said by Listen and Run.
func TestDataErrors(t *testing.T) {
	dir := t.TempDir()
	o := quiet()
	o.Data = dir
	first := spate.New(o)
	defer first.Close()
	tests := map[string]struct {
		change func(o *spate.Options)
		want   error
		words  string
	}{
		"in use":       {func(*spate.Options) {}, store.ErrInUse, dir},
		"two stores":   {func(o *spate.Options) { o.Store = memstore.New(memstore.Options{}) }, nil, "Data or Store"},
		"a bad stream": {func(o *spate.Options) { o.Data = t.TempDir(); o.Streams = []stream.Config{{Name: "x"}} }, stream.ErrConfig, "subjects"},
		"the server's name": {func(o *spate.Options) {
			o.Data = t.TempDir()
			o.Streams = []stream.Config{{Name: "$evil", Subjects: []string{"x"}}}
		}, stream.ErrConfig, "the server's own"},
		"two streams of one name": {func(o *spate.Options) {
			o.Data = t.TempDir()
			o.Streams = []stream.Config{{Name: "x", Subjects: []string{"x"}}, {Name: "x", Subjects: []string{"y"}}}
		}, stream.ErrConfig, "two streams are called"},
		"streams, no store": {func(o *spate.Options) { o.Data = ""; o.Streams = []stream.Config{{Name: "x"}} }, nil, "no store"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := o
			tt.change(&o)
			app := spate.New(o)
			err := app.Run(t.Context())
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("got %v", err)
			}
			if o.Store != nil {
				_ = o.Store.Close()
			}
		})
	}
}
