package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// xaddRun is what runXAdd is asked for.
type xaddRun struct {
	settings
	clients, size, keys int
	pipelines           numbers
}

// An added is one run of redis-benchmark, and what else the machine did.
type added struct {
	replied
	others float64
}

func runXAdd(ctx context.Context, args []string) error {
	r := xaddRun{pipelines: numbers{1, 16}}
	f := newDurableFlags("xadd", &r.settings, "spate-durable", "redis-durable")
	f.IntVar(&r.clients, "conns", 50, "connections (redis-benchmark -c)")
	f.IntVar(&r.size, "size", 128, "bytes of the value")
	f.IntVar(&r.keys, "keys", 8, "different keys (redis-benchmark -r)")
	f.Var(&r.pipelines, "pipelines", "commands under way on each connection (redis-benchmark -P)")
	if err := f.Parse(args); err != nil {
		return err
	}
	return r.withDisk(ctx, func(d *disk) error {
		var t table
		t.add("-P", "peer", "XADD/s", r.peers[0]+" ÷ it", "CPU per XADD", "p50", "p99", "CPUs of others")
		var seen []latency
		for _, pipeline := range r.pipelines {
			got, err := inTurns(&r.settings, func(name string, round int) (added, error) {
				l, err := d.fsync()
				if err != nil {
					return added{}, err
				}
				seen = append(seen, l)
				return r.measure(ctx, d, name, pipeline, round)
			})
			if err != nil {
				return err
			}
			r.add(&t, pipeline, got)
		}
		fmt.Printf("\nredis-benchmark -c %d, XADD of %d B to %d keys, acknowledged after the fsync: medians of %d rounds of about %v\n%s\n\n%s",
			r.clients, r.size, r.keys, r.rounds, r.duration(), d.describe(seen), &t)
		return nil
	})
}

// requests is how many take about as long as is asked for, at the rates that Redis gave here.
func (r *xaddRun) requests(pipeline int, seconds float64) int {
	return max(int(min(30_000*float64(pipeline), 200_000)*seconds), r.clients*pipeline)
}

func (r *xaddRun) measure(ctx context.Context, d *disk, name string, pipeline, round int) (m added, err error) {
	what := fmt.Sprintf("xadd-%s-%d-%d", name, pipeline, round)
	dir, remove := d.fresh(what)
	defer remove()
	o := serverOptions{cpu: r.serverCPU, dir: dir, keys: r.keys}
	if r.profile != "" && name == "spate-durable" {
		if o.pprof, err = freeAddress(); err != nil {
			return m, err
		}
	}
	s, err := peers()[name].start(ctx, o)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	argv := []string{"-c", fmt.Sprint(r.clients), "-r", fmt.Sprint(r.keys), "XADD", "mystream:__rand_int__", "*", "field", strings.Repeat("x", r.size)}
	if _, err := redisBenchmark(ctx, s, pipeline, r.requests(pipeline, r.warmup), argv); err != nil {
		return m, err
	}
	profiled := profileOver(ctx, o.pprof, filepath.Join(r.profile, what+".pprof"), r.duration())
	cpu, err := load.CPUTime(s.pid)
	if err != nil {
		return m, err
	}
	busy := newBusyMeter(cpu)
	m.replied, err = redisBenchmark(ctx, s, pipeline, r.requests(pipeline, r.seconds), argv)
	if err != nil {
		return m, err
	}
	if cpu, err = load.CPUTime(s.pid); err != nil {
		return m, err
	}
	m.others = busy.others(cpu)
	want := r.requests(pipeline, r.warmup) + r.requests(pipeline, r.seconds)
	if n, err := length(s.address, r.keys); err != nil || n < want {
		return m, fmt.Errorf("%d entries were acknowledged, and there are %d: %w", want, n, err)
	}
	r.note("%-14s -P %-3d %.0f/s, %v CPU, p99 %v, %.1f CPUs of others", name, pipeline, m.rate, load.Round(time.Duration(m.cpu)),
		load.Round(time.Duration(m.p99)), m.others)
	return m, profiled()
}

// profileOver has a node profile itself for a while, if it serves profiles. The function that it returns waits for the end.
func profileOver(ctx context.Context, address, file string, d time.Duration) func() error {
	if address == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		done <- fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, max(1, int(d.Seconds()))), file)
	}()
	return func() error { return <-done }
}

func fetch(ctx context.Context, url, file string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, reply.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, reply.Body)
	return errors.Join(err, out.Close())
}

func (r *xaddRun) add(t *table, pipeline int, got map[string][]added) {
	rate := func(m added) float64 { return m.rate }
	for _, name := range r.peers {
		all := got[name]
		t.add(pipeline, name, fmt.Sprintf("%.0f", median(column(all, rate))), ratio(column(got[r.peers[0]], rate), column(all, rate)),
			time.Duration(median(column(all, func(m added) float64 { return m.cpu }))),
			time.Duration(median(column(all, func(m added) float64 { return m.p50 }))),
			time.Duration(median(column(all, func(m added) float64 { return m.p99 }))),
			median(column(all, func(m added) float64 { return m.others })))
	}
}
