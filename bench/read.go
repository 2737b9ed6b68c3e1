package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// readRun is what runRead is asked for.
type readRun struct {
	settings
	events, size, partitions int
}

// A readBack is what one round of reading gave: after a start with nothing cached, and again.
type readBack struct {
	cold, warm  worked
	bare, bytes float64 // how fast the same files are read by nobody in particular, in bytes per second, and how large they are
}

func runRead(ctx context.Context, args []string) error {
	var r readRun
	f := newDurableFlags("read", &r.settings, "durable")
	f.IntVar(&r.events, "events", 10_000_000, "events that are stored and read")
	f.IntVar(&r.size, "size", 128, "bytes of data of an event")
	f.IntVar(&r.partitions, "partitions", 8, "partitions of the stream")
	if err := f.Parse(args); err != nil {
		return err
	}
	return r.withDisk(ctx, func(d *disk) error {
		dir, remove := d.fresh("data")
		defer remove()
		if _, err := r.work(ctx, "fill", dir, ""); err != nil {
			return err
		}
		why := forget()
		got, err := inTurns(&r.settings, func(name string, round int) (readBack, error) { return r.measure(ctx, dir, round) })
		if err != nil {
			return err
		}
		r.print(got[r.peers[0]], why)
		return nil
	})
}

// work runs the program on the directory.
func (r *readRun) work(ctx context.Context, what, dir, profile string) (worked, error) {
	return r.worker(ctx, "durable", profile, "-work", what, "-dir", dir, "-events", fmt.Sprint(r.events), "-size", fmt.Sprint(r.size),
		"-partitions", fmt.Sprint(r.partitions))
}

// measure reads twice, each time in a process of its own.
func (r *readRun) measure(ctx context.Context, dir string, round int) (m readBack, err error) {
	_ = forget() // whether that works is known
	if m.bytes, m.bare, err = readFiles(dir); err != nil {
		return m, err
	}
	_ = forget()
	if m.cold, err = r.work(ctx, "read", dir, fmt.Sprintf("read-cold-%d", round)); err != nil {
		return m, err
	}
	m.warm, err = r.work(ctx, "read", dir, fmt.Sprintf("read-warm-%d", round))
	r.note("cold %.0f/s, warm %.0f/s, %v CPU per event, %.1f CPUs of others", m.cold.rate(), m.warm.rate(), time.Duration(m.warm.cpu()), m.warm.Others)
	return m, err
}

// readFiles reads every file of a directory, and returns how many bytes that were and how many a second.
func readFiles(dir string) (bytes, rate float64, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	began, buffer := time.Now(), make([]byte, 1<<20)
	for _, entry := range files {
		file, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			return 0, 0, err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{file}, buffer)
		if err := errors.Join(err, file.Close()); err != nil {
			return 0, 0, err
		}
		bytes += float64(n)
	}
	return bytes, bytes / time.Since(began).Seconds(), nil
}

func (r *readRun) print(all []readBack, why error) {
	cold := "nothing in the page cache"
	if why != nil {
		cold = fmt.Sprintf("the page cache could not be emptied: %v", why)
	}
	fmt.Printf("\nreading %d events of %d B from %d partitions with one reader: medians of %d rounds\n", r.events, r.size, r.partitions, r.rounds)
	fmt.Printf("the files have %s; reading them one after the other, with the same in the cache as in the first row, gave %s/s\n\n",
		megabytes(median(column(all, func(m readBack) float64 { return m.bytes }))), megabytes(median(column(all, func(m readBack) float64 { return m.bare }))))
	var t table
	t.add("what is cached", "events/s", "CPU per event", "CPUs of others")
	for _, row := range []struct {
		what string
		of   func(readBack) worked
	}{{cold, func(m readBack) worked { return m.cold }}, {"files in the page cache", func(m readBack) worked { return m.warm }}} {
		one := make([]worked, len(all))
		for i, m := range all {
			one[i] = row.of(m)
		}
		t.add(row.what, fmt.Sprintf("%.0f", median(column(one, worked.rate))), time.Duration(median(column(one, worked.cpu))),
			median(column(one, worked.others)))
	}
	fmt.Print(&t)
}
