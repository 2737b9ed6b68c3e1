package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// shop runs an application whose consumer "billing" reads the stream "orders", with its address in SPATE_SERVER. It has dead letters of orders/bad, of orders/panic,
// and of orders/once, which works the second time.
func shop(ts *testscript.TestScript, _ bool, _ []string) {
	s := memstore.New(memstore.Options{})
	app := spate.New(spate.Options{
		Store: s, Streams: []stream.Config{{Name: "orders", Subjects: []string{"orders/#"}, Partitions: 2}}, Logger: slog.New(slog.DiscardHandler),
	})
	var tried atomic.Int64
	ts.Check(app.Consumers().Handle(consumer.Config{Name: "billing", Stream: "orders", Retry: task.Backoff{Attempts: 1}},
		func(_ context.Context, d *consumer.Delivery) error {
			switch subject := d.Event.Subject; {
			case subject == "orders/panic":
				panic("no paper")
			case subject == "orders/bad", subject == "orders/once" && tried.Add(1) == 1:
				return consumer.Dead(errors.New("no such customer\n(looked twice)"))
			}
			return nil
		}))
	l, err := app.Listen("http://127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("SPATE_SERVER", "http://"+l.String())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			ts.Fatalf("the shop: %v", err)
		}
	})
}

// until REGEXP COMMAND… runs a command again and again until its output matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(`(?m)` + args[0])
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	var out []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		cmd := exec.Command(path, args[2:]...)
		cmd.Dir = ts.Getenv("WORK")
		cmd.Env = append(os.Environ(), "SPATE_SERVER="+ts.Getenv("SPATE_SERVER"))
		out, _ = cmd.CombinedOutput() // it may fail until it is time
		if want.Match(out) {
			return
		}
	}
	ts.Fatalf("%v did not say %s but\n%s", args[1:], want, out)
}

// damage DIRECTORY WORD flips a bit in the file of the store that has the word.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	done := false
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".sst" || done {
			return err
		}
		text, err := os.ReadFile(path)
		at := bytes.Index(text, []byte(args[1]))
		if err != nil || at < 0 {
			return err
		}
		text[at] ^= 1
		done = true
		return os.WriteFile(path, text, 0o600)
	}))
	if !done {
		ts.Fatalf("no file in %s has %q", args[0], args[1])
	}
}
