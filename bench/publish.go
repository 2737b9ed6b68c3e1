package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// publishRun is what runPublish is asked for.
type publishRun struct {
	settings
	shapes shapes
	size   int
}

// A shape is how many publishers have how many events each under way, which are acknowledged together.
type shape struct{ publishers, batch int }

func (s shape) String() string { return fmt.Sprintf("%dx%d", s.publishers, s.batch) }

// shapes is a flag of shapes, separated by commas.
type shapes []shape

func (s *shapes) String() string {
	words := make([]string, len(*s))
	for i, one := range *s {
		words[i] = one.String()
	}
	return strings.Join(words, ",")
}

// Set replaces the list.
func (s *shapes) Set(text string) error {
	var all shapes
	for word := range strings.SplitSeq(text, ",") {
		publishers, batch, ok := strings.Cut(word, "x")
		p, err1 := strconv.Atoi(publishers)
		b, err2 := strconv.Atoi(batch)
		if !ok || err1 != nil || err2 != nil || p < 1 || b < 1 {
			return fmt.Errorf("%q is not PUBLISHERSxBATCH, such as 256x1", word)
		}
		all = append(all, shape{p, b})
	}
	*s = all
	return nil
}

func runPublish(ctx context.Context, args []string) error {
	r := publishRun{shapes: shapes{{256, 1}, {16, 1}, {1, 100}, {1, 1000}, {4, 1000}}}
	f := newDurableFlags("publish", &r.settings, "durable", "nats", "nats-atomic")
	f.Var(&r.shapes, "shapes", "PUBLISHERSxBATCH, separated by commas: each publisher waits for the acknowledgement of its batch")
	f.IntVar(&r.size, "size", 128, "bytes of data of an event")
	if err := f.Parse(args); err != nil {
		return err
	}
	return r.withDisk(ctx, func(d *disk) error {
		var t table
		t.add("publishers x batch", "peer", "events/s", r.peers[0]+" ÷ it", "CPU per event", "events per fsync", "p50", "p99", "CPUs of others")
		var seen []latency
		for _, s := range r.shapes {
			got, err := inTurns(&r.settings, func(name string, round int) (worked, error) {
				l, err := d.fsync()
				if err != nil {
					return worked{}, err
				}
				seen = append(seen, l)
				return r.measure(ctx, d, s, name, round)
			})
			if err != nil {
				return err
			}
			r.add(&t, s, got)
		}
		fmt.Printf("\npublishing events of %d B, acknowledged after the fsync, in one process with the load: medians of %d rounds of %v\n%s\n\n%s",
			r.size, r.rounds, r.duration(), d.describe(seen), &t)
		return nil
	})
}

func (r *publishRun) measure(ctx context.Context, d *disk, s shape, name string, round int) (m worked, err error) {
	if s.batch > 1000 && name == "nats-atomic" || s.batch == 1 && name == "nats-atomic" {
		return m, nil // it takes at most so many, and one is what "nats" does
	}
	program, atomic := strings.CutSuffix(name, "-atomic")
	dir, remove := d.fresh(fmt.Sprintf("%s-%s-%d", name, s, round))
	defer remove()
	argv := []string{
		"-dir", dir, "-publishers", fmt.Sprint(s.publishers), "-batch", fmt.Sprint(s.batch), "-size", fmt.Sprint(r.size),
		"-warmup", r.warm().String(), "-duration", r.duration().String(),
	}
	if atomic {
		argv = append(argv, "-work", "atomic")
	}
	m, err = r.worker(ctx, program, fmt.Sprintf("publish-%s-%s-%d", name, s, round), argv...)
	if err == nil {
		r.note("%-12s %-8s %.0f/s, %v CPU per event, %.1f CPUs of others", name, s, m.rate(), time.Duration(m.cpu()), m.Others)
	}
	return m, err
}

func (r *publishRun) add(t *table, s shape, got map[string][]worked) {
	first := got[r.peers[0]]
	for _, name := range r.peers {
		all := got[name]
		if all[0].Events == 0 {
			continue
		}
		groups := "-"
		if all[0].Groups > 0 {
			groups = fmt.Sprintf("%.0f", median(column(all, worked.perGroup)))
		}
		t.add(s, name, fmt.Sprintf("%.0f", median(column(all, worked.rate))), ratio(column(first, worked.rate), column(all, worked.rate)),
			time.Duration(median(column(all, worked.cpu))), groups,
			time.Duration(median(column(all, worked.p50))), time.Duration(median(column(all, worked.p99))),
			median(column(all, worked.others)))
	}
}
