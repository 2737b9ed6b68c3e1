package engine_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/echo"
)

func TestEcho(t *testing.T) {
	for _, drv := range []string{engine.Epoll, engine.Net} {
		t.Run(drv, func(t *testing.T) {
			e, err := engine.New(engine.Options{Driver: drv})
			if err != nil {
				t.Fatal(err)
			}
			l, err := e.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: echo.Protocol{}})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					c, err := net.Dial("tcp", l.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					msg := bytes.Repeat([]byte{byte('a' + i)}, 1<<(i%18))
					go c.Write(msg)
					got := make([]byte, len(msg))
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, msg) {
						t.Error(err, len(msg))
					}
				})
			}
			wg.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := e.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			t.Logf("%+v", e.Stats())
		})
	}
}
