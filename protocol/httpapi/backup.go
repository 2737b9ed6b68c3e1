package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spate-io/spate/store"
)

// headerError is the trailer that says why an answer ended early, whose head had been sent by then.
const headerError = "Spate-Error"

// tellEvery is how often a verification that finds nothing says how far it is.
const tellEvery = time.Second

// whole prepares an answer that reads all of the store: it may take long, and only a few are made at once.
func (d *Door) whole(c *call, media string) (all store.Store, release func(), err error) {
	log, err := d.streams()
	if err != nil {
		return nil, nil, err
	}
	select {
	case d.heavy <- struct{}{}:
	default:
		return nil, nil, problemf(kindBusy, "too many requests read everything at once: try again later")
	}
	if err := http.NewResponseController(c.w).SetReadDeadline(time.Time{}); err != nil { // the request has been read; its answer takes as long as it takes
		<-d.heavy
		return nil, nil, err
	}
	c.w.Header().Set("Content-Type", media)
	c.w.Header().Set("Trailer", headerError)
	return log.Store(), func() { <-d.heavy }, nil
}

// cutShort ends an answer that has begun with the reason.
func (d *Door) cutShort(c *call, doing string, err error) {
	if err == nil || c.r.Context().Err() != nil {
		return // done, or nobody reads it
	}
	d.opts.Logger.Error("a request failed", "doing", doing, "conn", c.conn.id, "error", err)
	reason := "the server could not read its store to the end; its log says why"
	var damage *store.CorruptError
	if errors.As(err, &damage) {
		reason = fmt.Sprintf("the record of stream %q, partition %d, offset %d cannot be read: leave such records out with corrupt=skip (spate backup --skip-damaged)", damage.Stream, damage.Number, damage.Offset)
	}
	c.w.Header().Set(headerError, reason)
}

// backup is GET /v1/backup: all that the store holds at this moment, in the format of the store. What is left out because it cannot be read is
// noted in it.
func (d *Door) backup(c *call) error {
	q := c.r.URL.Query()
	skip, p := skipCorrupt(q.Get("corrupt"))
	if p != nil {
		return p
	}
	options := store.SnapshotOptions{}
	if skip {
		options.OnCorrupt = func(e *store.CorruptError) {
			d.opts.Logger.Warn("a backup leaves out what cannot be read", "stream", e.Stream, "partition", e.Number, "offset", e.Offset, "records", e.Records, "error", e.Err)
		}
	}
	all, release, err := d.whole(c, "application/octet-stream")
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := d.untilDrain(c.r.Context())
	defer cancel()
	d.cutShort(c, "making a backup", all.Snapshot(ctx, c.w, options))
	return nil
}

// finding is a line of the answer of verify.
type finding struct {
	Records uint64   `json:"records"` // read so far
	Corrupt *corrupt `json:"corrupt,omitempty"`
	Done    bool     `json:"done,omitempty"` // on the last line
}

// corrupt is a place that cannot be read.
type corrupt struct {
	Stream    string `json:"stream"`
	Partition int    `json:"partition"`
	Offset    uint64 `json:"offset"`
	Records   uint64 `json:"records"` // how many from there on may be affected
	Reason    string `json:"reason"`
}

// verify is GET /v1/verify: it reads every record and answers with what is corrupt, a line for each.
func (d *Door) verify(c *call) error {
	all, release, err := d.whole(c, "application/x-ndjson")
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := d.untilDrain(c.r.Context())
	defer cancel()
	out, control := json.NewEncoder(c.w), http.NewResponseController(c.w)
	told, sofar := time.Now(), uint64(0)
	tell := func(f finding) {
		told = time.Now()
		_ = out.Encode(f) // fails only when the client is gone, which ends the context
		_ = control.Flush()
	}
	n, err := store.Verify(ctx, all, func(e *store.CorruptError) {
		tell(finding{Records: sofar, Corrupt: &corrupt{e.Stream, e.Number, e.Offset, e.Records, e.Err.Error()}})
	}, func(records uint64) {
		if sofar = records; time.Since(told) >= tellEvery {
			tell(finding{Records: records})
		}
	})
	if err == nil {
		tell(finding{Records: n, Done: true})
	}
	d.cutShort(c, "verifying the store", err)
	return nil
}
