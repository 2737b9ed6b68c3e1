package main

import (
	"context"
	"fmt"
	"time"
)

// handleRun is what runHandle is asked for.
type handleRun struct {
	settings
	events, size, keys int
	partitions         numbers
	codecs             list
}

func runHandle(ctx context.Context, args []string) error {
	r := handleRun{partitions: numbers{1, 8}, codecs: list{"json", "raw"}}
	f := newDurableFlags("handle", &r.settings, "durable")
	f.IntVar(&r.events, "events", 1_000_000, "events that are handled")
	f.IntVar(&r.size, "size", 128, "bytes of data of an event with the codec raw")
	f.IntVar(&r.keys, "keys", 1000, "different keys")
	f.Var(&r.partitions, "partitions", "partitions of both streams, separated by commas")
	f.Var(&r.codecs, "codecs", "codecs of the handler, separated by commas: json, raw")
	if err := f.Parse(args); err != nil {
		return err
	}
	return r.withDisk(ctx, func(d *disk) error {
		var t table
		t.add("partitions", "codec", "events/s", "CPU per event", "events per fsync", "CPUs of others")
		var seen []latency
		for _, codec := range r.codecs {
			for _, partitions := range r.partitions {
				got, err := inTurns(&r.settings, func(name string, round int) (worked, error) {
					l, err := d.fsync()
					if err != nil {
						return worked{}, err
					}
					seen = append(seen, l)
					return r.measure(ctx, d, codec, partitions, round)
				})
				if err != nil {
					return err
				}
				all := got[r.peers[0]]
				t.add(partitions, codec, fmt.Sprintf("%.0f", median(column(all, worked.rate))), time.Duration(median(column(all, worked.cpu))),
					fmt.Sprintf("%.0f", median(column(all, worked.perGroup))), median(column(all, worked.others)))
			}
		}
		fmt.Printf("\nstream -> typed handler -> stream, exactly once, %d events of about %d B, %d keys: medians of %d rounds\n%s\n\n%s",
			r.events, r.size, r.keys, r.rounds, d.describe(seen), &t)
		return nil
	})
}

// measure stores what is to be handled, and has it handled, in a process of its own.
func (r *handleRun) measure(ctx context.Context, d *disk, codec string, partitions, round int) (worked, error) {
	name := fmt.Sprintf("handle-%s-%d-%d", codec, partitions, round)
	dir, remove := d.fresh(name)
	defer remove()
	m, err := r.worker(ctx, "durable", name, "-work", "handle", "-dir", dir, "-events", fmt.Sprint(r.events), "-size", fmt.Sprint(r.size),
		"-keys", fmt.Sprint(r.keys), "-partitions", fmt.Sprint(partitions), "-codec", codec)
	if err == nil {
		r.note("%d partitions, %-4s %.0f/s, %v CPU per event, %.1f CPUs of others", partitions, codec, m.rate(), time.Duration(m.cpu()), m.Others)
	}
	return m, err
}
