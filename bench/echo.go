package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// echoRun is what runEcho is asked for.
type echoRun struct {
	settings
	conns    numbers
	size     int
	pipeline int
}

// An echoed is one measurement.
type echoed struct {
	cpu, p50, p99, p999, rate float64
}

func runEcho(ctx context.Context, args []string) error {
	e := echoRun{conns: numbers{64, 128, 512, 2000}}
	f := newFlags("echo", &e.settings, "spate", "tokio", "gonet", "netpoll")
	f.Var(&e.conns, "conns", "numbers of connections, separated by commas")
	f.IntVar(&e.size, "size", 64, "bytes of a message")
	f.IntVar(&e.pipeline, "pipeline", 1, "messages under way on each connection")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := e.prepare(ctx); err != nil {
		return err
	}
	for _, conns := range e.conns {
		got, err := inTurns(&e.settings, func(name string, round int) (echoed, error) {
			return e.measure(ctx, name, conns, round)
		})
		if err != nil {
			return fmt.Errorf("%d connections: %w", conns, err)
		}
		e.print(conns, got)
	}
	return nil
}

// measure starts a server and loads it.
func (e *echoRun) measure(ctx context.Context, name string, conns, round int) (echoed, error) {
	pprof, perf := e.profilePaths(fmt.Sprintf("%s-%d-%d", name, conns, round))
	s, err := peers()[name].start(ctx, serverOptions{cpu: e.serverCPU, profile: pprof})
	if err != nil {
		return echoed{}, err
	}
	recorded, err := record(ctx, s.pid, perf, e.warm()+e.duration())
	if err != nil {
		return echoed{}, errors.Join(err, s.stop())
	}
	before, _ := load.CPUTime(os.Getpid())
	r, err := load.Run(ctx, load.Options{
		Address: s.address, PID: s.pid, Work: load.Echo{Size: e.size},
		Conns: conns, Pipeline: e.pipeline, Warmup: e.warm(), Duration: e.duration(),
	})
	if err := errors.Join(err, recorded(), s.stop()); err != nil {
		return echoed{}, err
	}
	if r.Errors > 0 {
		return echoed{}, fmt.Errorf("%d errors, first: %w", r.Errors, r.FirstError)
	}
	h := &r.Latency[load.Ordinary]
	m := echoed{
		cpu: float64(r.CPUPerRequest()), rate: r.Rate(),
		p50: float64(h.Quantile(0.5)), p99: float64(h.Quantile(0.99)), p999: float64(h.Quantile(0.999)),
	}
	after, _ := load.CPUTime(os.Getpid())
	e.note("%-14s %5d connections: %v CPU, %.0f/s, p50 %v, p99 %v, p99.9 %v, max %v; server busy %.0f %%, load %.0f %%",
		name, conns, load.Round(time.Duration(m.cpu)), m.rate, load.Round(time.Duration(m.p50)),
		load.Round(time.Duration(m.p99)), load.Round(time.Duration(m.p999)), load.Round(h.Max()),
		share(r.CPU, r.Elapsed), share(after-before, r.Elapsed+e.warm()))
	return m, nil
}

func share(cpu, of time.Duration) float64 { return 100 * cpu.Seconds() / of.Seconds() }

// print prints the medians, and the first peer's ratio to each.
func (e *echoRun) print(conns int, got map[string][]echoed) {
	fmt.Printf("\necho %d B, %d connections, depth %d: medians of %d rounds of %v\n\n",
		e.size, conns, e.pipeline, e.rounds, e.duration())
	cpu := func(m echoed) float64 { return m.cpu }
	p99 := func(m echoed) float64 { return m.p99 }
	first := got[e.peers[0]]
	var t table
	t.add("peer", "CPU per message", "p50", "p99", "p99.9", "messages/s", e.peers[0]+" ÷ it: CPU", "p99")
	for _, name := range e.peers {
		all := got[name]
		t.add(name, time.Duration(median(column(all, cpu))),
			time.Duration(median(column(all, func(m echoed) float64 { return m.p50 }))),
			time.Duration(median(column(all, p99))),
			time.Duration(median(column(all, func(m echoed) float64 { return m.p999 }))),
			fmt.Sprintf("%.0f", median(column(all, func(m echoed) float64 { return m.rate }))),
			ratio(column(first, cpu), column(all, cpu)), ratio(column(first, p99), column(all, p99)))
	}
	fmt.Print(&t)
}
