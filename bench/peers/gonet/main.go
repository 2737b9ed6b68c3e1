// Command gonet is an echo server in plain Go: a goroutine and a buffer for
// each connection. It is what most Go programs do.
package main

import (
	"fmt"
	"net"
	"os"
	"time"

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
	ln, err := f.Listener()
	if err != nil {
		return err
	}
	peer.Listening(ln.Addr())
	stop := f.Stop()
	go func() {
		<-stop
		_ = ln.Close()
	}()
	for {
		c, err := ln.Accept()
		if err != nil {
			return f.Stopped(err)
		}
		go echo(c, f.Pause)
	}
}

// echo answers one connection. Go's net sets TCP_NODELAY itself.
func echo(c net.Conn, pause time.Duration) {
	defer c.Close()
	buf := make([]byte, 1024)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if buf[0] == 1 && pause > 0 {
			time.Sleep(pause)
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}
