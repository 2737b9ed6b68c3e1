package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// An image is everything that can be read from a store, in lines of text that can be compared.
type image []string

// imageOf reads a store, with pages as the options say. Revisions and sizes, which stores count differently, are left out.
func imageOf(ctx context.Context, s store.Store, options store.ReadOptions) (image, error) {
	partitions, err := s.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	var lines image
	for _, p := range partitions {
		log, err := imageOfLog(ctx, s, p, options)
		if err != nil {
			return nil, err
		}
		lines = append(lines, log...)
	}
	cursors, err := s.Cursors(ctx, "")
	if err != nil {
		return nil, err
	}
	var places []string
	for id, at := range cursors {
		places = append(places, fmt.Sprintf("cursor %v: %d", id, at))
	}
	lines = append(lines, slices.Sorted(slices.Values(places))...)
	state, err := scanAll(ctx, s, "", 5)
	if err != nil {
		return nil, err
	}
	for _, e := range state {
		lines = append(lines, fmt.Sprintf("key %q: %s", e.Key, short(e.Data)))
	}
	return lines, nil
}

func imageOfLog(ctx context.Context, s store.Store, p store.Partition, options store.ReadOptions) (image, error) {
	b, err := s.Bounds(ctx, p)
	if err != nil {
		return nil, err
	}
	if (b.Bytes == 0) != (b.Count == 0) {
		return nil, fmt.Errorf("%v holds %d records in %d bytes", p, b.Count, b.Bytes)
	}
	records, err := readAll(ctx, s, p, 0, options)
	if err != nil {
		return nil, err
	}
	lines := image{fmt.Sprintf("%v: first %d, next %d, count %d", p, b.First, b.Next, b.Count)}
	for _, r := range records {
		found, err := s.Find(ctx, p, r.Appended)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%v/%d: %s (found at %d) %s", p, r.Offset, r.Appended.UTC().Format(time.RFC3339Nano), found, describe(r.Event)))
	}
	return lines, nil
}

// scanAll scans in pages.
func scanAll(ctx context.Context, s store.Store, prefix string, limit int) (all []store.Entry, err error) {
	after := ""
	for {
		page, err := s.Scan(ctx, prefix, after, limit)
		if err != nil || len(page) == 0 {
			return all, err
		}
		if len(page) > limit {
			return all, fmt.Errorf("scanning %q: %d entries, at most %d are wanted", prefix, len(page), limit)
		}
		all = append(all, page...)
		after = page[len(page)-1].Key
	}
}

// describe says all of an event. Nil and empty are the same.
func describe(e *event.Event) string {
	var headers strings.Builder
	for _, h := range e.Headers {
		fmt.Fprintf(&headers, " %s=%s", short([]byte(h.Name)), short([]byte(h.Value)))
	}
	return fmt.Sprintf("%v %q key %q time %s headers [%s] data %s", e.ID, e.Subject, e.Key, e.Time.UTC().Format(time.RFC3339Nano), headers.String(), short(e.Data))
}

// short quotes data, or says its length and checksum.
func short(data []byte) string {
	if len(data) > 64 {
		return fmt.Sprintf("(%d bytes, sha256 %x)", len(data), sha256.Sum256(data))
	}
	return fmt.Sprintf("%q", data)
}

// unlike says which lines only one of two images has, or nothing.
func (i image) unlike(want image) string {
	if slices.Equal(i, want) {
		return ""
	}
	var b strings.Builder
	for _, line := range slices.Sorted(maps.Keys(only(i, want))) {
		fmt.Fprintf(&b, "\n  has   %s", line)
	}
	for _, line := range slices.Sorted(maps.Keys(only(want, i))) {
		fmt.Fprintf(&b, "\n  lacks %s", line)
	}
	if b.Len() == 0 {
		return "\n  the lines are the same in another order"
	}
	return b.String()
}

func only(a, b image) map[string]bool {
	lines := map[string]bool{}
	for _, line := range a {
		lines[line] = true
	}
	for _, line := range b {
		delete(lines, line)
	}
	return lines
}

// stays checks that everything readable is as it was.
func (f *fixture) stays(before image, after string) {
	f.Helper()
	if d := f.image().unlike(before); d != "" {
		f.Fatalf("after %s the store has changed:%s", after, d)
	}
}
