package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// mqttRun is what the benchmarks with MQTT are asked for.
type mqttRun struct {
	settings
	layouts   list
	levels    levels
	inflights numbers
	o         load.MQTTOptions
}

// levels is a flag of QoS levels, separated by commas.
type levels []int

func (l *levels) String() string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(*l)), ","), "[]")
}

// Set replaces the list.
func (l *levels) Set(text string) error {
	var all levels
	for word := range strings.SplitSeq(text, ",") {
		if len(word) != 1 || word[0] < '0' || word[0] > '2' {
			return fmt.Errorf("%q is not a QoS level: 0, 1 or 2", word)
		}
		all = append(all, int(word[0]-'0'))
	}
	*l = all
	return nil
}

// layoutNames are where servers and load may run.
func layoutNames() []string { return []string{"one", "both"} }

// newMQTTFlags returns the flags that the benchmarks with MQTT share.
func newMQTTFlags(name string, r *mqttRun) *flag.FlagSet {
	r.layouts = layoutNames()
	f := newFlags(name, &r.settings, "spate-mqtt", "mosquitto")
	f.Var(&r.layouts, "layouts", "one: a CPU for the server and another for the load; both: all CPUs for both; or both words, separated by a comma")
	f.IntVar(&r.o.Version, "version", 5, "version of MQTT: 5, or 4 for 3.1.1")
	return f
}

// flowFlags are those of benchmarks that publish.
func (r *mqttRun) flowFlags(f *flag.FlagSet, publishers, subscribers, size int, inflights numbers, qos ...int) {
	r.levels, r.inflights = qos, inflights
	f.IntVar(&r.o.Publishers, "publishers", publishers, "connections that publish")
	f.IntVar(&r.o.Subscribers, "subscribers", subscribers, "connections that are subscribed")
	f.IntVar(&r.o.Size, "size", size, "bytes of a payload")
	f.Var(&r.inflights, "inflight", "messages of a publisher under way at the same time, separated by commas")
	f.Var(&r.levels, "qos", "QoS levels, separated by commas")
}

// run prepares, and calls measure for each layout.
func (r *mqttRun) run(ctx context.Context, f *flag.FlagSet, args []string, measure func(layout string, d *disk) error) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	for _, layout := range r.layouts {
		if !slices.Contains(layoutNames(), layout) {
			return fmt.Errorf("no layout is called %q; there are %s", layout, strings.Join(layoutNames(), ", "))
		}
	}
	server, generator := r.serverCPU, r.loadCPU
	return r.withDisk(ctx, func(d *disk) error {
		if slices.Contains(r.peers, "mosquitto") {
			fmt.Println(mosquittoVersion())
		}
		for _, layout := range r.layouts {
			r.serverCPU, r.loadCPU = server, generator
			if layout == "both" {
				r.serverCPU, r.loadCPU = anyCPU, anyCPU
			}
			if err := pin(r.loadCPU, r.nice); err != nil {
				return err
			}
			if err := measure(layout, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// heading is printed above a table.
func (r *mqttRun) heading(layout, format string, args ...any) {
	where := fmt.Sprintf("server on CPU %d, load on CPU %d", r.serverCPU, r.loadCPU)
	if layout == "both" {
		where = "server and load on all CPUs"
	}
	fmt.Printf("\n%s; %s: medians of %d rounds of %v\n\n", fmt.Sprintf(format, args...), where, r.rounds, r.duration())
}

// An mqttMeasured is one measurement.
type mqttMeasured struct {
	load.MQTTResult
	othersCPUs float64
}

func (m mqttMeasured) in() float64     { return float64(m.Sent) / m.Elapsed.Seconds() }
func (m mqttMeasured) acked() float64  { return float64(m.Acked) / m.Elapsed.Seconds() }
func (m mqttMeasured) out() float64    { return float64(m.Delivered) / m.Elapsed.Seconds() }
func (m mqttMeasured) perCPU() float64 { return m.PerCPUSecond() }
func (m mqttMeasured) busy() float64   { return 100 * m.CPU.Seconds() / m.Elapsed.Seconds() }
func (m mqttMeasured) others() float64 { return m.othersCPUs }
func (m mqttMeasured) p50() float64    { return float64(m.Latency.Quantile(0.5)) }
func (m mqttMeasured) p99() float64    { return float64(m.Latency.Quantile(0.99)) }
func (m mqttMeasured) ack50() float64  { return float64(m.Ack.Quantile(0.5)) }
func (m mqttMeasured) ack99() float64  { return float64(m.Ack.Quantile(0.99)) }

// start starts a server in a directory of its own, which remove takes away when the server has stopped.
func (r *mqttRun) start(ctx context.Context, d *disk, name string, round int, how mqttServer) (s *server, stop func() error, err error) {
	dir, remove := d.fresh(fmt.Sprintf("mqtt-%s-%d", name, round))
	o := serverOptions{cpu: r.serverCPU, dir: dir, mqtt: how}
	if r.profile != "" {
		if o.pprof, err = freeAddress(); err != nil {
			return nil, nil, err
		}
	}
	s, err = peers()[name].start(ctx, o)
	if err != nil {
		remove()
		return nil, nil, err
	}
	return s, func() error { defer remove(); return s.stop() }, nil
}

// load loads a server.
func (r *mqttRun) load(ctx context.Context, s *server, what string, o load.MQTTOptions) (m mqttMeasured, err error) {
	if o.URL == "" {
		o.URL = "mqtt://" + s.address
	}
	o.PID, o.Warmup, o.Duration = s.pid, r.warm(), r.duration()
	before, err := load.CPUTime(s.pid)
	if err != nil {
		return m, err
	}
	busy := newBusyMeter(before)
	recorded, err := r.observe(ctx, s, what, o.Publishers > 0)
	if err != nil {
		return m, err
	}
	got, err := load.MQTT(ctx, o)
	if err := errors.Join(err, recorded()); err != nil {
		return m, err
	}
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	m.MQTTResult = *got
	if o.Restart != nil {
		return m, nil // it is another process now
	}
	after, err := load.CPUTime(s.pid)
	m.othersCPUs = busy.others(after)
	if o.Publishers > 0 {
		r.note("%-28s in %.0f/s, out %.0f/s, %.0f per CPU second, server busy %.0f %%, p99 %v, lost %d, %.2f CPUs of others", what, m.in(), m.out(),
			m.perCPU(), m.busy(), load.Round(time.Duration(m.p99())), m.Lost, m.others())
	}
	return m, err
}

// observe has a server profiled, or recorded by perf, while it is loaded, if that is asked for. The function that it returns waits for the end.
func (r *mqttRun) observe(ctx context.Context, s *server, what string, publishing bool) (wait func() error, err error) {
	pprof, perf := r.profilePaths(what)
	if !publishing {
		return func() error { return nil }, nil
	}
	recorded, err := record(ctx, s.pid, perf, r.warm()+r.duration())
	if err != nil {
		return nil, err
	}
	profiled := profileOver(ctx, s.pprof, pprof, r.warm()+r.duration())
	return func() error { return errors.Join(recorded(), profiled()) }, nil
}

// flow measures publishing at each QoS and with each number of messages under way, in turns.
func (r *mqttRun) flow(measure func(o load.MQTTOptions, name string, round int) (mqttMeasured, error), row func(o load.MQTTOptions, got map[string][]mqttMeasured)) error {
	for _, qos := range r.levels {
		for _, inflight := range r.inflights {
			o := r.o
			o.QoS, o.Inflight = qos, inflight
			got, err := inTurns(&r.settings, func(name string, round int) (mqttMeasured, error) { return measure(o, name, round) })
			if err != nil {
				return err
			}
			row(o, got)
		}
	}
	return nil
}

// fresh starts a server and loads it.
func (r *mqttRun) fresh(ctx context.Context, d *disk, what, name string, round int, how mqttServer, o load.MQTTOptions) (m mqttMeasured, err error) {
	s, stop, err := r.start(ctx, d, name, round, how)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.load(ctx, s, fmt.Sprintf("mqtt-%s-%s-qos%d-%dx%d-%d", what, name, o.QoS, o.Publishers, o.Inflight, round), o)
}

// flowTable measures publishing and prints a table of it.
func (r *mqttRun) flowTable(ctx context.Context, what, layout string, d *disk, format string, args ...any) error {
	var t table
	t.add("QoS", "under way", "peer", "deliveries per CPU second", r.peers[0]+" ÷ it", "in/s", "out/s", "server busy", "to delivery: p50", "p99", "lost", "CPUs of others")
	err := r.flow(func(o load.MQTTOptions, name string, round int) (mqttMeasured, error) {
		return r.fresh(ctx, d, what, name, round, mqttServer{}, o)
	}, func(o load.MQTTOptions, got map[string][]mqttMeasured) {
		first := column(got[r.peers[0]], mqttMeasured.perCPU)
		for _, name := range r.peers {
			all := got[name]
			perCPU := column(all, mqttMeasured.perCPU)
			t.add(o.QoS, o.Inflight, name, whole(median(perCPU)), ratio(first, perCPU), whole(median(column(all, mqttMeasured.in))), whole(median(column(all, mqttMeasured.out))),
				whole(median(column(all, mqttMeasured.busy)))+" %", time.Duration(median(column(all, mqttMeasured.p50))), time.Duration(median(column(all, mqttMeasured.p99))),
				lost(all), median(column(all, mqttMeasured.others)))
		}
	})
	if err != nil {
		return err
	}
	r.heading(layout, format, args...)
	fmt.Print(&t)
	return nil
}

func lost(all []mqttMeasured) (n uint64) {
	for _, m := range all {
		n += m.Lost + m.Unacked + m.Repeated
	}
	return n
}

func whole(f float64) string { return fmt.Sprintf("%.0f", f) }

func runMQTTPairs(ctx context.Context, args []string) error {
	var r mqttRun
	f := newMQTTFlags("mqtt-pairs", &r)
	r.flowFlags(f, 1000, 1000, 16, numbers{1, 20}, 0, 1)
	return r.run(ctx, f, args, func(layout string, d *disk) error {
		return r.flowTable(ctx, "pairs", layout, d, "%d publishers, %d subscribers, each pair with a topic of its own, %d B", r.o.Publishers, r.o.Subscribers, r.o.Size)
	})
}

func runMQTTFanout(ctx context.Context, args []string) error {
	var r mqttRun
	f := newMQTTFlags("mqtt-fanout", &r)
	r.flowFlags(f, 1, 1000, 16, numbers{1, 20}, 0)
	r.o.Topic = "bench/all"
	return r.run(ctx, f, args, func(layout string, d *disk) error {
		return r.flowTable(ctx, "fanout", layout, d, "%d publisher(s) to %d subscribers of one topic, %d B", r.o.Publishers, r.o.Subscribers, r.o.Size)
	})
}
