package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// blockRun is what runBlock is asked for.
type blockRun struct {
	settings
	conns int
	size  int
	rate  float64
	every int
	pause time.Duration
}

// A blocked is one measurement: the p99 of the requests that do not block,
// while none do and while some do.
type blocked struct {
	without, with, blocking float64
	unanswered              uint64
}

func runBlock(ctx context.Context, args []string) error {
	var b blockRun
	f := newFlags("block", &b.settings, "spate", "tokio", "tokio-timer", "tokio-pool", "gonet")
	f.IntVar(&b.conns, "conns", 512, "connections")
	f.IntVar(&b.size, "size", 64, "bytes of a message")
	f.Float64Var(&b.rate, "rate", 20_000, "requests per second; 0 for as many as are answered")
	f.IntVar(&b.every, "every", 100, "one request in so many blocks")
	f.DurationVar(&b.pause, "pause", 50*time.Millisecond, "how long it blocks")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	got, err := inTurns(&b.settings, func(name string, _ int) (blocked, error) { return b.measure(ctx, name) })
	if err != nil {
		return err
	}
	b.print(got)
	return nil
}

// measure starts a server and loads it twice.
func (b *blockRun) measure(ctx context.Context, name string) (m blocked, err error) {
	s, err := peers()[name].start(ctx, serverOptions{cpu: b.serverCPU, pause: b.pause})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	for _, every := range []int{0, b.every} {
		r, err := load.Run(ctx, load.Options{
			Address: s.address, Work: load.Echo{Size: b.size, BlockEvery: every},
			Conns: b.conns, Rate: b.rate, Warmup: b.warm(), Duration: b.duration(),
		})
		if err != nil {
			return m, err
		}
		if r.Errors > 0 {
			return m, fmt.Errorf("%d errors, first: %w", r.Errors, r.FirstError)
		}
		p99 := float64(r.Latency[load.Ordinary].Quantile(0.99))
		if every == 0 {
			m.without = p99
			continue
		}
		m.with, m.unanswered = p99, r.Unanswered
		m.blocking = float64(r.Latency[load.Blocking].Quantile(0.99))
	}
	b.note("%-12s p99 %v without blocking, %v with; %d unanswered", name, load.Round(time.Duration(m.without)),
		load.Round(time.Duration(m.with)), m.unanswered)
	return m, nil
}

func (b *blockRun) print(got map[string][]blocked) {
	load := fmt.Sprintf("%.0f requests/s, open loop", b.rate)
	if b.rate == 0 {
		load = "closed loop"
	}
	fmt.Printf("\necho %d B, %d connections, %s, 1 in %d blocks %v: medians of %d rounds of %v\n\n",
		b.size, b.conns, load, b.every, b.pause, b.rounds, b.duration())
	without := func(m blocked) float64 { return m.without }
	with := func(m blocked) float64 { return m.with }
	var t table
	t.add("peer", "p99 without blocking", "p99 of the others with it", "ratio", "p99 of the blocking", "unanswered at the end")
	for _, name := range b.peers {
		all := got[name]
		t.add(name, time.Duration(median(column(all, without))), time.Duration(median(column(all, with))),
			ratio(column(all, with), column(all, without)),
			time.Duration(median(column(all, func(m blocked) float64 { return m.blocking }))),
			fmt.Sprintf("%.0f", median(column(all, func(m blocked) float64 { return float64(m.unanswered) }))))
	}
	fmt.Fprint(os.Stdout, &t)
}
