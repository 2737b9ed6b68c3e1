package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// respRun is what runRESP is asked for.
type respRun struct {
	settings
	clients   int
	pipelines numbers
	tests     list
	own       bool
}

// A replied is one run of redis-benchmark.
type replied struct {
	rate, cpu, p50, p99 float64
}

// busy returns the server's share of its CPU in percent.
func (m replied) busy() float64 { return m.cpu * m.rate / 1e7 }

// A respTest is a request, for redis-benchmark and for our own generator.
type respTest struct {
	argv []string
	work load.RESP
}

// respTests are the requests by the name that redis-benchmark gives them.
func respTests() map[string]respTest {
	return map[string]respTest{
		"ping_inline": {[]string{"-t", "ping_inline"}, load.RESP{Command: []string{"PING"}, Inline: true}},
		"ping_mbulk":  {[]string{"-t", "ping_mbulk"}, load.RESP{Command: []string{"PING"}}},
		"echo":        {[]string{"ECHO", "hello"}, load.RESP{Command: []string{"ECHO", "hello"}}},
		"publish":     {[]string{"PUBLISH", "channel", "hello"}, load.RESP{Command: []string{"PUBLISH", "channel", "hello"}}},
	}
}

func runRESP(ctx context.Context, args []string) error {
	r := respRun{pipelines: numbers{1, 16, 64}, tests: list{"ping_inline", "ping_mbulk", "echo", "publish"}}
	f := newFlags("resp", &r.settings, "spate-resp", "redis")
	f.IntVar(&r.clients, "conns", 50, "connections (redis-benchmark -c)")
	f.Var(&r.pipelines, "pipelines", "commands under way on each connection (redis-benchmark -P)")
	f.Var(&r.tests, "tests", "tests, separated by commas")
	f.BoolVar(&r.own, "own", false, "load with our own generator, which is lighter than redis-benchmark, so that the server is what limits")
	if err := f.Parse(args); err != nil {
		return err
	}
	for _, test := range r.tests {
		if _, ok := respTests()[test]; !ok {
			return fmt.Errorf("no test is called %q; there are %s", test, "ping_inline, ping_mbulk, echo, publish")
		}
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	generator := "redis-benchmark"
	if r.own {
		generator = "our own generator"
	}
	fmt.Printf("\n%s, %d connections: medians of %d rounds of about %v\n\n", generator, r.clients, r.rounds, r.duration())
	var t table
	t.add("test", "-P", "peer", "requests/s", "server busy", "CPU per request", "p50", "p99",
		r.peers[0]+" ÷ it: requests/s", "requests per CPU second")
	for _, pipeline := range r.pipelines {
		for _, test := range r.tests {
			got, err := inTurns(&r.settings, func(name string, round int) (replied, error) {
				return r.measure(ctx, name, test, pipeline, round)
			})
			if err != nil {
				return err
			}
			r.add(&t, test, pipeline, got)
		}
	}
	fmt.Print(&t)
	return nil
}

// requests is how many requests take about as long as is asked for, at the
// rates that one core for the server and one for redis-benchmark gave here.
func (r *respRun) requests(pipeline int, seconds float64) int {
	return max(int(min(75_000*float64(pipeline), 2_500_000)*seconds), 1)
}

// measure starts a server and loads it.
func (r *respRun) measure(ctx context.Context, name, test string, pipeline, round int) (m replied, err error) {
	s, err := peers()[name].start(ctx, serverOptions{cpu: r.serverCPU})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	_, perf := r.profilePaths(fmt.Sprintf("%s-%s-%d-%d", test, name, pipeline, round))
	recorded, err := record(ctx, s.pid, perf, r.warm()+r.duration())
	if err != nil {
		return m, err
	}
	if r.own {
		m, err = r.loadOwn(ctx, s, test, pipeline)
	} else {
		m, err = r.loadRedisBenchmark(ctx, s, test, pipeline)
	}
	r.note("%-12s -P %-3d %-11s %.0f/s, %v CPU, server busy %.0f %%, p99 %v", name, pipeline, test, m.rate,
		load.Round(time.Duration(m.cpu)), m.busy(), load.Round(time.Duration(m.p99)))
	return m, errors.Join(err, recorded())
}

// loadOwn loads a server with our own generator.
func (r *respRun) loadOwn(ctx context.Context, s *server, test string, pipeline int) (replied, error) {
	got, err := load.Run(ctx, load.Options{
		Address: s.address, PID: s.pid, Work: respTests()[test].work, Conns: r.clients, Pipeline: pipeline,
		Warmup: r.warm(), Duration: r.duration(),
	})
	if err != nil {
		return replied{}, err
	}
	if got.Errors > 0 {
		return replied{}, fmt.Errorf("%d errors, first: %w", got.Errors, got.FirstError)
	}
	h := &got.Latency[load.Ordinary]
	return replied{
		rate: got.Rate(), cpu: float64(got.CPUPerRequest()),
		p50: float64(h.Quantile(0.5)), p99: float64(h.Quantile(0.99)),
	}, nil
}

// loadRedisBenchmark loads a server with Redis's own generator, twice: the
// first time for warming up.
func (r *respRun) loadRedisBenchmark(ctx context.Context, s *server, test string, pipeline int) (m replied, err error) {
	argv := append([]string{"-c", fmt.Sprint(r.clients)}, respTests()[test].argv...)
	if m, err = redisBenchmark(ctx, s, pipeline, r.requests(pipeline, r.warmup), argv); err != nil {
		return m, err
	}
	return redisBenchmark(ctx, s, pipeline, r.requests(pipeline, r.seconds), argv)
}

// redisBenchmark loads a server with n requests.
func redisBenchmark(ctx context.Context, s *server, pipeline, n int, argv []string) (m replied, err error) {
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return m, err
	}
	before, err := load.CPUTime(s.pid)
	if err != nil {
		return m, err
	}
	argv = append([]string{"-p", port, "-P", fmt.Sprint(pipeline), "-n", fmt.Sprint(n), "--csv"}, argv...)
	out, err := exec.CommandContext(ctx, "redis-benchmark", argv...).Output()
	if err != nil {
		return m, fmt.Errorf("running redis-benchmark (Debian package redis-tools): %w", err)
	}
	after, err := load.CPUTime(s.pid)
	if err != nil {
		return m, err
	}
	m, err = parseRedisBenchmark(string(out))
	m.cpu = float64(after-before) / float64(n)
	return m, err
}

// parseRedisBenchmark reads the only line of figures of redis-benchmark --csv.
func parseRedisBenchmark(out string) (replied, error) {
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 {
		return replied{}, fmt.Errorf("redis-benchmark printed %q, which is not a heading and a line of figures: %w", out, err)
	}
	var m replied
	for i, heading := range rows[0] {
		var to *float64
		unit := float64(time.Millisecond)
		switch heading {
		case "rps":
			to, unit = &m.rate, 1
		case "p50_latency_ms":
			to = &m.p50
		case "p99_latency_ms":
			to = &m.p99
		default:
			continue
		}
		v, err := strconv.ParseFloat(rows[1][i], 64)
		if err != nil {
			return m, fmt.Errorf("redis-benchmark printed %q as %s: %w", rows[1][i], heading, err)
		}
		*to = v * unit
	}
	if m.rate == 0 {
		return m, fmt.Errorf("redis-benchmark printed no rate in %q", out)
	}
	return m, nil
}

func (r *respRun) add(t *table, test string, pipeline int, got map[string][]replied) {
	rate := func(m replied) float64 { return m.rate }
	cpu := func(m replied) float64 { return m.cpu }
	first := got[r.peers[0]]
	for _, name := range r.peers {
		all := got[name]
		t.add(test, pipeline, name, fmt.Sprintf("%.0f", median(column(all, rate))),
			fmt.Sprintf("%.0f %%", median(column(all, replied.busy))),
			time.Duration(median(column(all, cpu))),
			time.Duration(median(column(all, func(m replied) float64 { return m.p50 }))),
			time.Duration(median(column(all, func(m replied) float64 { return m.p99 }))),
			ratio(column(first, rate), column(all, rate)), ratio(column(all, cpu), column(first, cpu)))
	}
}
