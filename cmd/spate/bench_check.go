package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/spate-io/spate/internal/load"
)

// check reports what is wrong with the flags and the address and can be seen
// without connecting.
func (f *benchFlags) check(address string) error {
	for _, n := range []struct {
		flag        string
		value, most int
	}{{"conns", f.conns, load.MaxConns}, {"size", f.size, load.MaxReply}, {"pipeline", f.pipeline, load.MaxPipeline}} {
		if n.value < 1 || n.value > n.most {
			return fmt.Errorf("--%s: %d is not a number from 1 to %d", n.flag, n.value, n.most)
		}
	}
	switch {
	case !(f.rate >= 0 && f.rate <= load.MaxRate):
		return fmt.Errorf("--rate: %v is not a number from 0, which means as many as are answered, to %d", f.rate, load.MaxRate)
	case f.duration <= 0:
		return fmt.Errorf("--duration: %v must be above zero", f.duration)
	case f.warmup < 0:
		return fmt.Errorf("--warmup: %v is negative", f.warmup)
	case f.pid < 0:
		return fmt.Errorf("--pid: %d is negative; give the number of a process", f.pid)
	}
	if f.pid > 0 {
		if _, err := load.CPUTime(f.pid); err != nil {
			return fmt.Errorf("--pid: %w", err)
		}
	}
	return checkAddress(address)
}

func checkAddress(address string) error {
	path, unix := strings.CutPrefix(address, "unix:")
	if unix && path == "" {
		return errors.New("after unix: comes the path of a socket, as in unix:/run/spate.sock")
	}
	if _, port, err := net.SplitHostPort(address); !unix && (err != nil || port == "") {
		return fmt.Errorf("%q is not an address to connect to: give HOST:PORT, as in 127.0.0.1:6379 or [::1]:6379, or unix:PATH", address)
	}
	return nil
}

// hint adds what may be the matter with a server that hangs up at once.
func (f *benchFlags) hint(err error) error {
	closed := errors.Is(err, load.ErrPeerClosed) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	silent := errors.Is(err, load.ErrBeforeReply) || errors.Is(err, io.EOF)
	if closed && silent && !f.tls && !f.insecure && f.ca == "" {
		return fmt.Errorf("%w; if it speaks TLS, say --tls", err)
	}
	return err
}
