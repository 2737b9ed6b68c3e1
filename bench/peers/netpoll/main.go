// Command netpoll is an echo server on CloudWeGo's netpoll, an event loop that
// hands each readable connection to a goroutine of a pool.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/cloudwego/netpoll"

	"github.com/spate-io/spate/bench/peers/internal/peer"
)

func main() {
	f := peer.ParseFlags()
	if err := serve(f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(f peer.Flags) error {
	ln, err := netpoll.CreateListener("tcp", f.Listen)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
		return echo(c, f.Pause)
	})
	if err != nil {
		return err
	}
	peer.Listening(ln.Addr())
	stop := f.Stop()
	failed := make(chan error, 1)
	go func() { failed <- loop.Serve(ln) }()
	select {
	case <-stop:
		return nil
	case err := <-failed:
		return err
	}
}

// echo answers what has arrived on one connection, without copying it.
func echo(c netpoll.Connection, pause time.Duration) error {
	r, w := c.Reader(), c.Writer()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	if p[0] == 1 && pause > 0 {
		time.Sleep(pause)
	}
	if _, err := w.WriteBinary(p); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.Release()
}
