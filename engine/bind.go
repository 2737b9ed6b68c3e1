package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// The keep-alive of accepted connections finds dead peers within two minutes.
const (
	keepAliveIdle     = 60 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 4
)

// Bind opens a listening socket with the options that connections of an engine
// inherit: no Nagle delay, and keep-alive. A Unix socket that a crashed process
// left behind, on which nobody answers, is replaced.
func Bind(ctx context.Context, network, address string) (net.Listener, error) {
	if network == "unix" {
		if err := removeStaleSocket(address); err != nil {
			return nil, fmt.Errorf("listening on %s %s: %w", network, address, err)
		}
	}
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount},
		Control:         controlListener,
	}
	ln, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s %s: %w", network, address, err)
	}
	return ln, nil
}

// removeStaleSocket removes a Unix socket on which nobody answers.
func removeStaleSocket(path string) error {
	st, err := os.Stat(path)
	if err != nil || st.Mode()&os.ModeSocket == 0 {
		return nil // Listen says what is wrong
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // EAGAIN, for one, is somebody with a full queue
		return syscall.EADDRINUSE
	}
	return os.Remove(path)
}
