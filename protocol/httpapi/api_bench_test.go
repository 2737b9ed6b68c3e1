package httpapi_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// benchAPI starts a door with a stream "orders" in memory, and returns its address and bus.
func benchAPI(b *testing.B) (string, *bus.Bus) {
	b.Helper()
	s := memstore.New(memstore.Options{})
	log, err := stream.Open(b.Context(), s, stream.Options{})
	if err == nil {
		_, err = log.Create(b.Context(), stream.Config{Name: "orders", Subjects: []string{"orders/#"}})
	}
	if err != nil {
		b.Fatal(err)
	}
	a, err := auth.New(auth.Config{}, auth.Options{})
	if err != nil {
		b.Fatal(err)
	}
	events := bus.New(bus.Options{Log: log})
	door, err := httpapi.New(httpapi.Options{Auth: a, Bus: events, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- door.Serve(ln, httpapi.ServeOptions{}) }()
	b.Cleanup(func() {
		_ = door.Shutdown(b.Context()) // the context has ended, so nothing is waited for
		<-served
		events.Wait()
		_ = s.Close()
		_ = a.Close()
	})
	return "http://" + ln.Addr().String(), events
}

// BenchmarkPublish is what a client with connections of its own sees, the client's own cost included.
func BenchmarkPublish(b *testing.B) {
	at, _ := benchAPI(b)
	body := strings.Repeat("x", 128)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		defer client.CloseIdleConnections()
		for pb.Next() {
			r, err := client.Post(at+"/v1/publish/orders/1", "text/plain", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	})
}

// BenchmarkReadStream is one subscriber that reads a stream back.
func BenchmarkReadStream(b *testing.B) {
	for _, format := range []string{"cloudevents", "data"} {
		b.Run(format, func(b *testing.B) {
			at, events := benchAPI(b)
			done := make(chan error, 1)
			for i := 0; i < b.N; i += 100 {
				batch := make([]*event.Event, min(100, b.N-i))
				for n := range batch {
					batch[n] = &event.Event{Subject: fmt.Sprintf("orders/%d", n), Data: []byte(strings.Repeat("x", 128))}
				}
				events.Submit(batch, func(_ bus.Receipt, err error) { done <- err })
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			r, err := http.Get(at + "/v1/subscribe?stream=orders&from=beginning&format=" + format)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Body.Close()
			defer http.DefaultClient.CloseIdleConnections()
			buf, seen := make([]byte, 256<<10), 0
			for seen < b.N {
				n, err := r.Body.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				seen += strings.Count(string(buf[:n]), "\ndata: ")
			}
		})
	}
}
