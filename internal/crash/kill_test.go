package crash

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate"
)

// Promise: kill -9 at any instant loses no acknowledged event and leaves no half step.
func TestPromiseRecovery(t *testing.T) {
	dir, err := os.MkdirTemp("", "spate") // short, for the path of the socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l := newLedger()
	for range *kills {
		killed(t, dir, l)
	}
	s := openData(t, dir)
	app, err := newApp(spate.Options{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, app)
	caughtUp(t, app)
	stop()
	l.check(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// killed starts the server, has clients use it, and kills it at some moment.
func killed(t *testing.T, dir string, l *ledger) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childData+"="+dir)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for up := false; !up; {
		select {
		case err := <-ended:
			t.Fatalf("the server did not start: %v\n%s", err, &log)
		case <-time.After(time.Millisecond):
			c, err := net.Dial("unix", socket)
			if up = err == nil; up {
				_ = c.Close()
			}
		}
	}
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { l.publish(socket, i) })
	}
	<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-ended
	clients.Wait()
	if t.Failed() {
		t.Logf("%s", &log)
	}
}

// run runs an app until stop.
func run(t *testing.T, app *spate.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
