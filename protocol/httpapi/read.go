package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// storedEvent is a record of a stream.
type storedEvent struct {
	Offset   uint64          `json:"offset"`
	Appended time.Time       `json:"appended"`
	Event    json.RawMessage `json:"event"` // a CloudEvent
}

// storedPage is a part of a partition.
type storedPage struct {
	StreamID  event.ID      `json:"stream_id"`
	Partition int           `json:"partition"`
	Events    []storedEvent `json:"events"`
	Next      uint64        `json:"next"` // the offset to go on from
	End       uint64        `json:"end"`  // the offset that the next record will have
	Withheld  int           `json:"withheld,omitempty"`
	Corrupt   []uint64      `json:"corrupt,omitempty"` // offsets of records that cannot be read
}

// mayRead asks for the right to receive what a filter selects of a stream; with none, what the stream captures. Who may read nothing of it is
// answered as if it were not there.
func (d *Door) mayRead(c *call, name, filter string) error {
	selected, _, err := parseFilter(filter, d.opts.Event)
	if err != nil {
		return err
	}
	if filter != "" {
		if err := d.may(c, auth.ActionSubscribe, filter); err != nil {
			return err // before anything is said about the stream
		}
	}
	log, err := d.streams()
	if err != nil {
		return err
	}
	st, err := log.Get(name)
	switch {
	case filter == "":
		return d.mayReadAll(c, st, name)
	case err == nil && (st.Overlaps(selected) || !slices.ContainsFunc(st.Config().Subjects, func(f string) bool { return !d.opts.Auth.CanSubscribe(c.id, f) })):
		return nil // it may hold what it captured once
	}
	return stream.NotFound(name)
}

// mayReadAll asks for the right to receive all that a stream captures. The answer is the same whether there is a stream, unless that right is there.
func (d *Door) mayReadAll(c *call, st *stream.Stream, name string) error {
	targets := []string{"#"}
	if st != nil {
		targets = st.Config().Subjects
	}
	for _, f := range targets {
		err := d.may(c, auth.ActionSubscribe, f)
		switch {
		case err != nil && d.opts.Auth.CanSubscribe(c.id, "#"): // which selects nothing of the streams of the server itself
			return stream.NotFound(name)
		case errors.Is(err, auth.ErrForbidden): // what the stream captures is not said
			return auth.Forbidden(fmt.Sprintf("read all of the stream %.200q; name a filter that this user may subscribe to", name))
		case err != nil:
			return err
		}
	}
	if st == nil {
		return stream.NotFound(name)
	}
	return nil
}

// readStream is GET /v1/streams/{name}/events: records of one partition.
func (d *Door) readStream(c *call) error {
	q, name := c.r.URL.Query(), c.r.PathValue("name")
	if err := d.mayRead(c, name, q.Get("filter")); err != nil {
		return err
	}
	at, err := d.readFrom(c, q)
	if err != nil {
		return err
	}
	_, limit, p := pageOf(q)
	if p != nil {
		return p
	}
	skip, p := skipCorrupt(q.Get("corrupt"))
	if p != nil {
		return p
	}
	page := storedPage{Partition: at.Number, Events: []storedEvent{}, Next: at.Offset}
	options := store.ReadOptions{Records: limit, Bytes: pageBytes}
	if skip {
		options.OnCorrupt = func(e *store.CorruptError) {
			page.Corrupt = append(page.Corrupt, e.Offset)
			page.Next = max(page.Next, e.Offset+max(1, e.Records))
		}
	}
	if !c.take(d, textCost*pageBytes) {
		return problemf(kindBusy, "other requests take all memory that there is for pages: try again in a few seconds")
	}
	log := d.opts.Bus.Streams()
	st, err := log.Get(name)
	if err != nil {
		return err
	}
	page.StreamID = st.ID()
	records, err := log.Store().Read(c.r.Context(), at, options)
	if err != nil {
		return err
	}
	if err := d.fill(c, &page, records, q.Get("filter")); err != nil {
		return err
	}
	b, err := log.Store().Bounds(c.r.Context(), at.Partition)
	page.End = b.Next
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, page)
}

// fill puts into a page those of the records that match and that the client may receive.
func (d *Door) fill(c *call, page *storedPage, records []store.Record, filter string) error {
	match, all, err := parseFilter(filter, d.opts.Event)
	if err != nil {
		return err
	}
	for _, r := range records {
		if size := int64(r.Event.Size()); size > pageBytes && !c.take(d, textCost*size) {
			return problemf(kindBusy, "other requests take all memory that there is for large events: try again in a few seconds")
		}
		page.Next = max(page.Next, r.Offset+1)
		switch {
		case !all && !match.Match(r.Event.Subject):
		case !d.opts.Auth.CanReceive(c.id, r.Event.Subject):
			page.Withheld++
		default:
			page.Events = append(page.Events, storedEvent{r.Offset, r.Appended, appendCloudEvent(nil, r.Event)})
		}
	}
	return nil
}

// readFrom returns where a client wants to read.
func (d *Door) readFrom(c *call, q url.Values) (at store.Position, err error) {
	at.Stream = c.r.PathValue("name")
	if text := q.Get("partition"); text != "" {
		if at.Number, err = strconv.Atoi(text); err != nil {
			return at, problemf(kindRequest, "partition must be a number, not %.40q", text)
		}
	}
	text := q.Get("from")
	if q.Has("offset") {
		if text != "" {
			return at, problemf(kindRequest, "give either from or offset")
		}
		text = q.Get("offset")
		if _, err := strconv.ParseUint(text, 10, 64); err != nil {
			return at, problemf(kindPlace, "offset must be a number, not %.40q; from takes a time too", text)
		}
	}
	from, err := stream.ParseFrom(text, time.Now())
	if err != nil {
		return at, problemf(kindPlace, "%v", err)
	}
	at.Offset, err = d.opts.Bus.Streams().Locate(c.r.Context(), at.Partition, from)
	return at, err
}
