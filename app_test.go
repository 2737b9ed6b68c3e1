package spate_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/spate-io/spate"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	app := spate.New(spate.Options{Logger: slog.New(slog.DiscardHandler)})
	echo, err := app.Listen("echo://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web, err := app.Listen("http://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- app.Run(ctx) }()
	c, err := net.Dial("tcp", echo.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("hallo"))
	b := make([]byte, 5)
	io.ReadFull(c, b)
	for _, p := range []string{"/livez", "/readyz", "/metrics", "/debug/", "/debug/tasks", "/debug/connections", "/debug/connections?format=json", "/debug/connections?format=html"} {
		resp, err := http.Get("http://" + web.String() + p)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		t.Log(p, resp.Status, string(body[:min(len(body), 3000)]))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
