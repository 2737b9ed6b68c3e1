// Command spate is Spate's engine with the echo protocol.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spate-io/spate/bench/peers/internal/peer"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/echo"
)

func main() {
	f := peer.ParseFlags()
	if err := serve(f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(f peer.Flags) error {
	e, err := engine.New(engine.Options{
		Driver: f.Engine,
		Limits: engine.Limits{FirstTimeout: -1},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	config, err := f.Config()
	if err != nil {
		return err
	}
	var protocol engine.Protocol = echo.Protocol{}
	if f.Pause > 0 {
		protocol = blocking{pause: f.Pause}
	}
	ctx := context.Background()
	l, err := e.Listen(ctx, engine.ListenOptions{Network: "tcp", Address: f.Listen, Protocol: protocol, TLS: config})
	if err != nil {
		return err
	}
	peer.Listening(l.Addr())
	<-f.Stop()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = e.Shutdown(ctx)
	return nil
}

// blocking is echo with a handler that sleeps when the first byte is 1.
type blocking struct {
	echo.Protocol
	pause time.Duration
}

func (b blocking) Open(*engine.Conn) engine.Session { return b }

func (b blocking) Serve(c *engine.Conn, in []byte) (int, error) {
	if in[0] == 1 {
		time.Sleep(b.pause)
	}
	return c.WriteThrough(in)
}

func (blocking) Close(*engine.Conn, error) {}
