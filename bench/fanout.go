package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// fanoutRun is what runFanout is asked for.
type fanoutRun struct {
	settings
	subscribers int
	size        int
	lag         int
	pipelines   numbers
}

// A fanned is one measurement.
type fanned struct {
	perCPU, rate, p50, p99 float64
	missed                 uint64
}

func runFanout(ctx context.Context, args []string) error {
	r := fanoutRun{pipelines: numbers{1, 16, 64}}
	f := newFlags("fanout", &r.settings, "spate-resp", "redis")
	f.IntVar(&r.subscribers, "subscribers", 1000, "subscribers of the channel")
	f.IntVar(&r.size, "size", 64, "bytes of a message")
	f.IntVar(&r.lag, "lag", 1000, "messages that may be published before the slowest subscriber has them")
	f.Var(&r.pipelines, "pipelines", "PUBLISH commands under way at the same time, separated by commas")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	fmt.Printf("\n1 publisher, %d subscribers, %d B, at most %d messages behind: medians of %d rounds of %v\n\n",
		r.subscribers, r.size, r.lag, r.rounds, r.duration())
	var t table
	t.add("PUBLISH under way", "peer", "deliveries per CPU second", "deliveries/s", "to the last subscriber: p50", "p99", "missed",
		r.peers[0]+" ÷ it: per CPU second")
	for _, pipeline := range r.pipelines {
		got, err := inTurns(&r.settings, func(name string, round int) (fanned, error) { return r.measure(ctx, name, pipeline, round) })
		if err != nil {
			return err
		}
		r.add(&t, pipeline, got)
	}
	fmt.Print(&t)
	return nil
}

// measure starts a server and publishes.
func (r *fanoutRun) measure(ctx context.Context, name string, pipeline, round int) (m fanned, err error) {
	s, err := peers()[name].start(ctx, serverOptions{cpu: r.serverCPU})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	_, perf := r.profilePaths(fmt.Sprintf("fanout-%s-%d-%d", name, pipeline, round))
	recorded, err := record(ctx, s.pid, perf, r.warm()+r.duration())
	if err != nil {
		return m, err
	}
	got, err := load.Fanout(ctx, load.FanoutOptions{
		Address: s.address, PID: s.pid, Subscribers: r.subscribers, Size: r.size, Pipeline: pipeline, Lag: r.lag,
		Warmup: r.warm(), Duration: r.duration(),
	})
	if err := errors.Join(err, recorded()); err != nil {
		return m, err
	}
	m = fanned{
		perCPU: got.PerCPUSecond(), rate: float64(got.Delivered) / got.Elapsed.Seconds(), missed: got.Missed,
		p50: float64(got.Latency.Quantile(0.5)), p99: float64(got.Latency.Quantile(0.99)),
	}
	r.note("%-12s %3d under way: %.0f deliveries per CPU second, %.0f/s, server busy %.0f %%, p99 %v, missed %d", name, pipeline,
		m.perCPU, m.rate, share(got.CPU, got.Elapsed), load.Round(time.Duration(m.p99)), m.missed)
	return m, nil
}

func (r *fanoutRun) add(t *table, pipeline int, got map[string][]fanned) {
	perCPU := func(m fanned) float64 { return m.perCPU }
	first := got[r.peers[0]]
	for _, name := range r.peers {
		all := got[name]
		missed := uint64(0)
		for _, m := range all {
			missed += m.missed
		}
		t.add(pipeline, name, fmt.Sprintf("%.0f", median(column(all, perCPU))),
			fmt.Sprintf("%.0f", median(column(all, func(m fanned) float64 { return m.rate }))),
			time.Duration(median(column(all, func(m fanned) float64 { return m.p50 }))),
			time.Duration(median(column(all, func(m fanned) float64 { return m.p99 }))),
			missed, ratio(column(first, perCPU), column(all, perCPU)))
	}
}
