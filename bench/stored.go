package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// storedRun is what runStored is asked for.
type storedRun struct {
	settings
	events, size, keys int
	settle             float64
}

// A kept is one measurement.
type kept struct {
	fill             float64 // events per second that were stored
	filled           float64 // resident memory of the server that has stored them
	ping, read, add  float64 // from the start after a kill -9 to the answer of PING, XLEN of all keys, XADD
	resident, others float64 // memory of the server that was started again
}

func runStored(ctx context.Context, args []string) error {
	var r storedRun
	f := newDurableFlags("stored", &r.settings, "spate-durable", "redis-durable")
	f.IntVar(&r.events, "events", 10_000_000, "events that are stored")
	f.IntVar(&r.size, "size", 128, "bytes of data of an event")
	f.IntVar(&r.keys, "keys", 8, "different keys, each with a connection that fills it")
	f.Float64Var(&r.settle, "settle", 8, "seconds to wait before looking at the memory")
	if err := f.Parse(args); err != nil {
		return err
	}
	return r.withDisk(ctx, func(d *disk) error {
		got, err := inTurns(&r.settings, func(name string, round int) (kept, error) { return r.measure(ctx, d, name, round) })
		if err != nil {
			return err
		}
		fmt.Printf("\n%d events of %d B stored by XADD to %d keys, nobody reads; then kill -9 and a start: medians of %d rounds, on %s\n\n",
			r.events, r.size, r.keys, r.rounds, d.kind)
		var t table
		t.add("peer", "XADD/s", "RSS", "start to PING", "to XLEN of all keys", "to XADD", "RSS after the start", "CPUs of others")
		for _, name := range r.peers {
			at := func(f func(kept) float64) float64 { return median(column(got[name], f)) }
			duration := func(f func(kept) float64) time.Duration { return time.Duration(at(f)) }
			t.add(name, fmt.Sprintf("%.0f", at(func(m kept) float64 { return m.fill })), megabytes(at(func(m kept) float64 { return m.filled })),
				duration(func(m kept) float64 { return m.ping }), duration(func(m kept) float64 { return m.read }),
				duration(func(m kept) float64 { return m.add }), megabytes(at(func(m kept) float64 { return m.resident })),
				at(func(m kept) float64 { return m.others }))
		}
		fmt.Print(&t)
		return nil
	})
}

func megabytes(n float64) string { return fmt.Sprintf("%.0f MB", n/1e6) }

func (r *storedRun) measure(ctx context.Context, d *disk, name string, round int) (m kept, err error) {
	dir, remove := d.fresh(fmt.Sprintf("stored-%s-%d", name, round))
	defer remove()
	o := serverOptions{cpu: r.serverCPU, dir: dir, keys: r.keys}
	s, err := peers()[name].start(ctx, o)
	if err != nil {
		return m, err
	}
	began := time.Now()
	err = r.fill(s.address)
	m.fill = float64(r.events) / time.Since(began).Seconds()
	if err == nil {
		m.filled, err = r.memory(ctx, s)
	}
	s.kill()
	if err != nil {
		return m, err
	}
	r.note("%-14s %.0f/s stored, RSS %s", name, m.fill, megabytes(m.filled))
	if err := r.restart(ctx, name, o, &m); err != nil {
		return m, err
	}
	r.note("%-14s start to PING %v, XLEN %v, XADD %v; RSS %s; %.1f CPUs of others", name, load.Round(time.Duration(m.ping)),
		load.Round(time.Duration(m.read)), load.Round(time.Duration(m.add)), megabytes(m.resident), m.others)
	return m, nil
}

// memory is what a server has in memory after a rest.
func (r *storedRun) memory(ctx context.Context, s *server) (float64, error) {
	select {
	case <-time.After(seconds(r.settle)):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n, err := load.Resident(s.pid)
	return float64(n), err
}

// together is how many entries a connection sends at once.
const together = 64

// fill stores the events, with one connection for each key.
func (r *storedRun) fill(address string) error {
	ended := make(chan error, r.keys)
	for i := range r.keys {
		n := r.events / r.keys
		if i < r.events%r.keys {
			n++
		}
		go func() { ended <- r.fillKey(address, keyName(i), n) }()
	}
	var err error
	for range r.keys {
		err = errors.Join(err, <-ended)
	}
	return err
}

// fillKey stores n entries, of which one half is text, and the other does not compress.
func (r *storedRun) fillKey(address, key string, n int) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.close()
	command := load.AppendCommand(nil, "XADD", key, "*", "field", strings.Repeat("x", r.size))
	random := command[len(command)-len("\r\n")-r.size/2 : len(command)-len("\r\n")]
	source := rand.New(rand.NewPCG(uint64(n), uint64(len(key))))
	var b []byte
	for sent := 0; sent < n; {
		b = b[:0]
		batch := min(together, n-sent)
		for range batch {
			for i := range random {
				random[i] = byte(source.Uint32())
			}
			b = append(b, command...)
		}
		if _, err := c.conn.Write(b); err != nil {
			return err
		}
		for range batch {
			if _, err := c.next(); err != nil {
				return err
			}
		}
		sent += batch
	}
	return nil
}

// restart starts the server again on what the one that was killed has left.
func (r *storedRun) restart(ctx context.Context, name string, o serverOptions, m *kept) (err error) {
	busy, began := newBusyMeter(0), time.Now()
	s, err := relaunch(ctx, name, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := untilPing(ctx, s.address); err != nil {
		return err
	}
	m.ping = float64(time.Since(began))
	n, err := length(s.address, r.keys)
	if err != nil || n != r.events {
		return fmt.Errorf("%d events were acknowledged, and %d are there after a kill -9: %w", r.events, n, err)
	}
	m.read = float64(time.Since(began))
	c, err := dial(s.address)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.ask("XADD", keyName(0), "*", "field", "value"); err != nil {
		return err
	}
	m.add = float64(time.Since(began))
	cpu, err := load.CPUTime(s.pid)
	if err != nil {
		return err
	}
	m.others = busy.others(cpu)
	m.resident, err = r.memory(ctx, s)
	return err
}

// relaunch starts a server without waiting for anything.
func relaunch(ctx context.Context, name string, o serverOptions) (*server, error) {
	args := spateArgs
	if name == "redis-durable" {
		args = redisArgs
	}
	address, argv, err := args(o)
	if err != nil {
		return nil, err
	}
	s, err := launch(ctx, o.cpu, argv)
	if err != nil {
		return nil, err
	}
	s.address = address
	return s, nil
}

// untilPing asks until there is an answer.
func untilPing(ctx context.Context, address string) error {
	err := errors.New("not asked yet")
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); nap(time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var c *client
		if c, err = dial(address); err != nil {
			continue
		}
		_, err = c.ask("PING") // Redis answers with an error while it loads
		c.close()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("no answer to PING: %w", err)
}
