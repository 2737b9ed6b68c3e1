package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// idleRun is what runIdle is asked for.
type idleRun struct {
	settings
	conns  int
	settle float64
	tls    bool
}

// warmConns is how many connections come and go before the first look at the
// memory, so that what a server sets up once is not divided by connections.
const warmConns = 100

func runIdle(ctx context.Context, args []string) error {
	var r idleRun
	f := newFlags("idle", &r.settings)
	f.IntVar(&r.conns, "conns", 10_000, "connections")
	f.Float64Var(&r.settle, "settle", 8, "seconds to wait before looking at the memory")
	f.BoolVar(&r.tls, "tls", false, "speak TLS, which the Tokio program and netpoll do not")
	if err := f.Parse(args); err != nil {
		return err
	}
	if len(r.peers) == 0 {
		r.peers = list{"spate", "tokio", "gonet", "netpoll"}
		if r.tls {
			r.peers = list{"spate-serve", "spate", "gonet"}
		}
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	got, err := inTurns(&r.settings, func(name string, _ int) (float64, error) { return r.measure(ctx, name) })
	if err != nil {
		return err
	}
	how := "plain"
	if r.tls {
		how = "TLS 1.3"
	}
	fmt.Printf("\n%d idle connections, %s, each after one echo of 64 B: medians of %d rounds\n\n", r.conns, how, r.rounds)
	var t table
	t.add("peer", "bytes of resident memory per connection")
	for _, name := range r.peers {
		t.add(name, fmt.Sprintf("%.0f", median(got[name])))
	}
	fmt.Print(&t)
	return nil
}

// measure returns how many bytes a server grows by for each connection.
func (r *idleRun) measure(ctx context.Context, name string) (bytes float64, err error) {
	o := serverOptions{cpu: r.serverCPU, tls: r.tls}
	if r.profile != "" {
		o.heap = filepath.Join(r.profile, name+".heap")
	}
	s, err := peers()[name].start(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := r.hold(ctx, s, warmConns, func() error { return nil }); err != nil {
		return 0, err
	}
	if err := r.wait(ctx); err != nil {
		return 0, err
	}
	before, err := load.Resident(s.pid)
	if err != nil {
		return 0, err
	}
	err = r.hold(ctx, s, r.conns, func() error {
		if err := r.wait(ctx); err != nil {
			return err
		}
		after, err := load.Resident(s.pid)
		bytes = float64(after-before) / float64(r.conns)
		r.note("%-12s %8d KiB before, %8d KiB with %d connections: %.0f B each", name, before>>10, after>>10, r.conns, bytes)
		if r.profile != "" {
			err = errors.Join(err, syscall.Kill(s.pid, syscall.SIGUSR1), r.wait(ctx))
		}
		return err
	})
	return bytes, err
}

// hold opens connections, has each echo a message, and calls f meanwhile.
func (r *idleRun) hold(ctx context.Context, s *server, n int, f func() error) error {
	o := load.Options{Address: s.address, Conns: n, Prepare: exchange}
	if r.tls {
		o.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the certificate was made a moment ago, on this machine
	}
	conns, err := load.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	return f()
}

// exchange has a message echoed.
func exchange(_ int, c net.Conn) error {
	var message [64]byte
	if _, err := c.Write(message[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(c, message[:])
	return err
}

func (r *idleRun) wait(ctx context.Context) error {
	select {
	case <-time.After(seconds(r.settle)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
