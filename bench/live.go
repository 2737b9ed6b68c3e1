package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// liveRun is what runLive is asked for.
type liveRun struct {
	settings
	rate float64
	size int
	ways list
}

// A delivered is one measurement.
type delivered struct {
	delivery, ack           load.Histogram
	rate, cpu, others, late float64
}

// ways are how an event is published and received.
func ways() map[string]way {
	return map[string]way{
		"publish": {send: publishCommand, subscribe: subscribe},
		"xadd":    {send: xaddCommand, subscribe: xread},
	}
}

// A way is a pair of commands.
type way struct {
	send      func(b []byte, number int, due time.Duration, size int) []byte
	subscribe func(c *client) (next func() ([]byte, error), err error)
}

func publishCommand(b []byte, _ int, due time.Duration, size int) []byte {
	b = fmt.Appendf(b, "*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%d\r\n", len(keyName(0)), keyName(0), size)
	return append(appendMarked(b, due, size), "\r\n"...)
}

// xaddCommand gives the entry its number as its ID, so that the reader knows where it is.
func xaddCommand(b []byte, number int, due time.Duration, size int) []byte {
	id := fmt.Sprintf("%d-1", number+1)
	b = fmt.Appendf(b, "*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n$5\r\nfield\r\n$%d\r\n", len(keyName(0)), keyName(0), len(id), id, size)
	return append(appendMarked(b, due, size), "\r\n"...)
}

func subscribe(c *client) (func() ([]byte, error), error) {
	_, err := c.ask("SUBSCRIBE", keyName(0))
	return c.next, err
}

// xread reads on from the number of entries that it has seen.
func xread(c *client) (func() ([]byte, error), error) {
	seen := 0
	return func() ([]byte, error) {
		reply, err := c.ask("XREAD", "BLOCK", "0", "STREAMS", keyName(0), fmt.Sprintf("%d-1", seen))
		seen += strings.Count(string(reply), mark)
		return reply, err
	}, nil
}

func runLive(ctx context.Context, args []string) error {
	r := liveRun{ways: list{"publish", "xadd"}}
	f := newDurableFlags("live", &r.settings, "spate-durable", "redis-durable")
	f.Float64Var(&r.rate, "rate", 10_000, "events per second, open loop, on one connection")
	f.IntVar(&r.size, "size", 128, "bytes of data of an event")
	f.Var(&r.ways, "ways", "publish (PUBLISH to SUBSCRIBE, Spate only) and xadd (XADD to XREAD BLOCK), separated by commas")
	if err := f.Parse(args); err != nil {
		return err
	}
	for _, name := range r.ways {
		if _, ok := ways()[name]; !ok {
			return fmt.Errorf("no way is called %q; there are publish, xadd", name)
		}
	}
	return r.withDisk(ctx, func(d *disk) error {
		var t table
		t.add("way", "peer", "p50", "p99", "p50 of the acknowledgement", "p99", "CPU per event", "sent late", "CPUs of others")
		var seen []latency
		for _, name := range r.ways {
			got, err := inTurns(&r.settings, func(peer string, round int) (delivered, error) {
				l, err := d.fsync()
				if err != nil {
					return delivered{}, err
				}
				seen = append(seen, l)
				return r.measure(ctx, d, name, peer, round)
			})
			if err != nil {
				return err
			}
			r.add(&t, name, got)
		}
		fmt.Printf("\nfrom when publishing was due to the delivery on another connection, %.0f events/s of %d B, fsynced: medians of %d rounds of %v\n%s\n\n%s",
			r.rate, r.size, r.rounds, r.duration(), d.describe(seen), &t)
		return nil
	})
}

// measure starts a server and publishes.
func (r *liveRun) measure(ctx context.Context, d *disk, name, peer string, round int) (m delivered, err error) {
	if name == "publish" && strings.HasPrefix(peer, "redis") {
		return m, nil // it does not store what is published
	}
	dir, remove := d.fresh(fmt.Sprintf("live-%s-%s-%d", name, peer, round))
	defer remove()
	s, err := peers()[peer].start(ctx, serverOptions{cpu: r.serverCPU, dir: dir, keys: 1})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	l := &stampede{way: ways()[name], size: r.size, interval: time.Duration(float64(time.Second) / r.rate), warm: r.warm(), d: r.duration()}
	before, err := load.CPUTime(s.pid)
	if err != nil {
		return m, err
	}
	busy := newBusyMeter(before)
	if m, err = l.run(s.address); err != nil {
		return m, err
	}
	after, err := load.CPUTime(s.pid)
	m.others = busy.others(after)
	m.cpu = float64(after-before) / float64(l.total())
	r.note("%-8s %-14s p50 %v, p99 %v; acknowledged %v, %v; %.0f late, %.1f CPUs of others", name, peer, load.Round(m.delivery.Quantile(0.5)),
		load.Round(m.delivery.Quantile(0.99)), load.Round(m.ack.Quantile(0.5)), load.Round(m.ack.Quantile(0.99)), m.late, m.others)
	return m, err
}

func (r *liveRun) add(t *table, name string, got map[string][]delivered) {
	quantile := func(q float64, of func(*delivered) *load.Histogram) func(delivered) float64 {
		return func(m delivered) float64 { return float64(of(&m).Quantile(q)) }
	}
	delivery := func(m *delivered) *load.Histogram { return &m.delivery }
	ack := func(m *delivered) *load.Histogram { return &m.ack }
	for _, peer := range r.peers {
		all := got[peer]
		if all[0].delivery.Count() == 0 {
			continue
		}
		at := func(f func(delivered) float64) time.Duration { return time.Duration(median(column(all, f))) }
		t.add(name, peer, at(quantile(0.5, delivery)), at(quantile(0.99, delivery)), at(quantile(0.5, ack)), at(quantile(0.99, ack)),
			at(func(m delivered) float64 { return m.cpu }), fmt.Sprintf("%.0f", median(column(all, func(m delivered) float64 { return m.late }))),
			median(column(all, func(m delivered) float64 { return m.others })))
	}
}

// A stampede publishes at fixed times, whatever the server does.
type stampede struct {
	way      way
	size     int
	interval time.Duration
	warm, d  time.Duration
	began    time.Time
}

// total is how many events are published, and warmed how many of them are not measured.
func (l *stampede) total() int  { return int((l.warm + l.d) / l.interval) }
func (l *stampede) warmed() int { return int(l.warm / l.interval) }

// patience bounds the wait for what is under way at the end.
const patience = 30 * time.Second

func (l *stampede) run(address string) (m delivered, err error) {
	publisher, err := dial(address)
	if err != nil {
		return m, err
	}
	defer publisher.close()
	subscriber, err := dial(address)
	if err != nil {
		return m, err
	}
	defer subscriber.close()
	next, err := l.way.subscribe(subscriber)
	if err != nil {
		return m, err
	}
	l.began = time.Now()
	deadline := l.began.Add(l.warm + l.d + patience)
	if err := errors.Join(publisher.conn.SetDeadline(deadline), subscriber.conn.SetDeadline(deadline)); err != nil {
		return m, err
	}
	ended := make(chan error, 3)
	go func() { ended <- l.publish(publisher, &m.late) }()
	go func() { ended <- l.acknowledged(publisher, &m.ack) }()
	go func() { ended <- l.receive(next, &m.delivery) }()
	for range cap(ended) {
		if e := <-ended; e != nil {
			if errors.Is(e, os.ErrDeadlineExceeded) {
				e = fmt.Errorf("something was not acknowledged or delivered within %v after the end: %w", patience, e)
			}
			err = errors.Join(err, e)
			publisher.close()
			subscriber.close()
		}
	}
	return m, err
}

// publish sends what is due. What it sends late by its own fault counts as the server's, and is counted.
func (l *stampede) publish(c *client, late *float64) error {
	const tolerance = time.Millisecond
	var b []byte
	for sent := 0; sent < l.total(); {
		now := time.Since(l.began)
		b = b[:0]
		for ; sent < l.total() && time.Duration(sent)*l.interval <= now; sent++ {
			due := time.Duration(sent) * l.interval
			if sent >= l.warmed() && now-due > tolerance {
				*late++
			}
			b = l.way.send(b, sent, due, l.size)
		}
		if len(b) > 0 {
			if _, err := c.conn.Write(b); err != nil {
				return err
			}
			continue
		}
		nap(time.Duration(sent)*l.interval - now)
	}
	return nil
}

// acknowledged reads the replies, which come in order.
func (l *stampede) acknowledged(c *client, h *load.Histogram) error {
	for i := range l.total() {
		if _, err := c.next(); err != nil {
			return fmt.Errorf("acknowledgement %d: %w", i, err)
		}
		if i >= l.warmed() {
			h.Record(time.Since(l.began) - time.Duration(i)*l.interval)
		}
	}
	return nil
}

// receive reads what is delivered, each once and in order.
func (l *stampede) receive(next func() ([]byte, error), h *load.Histogram) error {
	for i := 0; i < l.total(); {
		reply, err := next()
		if err != nil {
			return fmt.Errorf("delivery %d: %w", i, err)
		}
		now, wrong := time.Since(l.began), false
		err = marks(reply, func(due time.Duration) {
			wrong = wrong || due != time.Duration(i)*l.interval
			if i >= l.warmed() {
				h.Record(now - due)
			}
			i++
		})
		if err != nil || wrong {
			return errors.Join(err, fmt.Errorf("at delivery %d something came twice, or not in order, or not at all", i))
		}
	}
	return nil
}
