package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// runMQTTDurable publishes at QoS 1 while a session that is offline, or a stream, is there for what is published.
func runMQTTDurable(ctx context.Context, args []string) error {
	var r mqttRun
	f := newMQTTFlags("mqtt-durable", &r)
	r.flowFlags(f, 100, 0, 16, numbers{20}, 1)
	kept := list{"session", "stream"}
	f.Var(&kept, "for", "what stores it, separated by commas: session, which is offline; stream, Spate only")
	return r.run(ctx, f, args, func(layout string, d *disk) error {
		var t table
		var seen []latency
		t.add("stored for a", "QoS", "under way", "peer", "acknowledged/s", r.peers[0]+" ÷ it", "CPU per message", "server busy", "to the acknowledgement: p50", "p99", "not acknowledged", "CPUs of others")
		for _, what := range kept {
			err := r.flow(func(o load.MQTTOptions, name string, round int) (mqttMeasured, error) {
				l, err := d.fsync()
				if err != nil || what == "stream" && name == "mosquitto" {
					return mqttMeasured{}, err // it has none
				}
				seen = append(seen, l)
				if what == "session" {
					o.Offline = 1
				}
				return r.fresh(ctx, d, what, name, round, mqttServer{stores: true, captures: what == "stream"}, o)
			}, func(o load.MQTTOptions, got map[string][]mqttMeasured) { r.addDurable(&t, what, o, got) })
			if err != nil {
				return err
			}
		}
		r.heading(layout, "%d publishers, %d B; mosquitto keeps it in memory and acknowledges before it is written", r.o.Publishers, r.o.Size)
		fmt.Printf("%s\n\n%s", d.describe(seen), &t)
		return nil
	})
}

func (r *mqttRun) addDurable(t *table, what string, o load.MQTTOptions, got map[string][]mqttMeasured) {
	first := column(got[r.peers[0]], mqttMeasured.acked)
	cpu := func(m mqttMeasured) float64 { return float64(m.CPUPerMessage()) }
	for _, name := range r.peers {
		all := got[name]
		if all[0].Sent == 0 {
			continue
		}
		acked := column(all, mqttMeasured.acked)
		t.add(what, o.QoS, o.Inflight, name, whole(median(acked)), ratio(first, acked), time.Duration(median(column(all, cpu))), whole(median(column(all, mqttMeasured.busy)))+" %",
			time.Duration(median(column(all, mqttMeasured.ack50))), time.Duration(median(column(all, mqttMeasured.ack99))), lost(all), median(column(all, mqttMeasured.others)))
	}
}

// runMQTTIdle measures the memory of sessions with one subscription each.
func runMQTTIdle(ctx context.Context, args []string) error {
	var r mqttRun
	f := newMQTTFlags("mqtt-idle", &r)
	r.layouts = list{"one"} // it is memory that is measured
	f.IntVar(&r.o.Connections, "conns", 10_000, "connections, each with one subscription")
	f.DurationVar(&r.o.Settle, "settle", 8*time.Second, "how long to wait before looking at the memory")
	f.BoolVar(&r.o.Durable, "durable", false, "sessions that outlive their connections")
	web := f.Bool("ws", false, "over WebSockets")
	return r.run(ctx, f, args, func(layout string, d *disk) error {
		perSession := func(m mqttMeasured) float64 { return m.Memory.PerSession(r.o.Connections) }
		got, err := inTurns(&r.settings, func(name string, round int) (m mqttMeasured, err error) {
			s, stop, err := r.start(ctx, d, name, round, mqttServer{webSockets: *web})
			if err != nil {
				return m, err
			}
			defer func() { err = errors.Join(err, stop()) }()
			o := r.o
			if *web {
				o.URL = "ws://" + s.web + "/mqtt"
			}
			m, err = r.load(ctx, s, name, o)
			r.note("%-12s %8d KiB before, %8d KiB with %d connections: %.0f B each", name, m.Memory.Before>>10, m.Memory.Connected>>10, o.Connections, perSession(m))
			return m, err
		})
		if err != nil {
			return err
		}
		how := "TCP"
		if *web {
			how = "WebSocket"
		}
		var t table
		t.add("peer", "bytes of resident memory per session", r.peers[0]+" ÷ it")
		first := column(got[r.peers[0]], perSession)
		for _, name := range r.peers {
			all := column(got[name], perSession)
			t.add(name, whole(median(all)), ratio(first, all))
		}
		r.heading(layout, "%d idle sessions with one subscription each, over %s", r.o.Connections, how)
		fmt.Print(&t)
		return nil
	})
}

// runMQTTStorm lets all clients come back at once.
func runMQTTStorm(ctx context.Context, args []string) error {
	r := mqttRun{o: load.MQTTOptions{Publishers: 1, Subscribers: 1, Inflight: 1000}} // so many that what waits is due all the same
	f := newMQTTFlags("mqtt-storm", &r)
	f.IntVar(&r.o.Connections, "conns", 10_000, "connections that are dropped, each with one subscription")
	f.Float64Var(&r.o.Rate, "rate", 1000, "messages per second between two that stay connected")
	f.BoolVar(&r.o.Durable, "durable", false, "sessions that outlive their connections")
	f.DurationVar(&r.o.Away, "away", 0, "how long the dropped are away before they come back; what their dropping costs is then not measured")
	restart := f.Bool("restart", false, "kill the server and start it again, in place of dropping the connections")
	return r.run(ctx, f, args, func(layout string, d *disk) error {
		got, err := inTurns(&r.settings, func(name string, round int) (mqttMeasured, error) { return r.endure(ctx, d, name, round, *restart) })
		if err != nil {
			return err
		}
		during := func(m mqttMeasured) float64 { return float64(m.Storm.Latency.Quantile(0.99)) }
		at := func(all []mqttMeasured, f func(mqttMeasured) float64) time.Duration {
			return time.Duration(median(column(all, f)))
		}
		var t table
		t.add("peer", "all back after", "p50", "attempts refused", "p99 of those that stayed: before", "during", "during ÷ before", "late by the load")
		for _, name := range r.peers {
			all := got[name]
			t.add(name, at(all, func(m mqttMeasured) float64 { return float64(m.Storm.All) }),
				at(all, func(m mqttMeasured) float64 { return float64(m.Storm.Back.Quantile(0.5)) }),
				whole(median(column(all, func(m mqttMeasured) float64 { return float64(m.Storm.Retries) }))),
				at(all, mqttMeasured.p99), at(all, during), ratio(column(all, during), column(all, mqttMeasured.p99)),
				whole(median(column(all, func(m mqttMeasured) float64 { return float64(m.Late) }))))
		}
		r.heading(layout, "%d clients come back at once, while one publishes %.0f messages/s to another", r.o.Connections, r.o.Rate)
		fmt.Print(&t)
		return nil
	})
}

// endure measures one storm.
func (r *mqttRun) endure(ctx context.Context, d *disk, name string, round int, restart bool) (m mqttMeasured, err error) {
	how := mqttServer{stores: r.o.Durable}
	s, stop, err := r.start(ctx, d, name, round, how)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	o := r.o
	o.Storm = !restart
	if restart {
		o.Restart = func() error {
			s.kill()
			how.again = s
			again, _, err := r.start(ctx, d, name, round, how)
			if err == nil {
				*s = *again
			}
			return err
		}
	}
	m, err = r.load(ctx, s, fmt.Sprintf("%s-storm-%d", name, round), o)
	r.note("%-12s all back after %v, %d refused; p99 %v before and %v during", name, load.Round(m.Storm.All), m.Storm.Retries,
		load.Round(m.Latency.Quantile(0.99)), load.Round(m.Storm.Latency.Quantile(0.99)))
	return m, err
}

// A slowed is one measurement without and one with subscribers that do not read.
type slowed struct{ without, with mqttMeasured }

// perReader returns the rate of deliveries to each subscriber that reads.
func perReader(m mqttMeasured, readers int) float64 { return m.out() / float64(max(readers, 1)) }

// runMQTTSlow lets one subscriber of many stop reading.
func runMQTTSlow(ctx context.Context, args []string) error {
	var r mqttRun
	f := newMQTTFlags("mqtt-slow", &r)
	r.flowFlags(f, 1, 100, 4096, numbers{20}, 0, 1) // more than the kernel buffers within seconds
	stalled := f.Int("stalled", 1, "subscribers that stop reading")
	r.o.Topic = "bench/all"
	return r.run(ctx, f, args, func(layout string, d *disk) error {
		var t table
		t.add("QoS", "under way", "peer", "out/s per subscriber that reads: without", "with", "with ÷ without", "server's memory without", "with", "the server closed", "lost")
		for _, qos := range r.levels {
			for _, inflight := range r.inflights {
				o := r.o
				o.QoS, o.Inflight = qos, inflight
				got, err := inTurns(&r.settings, func(name string, round int) (m slowed, err error) {
					if m.without, err = r.fresh(ctx, d, "all", name, round, mqttServer{}, o); err != nil {
						return m, err
					}
					slow := o
					slow.Stalled = *stalled
					m.with, err = r.fresh(ctx, d, "slow", name, round, mqttServer{}, slow)
					return m, err
				})
				if err != nil {
					return err
				}
				r.addSlow(&t, o, *stalled, got)
			}
		}
		r.heading(layout, "%d publisher(s) to %d subscribers, %d B; %d of them stop reading", r.o.Publishers, r.o.Subscribers, r.o.Size, *stalled)
		fmt.Print(&t)
		return nil
	})
}

func (r *mqttRun) addSlow(t *table, o load.MQTTOptions, stalled int, got map[string][]slowed) {
	without := func(s slowed) float64 { return perReader(s.without, o.Subscribers) }
	with := func(s slowed) float64 { return perReader(s.with, o.Subscribers-stalled) }
	mib := func(all []slowed, f func(slowed) int64) string {
		return fmt.Sprintf("%.1f MiB", median(column(all, func(s slowed) float64 { return float64(f(s)) }))/(1<<20))
	}
	for _, name := range r.peers {
		all := got[name]
		missing := uint64(0)
		for _, s := range all {
			missing += lost([]mqttMeasured{s.without, s.with})
		}
		t.add(o.QoS, o.Inflight, name, whole(median(column(all, without))), whole(median(column(all, with))), ratio(column(all, with), column(all, without)),
			mib(all, func(s slowed) int64 { return s.without.Memory.After }), mib(all, func(s slowed) int64 { return s.with.Memory.After }),
			whole(median(column(all, func(s slowed) float64 { return float64(s.with.StalledClosed) }))), missing)
	}
}
