package crash

import (
	"bytes"
	"context"
	"fmt"
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
	dir := shortDir(t)
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
	v := start(t, dir)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { l.publish(filepath.Join(dir, respSocket), i) })
	}
	<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
	v.kill()
	clients.Wait()
	if t.Failed() {
		t.Logf("%s", &v.log)
	}
}

// A victim is a server that runs.
type victim struct {
	cmd   *exec.Cmd
	log   bytes.Buffer    // complete once it is dead
	alive context.Context // ends when it does
}

// start starts the server, and returns once it listens.
func start(t *testing.T, dir string) *victim {
	t.Helper()
	v := &victim{cmd: exec.Command(os.Args[0])}
	v.cmd.Env = append(os.Environ(), childData+"="+dir)
	v.cmd.Stderr = &v.log
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	alive, end := context.WithCancelCause(context.Background())
	v.alive = alive
	go func() { end(fmt.Errorf("the server has ended: %v", v.cmd.Wait())) }()
	for up := false; !up; {
		select {
		case <-alive.Done():
			t.Fatalf("the server did not start: %v\n%s", context.Cause(alive), &v.log)
		case <-time.After(time.Millisecond):
			c, err := net.Dial("unix", filepath.Join(dir, mqttSocket)) // the last that it listens on
			if up = err == nil; up {
				_ = c.Close()
			}
		}
	}
	return v
}

// kill kills the server, if it lives, and returns once it is dead.
func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	<-v.alive.Done()
}

// shortDir makes a directory whose path is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
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
