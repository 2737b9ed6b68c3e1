package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

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
	Partition int           `json:"partition"`
	Events    []storedEvent `json:"events"`
	Next      uint64        `json:"next"` // the offset to go on from
	End       uint64        `json:"end"`  // the offset that the next record will have
	Withheld  int           `json:"withheld,omitempty"`
	Corrupt   []uint64      `json:"corrupt,omitempty"` // offsets of records that cannot be read
}

// readStream is GET /v1/streams/{name}/events: records of one partition.
func (d *Door) readStream(c *call) error {
	q, name := c.r.URL.Query(), c.r.PathValue("name")
	if p := knownParameters(q, "partition", "offset", "from", "limit", "filter", "corrupt"); p != nil {
		return p
	}
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
	skip, p := skipCorrupt(q)
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
	log := d.opts.Bus.Streams().Store()
	records, err := log.Read(c.r.Context(), at, options)
	if err != nil {
		return err
	}
	if err := d.fill(c, &page, records, q.Get("filter")); err != nil {
		return err
	}
	b, err := log.Bounds(c.r.Context(), at.Partition)
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
