package httpapi

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// A following is a subscription that reads a stream. A client that reads slowly is read for slowly: nothing is dropped, and
// nothing is held but one read.
type following struct {
	*subscription
	log     *stream.Log
	name    string
	id      event.ID // of the stream: another of that name has other events under the same offsets
	reader  *stream.Reader
	told    []uint64 // the places that the client knows
	corrupt []*store.CorruptError
}

// serveStream sends what a stream holds from a place on, and then what comes.
func (s *subscription) serveStream(name string, q url.Values, raw bool) error {
	if q.Has("policy") {
		return problemf(kindRequest, "policy is for live subscriptions: a stream waits for its reader")
	}
	skip, p := skipCorrupt(q.Get("corrupt"))
	if p != nil {
		return p
	}
	f, err := s.follow(s.r.Context(), name, q.Get("from"), cmp.Or(s.r.Header.Get("Last-Event-ID"), q.Get("resume")), skip)
	if err != nil {
		return err
	}
	leave, err := s.door.enter(s.conn.remote)
	if err != nil {
		return err
	}
	defer leave()
	return s.run(raw, f.send)
}

// follow makes the subscription one of a stream, from a place on, or from where a token says.
func (s *subscription) follow(ctx context.Context, name, from, token string, skipCorrupt bool) (*following, error) {
	f := &following{subscription: s, log: s.door.opts.Bus.Streams(), name: name}
	if err := s.door.mayRead(s.call, f.name, s.filter); err != nil {
		return nil, err
	}
	if s.filter == "" {
		s.judged = ^uint64(0) // each event is asked about: the stream may hold what its filters no longer capture
	}
	if err := f.begin(ctx, from, token); err != nil {
		return nil, err
	}
	bound := store.ReadOptions{Records: readRecords, Bytes: readBytes}
	if skipCorrupt {
		bound.OnCorrupt = func(c *store.CorruptError) { f.corrupt = append(f.corrupt, c) }
	}
	f.reader.Bound(bound)
	return f, nil
}

// skipCorrupt tells whether the client wants to read on after a record that cannot be read.
func skipCorrupt(v string) (bool, *problem) {
	switch v {
	case "", "stop":
		return false, nil
	case "skip":
		return true, nil
	default:
		return false, problemf(kindRequest, "corrupt must be stop or skip, not %.40q", v)
	}
}

// begin puts the reader where the client wants to go on or to begin.
func (f *following) begin(ctx context.Context, place, token string) error {
	from, err := stream.ParseFrom(cmp.Or(place, "end"), time.Now())
	if err != nil {
		return problemf(kindPlace, "%v", err)
	}
	st, err := f.log.Get(f.name)
	if err != nil {
		return err
	}
	f.id = st.ID()
	if f.reader, err = f.log.NewReader(ctx, f.name, f.filter, from); err != nil {
		return err
	}
	f.told = f.reader.Positions()
	if token == "" {
		return nil
	}
	offsets, p := parseToken(token, f.name, f.id, len(f.told))
	if p != nil {
		return p
	}
	f.told = offsets
	if err := f.reader.Seek(offsets); err != nil {
		return err
	}
	return f.check(ctx)
}

// same finds out whether the stream is still the one of which the places are.
func (f *following) same() error {
	st, err := f.log.Get(f.name)
	if err == nil && st.ID() != f.id {
		return replaced(f.name)
	}
	return err
}

// check finds out whether the places are in the stream: they are beyond its end after it was restored from a backup that is older.
func (f *following) check(ctx context.Context) error {
	if err := f.same(); err != nil {
		return err
	}
	for n, offset := range f.reader.Positions() {
		b, err := f.log.Store().Bounds(ctx, store.Partition{Stream: f.name, Number: n})
		if err != nil {
			return err
		}
		if offset > b.Next {
			return problemf(kindGone, "partition %d of %.80q ends at %d, before the place %d to go on from: the stream was restored from an older backup; leave the Last-Event-ID out to begin anew",
				n, f.name, b.Next, offset)
		}
	}
	return nil
}

// send is the way of all events of a stream: read, send, and wait for more.
func (f *following) send(ctx context.Context) error {
	f.out.place(f.token(f.told))
	for {
		before := f.reader.Positions()
		records, from, err := f.reader.Read(ctx)
		f.tellCorrupt()
		switch {
		case err != nil:
			return cmp.Or(f.same(), err) // reading a stream that was removed may fail in many ways
		case len(records) == 0:
			if err := f.wait(ctx); err != nil {
				return err
			}
			continue
		}
		if err := f.same(); err != nil { // what was read before it was removed is good
			return err
		}
		if err := f.tellGap(ctx, from, before[from.Number], records[0].Offset); err != nil {
			return err
		}
		at := f.reader.Positions()
		for _, r := range records {
			at[from.Number] = r.Offset + 1
			if err := f.one(r, at); err != nil {
				return err
			}
		}
		f.told = at
	}
}

// one sends one event, unless it is not for this client.
func (f *following) one(r store.Record, after []uint64) error {
	if err := f.mayReceive(r.Event.Subject); err != nil {
		if f.filter != "" {
			return err
		}
		return f.door.mayRead(f.call, f.name, "") // of a subject that the stream captured once, and that this client never could read
	}
	if err := f.write(r.Event, f.token(after)); err != nil {
		return err
	}
	if f.out.full() {
		return f.out.flush()
	}
	return nil
}

// wait sends what is ready and waits for more, with signs of life that say where to go on: the reader may have passed events
// that do not match.
func (f *following) wait(ctx context.Context) error {
	if at := f.reader.Positions(); !slices.Equal(at, f.told) {
		f.out.place(f.token(at))
		f.told = at
	}
	if err := f.out.flush(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, f.door.opts.Limits.Heartbeat)
	defer cancel()
	err := f.reader.Wait(wait)
	if err == nil || wait.Err() == nil || ctx.Err() != nil {
		return err
	}
	if err := f.check(ctx); err != nil {
		return err
	}
	f.out.comment("")
	return f.stillAllowed()
}

func (f *following) token(offsets []uint64) string {
	return string(appendToken(nil, f.name, f.id, offsets))
}

// tellGap says that records were removed before they could be read: by retention, while nobody was reading or too slowly.
func (f *following) tellGap(ctx context.Context, p store.Partition, from, to uint64) error {
	if from == to {
		return nil
	}
	b, err := f.log.Store().Bounds(ctx, p)
	if err != nil || b.First <= from {
		return err
	}
	f.out.notice("gap", struct {
		Partition int    `json:"partition"`
		From      uint64 `json:"from"`
		To        uint64 `json:"to"`
	}{p.Number, from, min(to, b.First)})
	return nil
}

// tellCorrupt says which records could not be read, and goes past those that nothing follows.
func (f *following) tellCorrupt() {
	if len(f.corrupt) == 0 {
		return
	}
	at := f.reader.Positions()
	for _, c := range f.corrupt {
		after := c.Offset + max(1, c.Records)
		f.out.notice("corrupt", struct {
			Partition int    `json:"partition"`
			From      uint64 `json:"from"`
			To        uint64 `json:"to"`
		}{c.Number, c.Offset, after})
		at[c.Number] = max(at[c.Number], after)
	}
	f.corrupt = f.corrupt[:0]
	_ = f.reader.Seek(at) // it has as many as Positions returned
}
