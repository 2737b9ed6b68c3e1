package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// streamInfo is a stream and what it holds.
type streamInfo struct {
	ID         event.ID      `json:"id"` // another one after the stream was removed and created again
	Config     stream.Config `json:"config"`
	Events     uint64        `json:"events"`
	Bytes      uint64        `json:"bytes"`
	Partitions []bounds      `json:"partitions"`
}

// bounds is what a partition holds.
type bounds struct {
	Partition int    `json:"partition"`
	First     uint64 `json:"first"`
	Next      uint64 `json:"next"`
	Events    uint64 `json:"events"`
	Bytes     uint64 `json:"bytes"`
}

// streams returns the streams, or that there are none here.
func (d *Door) streams() (*stream.Log, error) {
	if log := d.opts.Bus.Streams(); log != nil {
		return log, nil
	}
	return nil, problemf(kindNotFound, "this server keeps no streams: give it a data directory")
}

// pageOf reads the parameters after and limit of a list.
func pageOf(q url.Values) (after string, limit int, p *problem) {
	limit = pageRows
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRows {
			return "", 0, problemf(kindRequest, "limit must be 1 to %d, not %.40q", maxRows, text)
		}
		limit = n
	}
	return q.Get("after"), limit, nil
}

// listStreams is GET /v1/streams.
func (d *Door) listStreams(c *call) error {
	log, err := d.streams()
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	after, limit, p := pageOf(q)
	if p != nil {
		return p
	}
	page := struct {
		Streams []stream.Config `json:"streams"`
		After   string          `json:"after,omitempty"` // for the next page
	}{Streams: []stream.Config{}}
	for _, s := range log.List() {
		config := s.Config()
		if config.Name <= after {
			continue
		}
		if len(page.Streams) == limit {
			page.After = page.Streams[limit-1].Name
			break
		}
		page.Streams = append(page.Streams, config)
	}
	return c.reply(http.StatusOK, page)
}

// tellStream answers with a stream.
func (d *Door) tellStream(c *call, status int, log *stream.Log, name string) error {
	info, err := log.Info(c.r.Context(), name)
	if err != nil {
		return err
	}
	told := streamInfo{ID: info.ID, Config: info.Config, Events: info.Events, Bytes: info.Bytes, Partitions: []bounds{}}
	for n, b := range info.Partitions {
		told.Partitions = append(told.Partitions, bounds{n, b.First, b.Next, b.Count, b.Bytes})
	}
	return c.reply(status, told)
}

// showStream is GET /v1/streams/{name}.
func (d *Door) showStream(c *call) error {
	log, err := d.streams()
	if err != nil {
		return err
	}
	return d.tellStream(c, http.StatusOK, log, c.r.PathValue("name"))
}

// createStream is POST /v1/streams. Creating what is there already is fine.
func (d *Door) createStream(c *call) error {
	log, err := d.streams()
	if err != nil {
		return err
	}
	var config stream.Config
	if err := d.decode(c, &config); err != nil {
		return err
	}
	status := http.StatusCreated
	if _, err := log.Get(config.Name); err == nil {
		status = http.StatusOK
	}
	s, err := log.Create(c.r.Context(), config)
	if err != nil {
		return err
	}
	name := s.Config().Name
	c.w.Header().Set("Location", apiPath+"streams/"+url.PathEscape(name))
	return d.tellStream(c, status, log, name)
}

// updateStream is PATCH /v1/streams/{name}: a JSON merge patch (RFC 7396) of the configuration.
func (d *Door) updateStream(c *call) error {
	log, err := d.streams()
	if err != nil {
		return err
	}
	name := c.r.PathValue("name")
	s, err := log.Get(name)
	if err != nil {
		return err
	}
	var patch map[string]json.RawMessage
	if err := d.decode(c, &patch); err != nil {
		return err
	}
	config, err := patched(s.Config(), patch)
	if err != nil {
		return err
	}
	if config.Name != name {
		return problemf(kindConfig, "the name of a stream cannot be changed")
	}
	if _, err := log.Update(c.r.Context(), config); err != nil {
		return err
	}
	return d.tellStream(c, http.StatusOK, log, name)
}

// patched returns the configuration with the fields of a merge patch, where null means the default.
func patched(config stream.Config, patch map[string]json.RawMessage) (stream.Config, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return config, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return config, err
	}
	for name, value := range patch {
		if bytes.Equal(value, []byte("null")) {
			delete(fields, name)
			continue
		}
		fields[name] = value
	}
	if text, err = json.Marshal(fields); err != nil {
		return config, err
	}
	var changed stream.Config
	return changed, strictly(text, &changed)
}

// force reads the parameter of that name.
func (c *call) force() (bool, error) {
	switch text := c.r.URL.Query().Get("force"); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, problemf(kindRequest, "force must be true or false, not %.40q", text)
	}
}

// removeStream is DELETE /v1/streams/{name}.
func (d *Door) removeStream(c *call) error {
	log, err := d.streams()
	if err != nil {
		return err
	}
	force, err := c.force()
	if err == nil {
		err = log.Remove(c.r.Context(), c.r.PathValue("name"), force)
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// trimStream is POST /v1/streams/{name}/trim.
func (d *Door) trimStream(c *call) error {
	log, err := d.streams()
	if err != nil {
		return err
	}
	name := c.r.PathValue("name")
	s, err := log.Get(name)
	if err != nil {
		return err
	}
	var body struct {
		Partition *int   `json:"partition"` // default: all
		Before    string `json:"before"`
	}
	if err := d.decode(c, &body); err != nil {
		return err
	}
	if body.Before == "" {
		return problemf(kindPlace, "say what to remove: before is an offset, a time, -1h for what is older than an hour, or end for everything")
	}
	before, err := stream.ParseFrom(body.Before, time.Now())
	if err != nil {
		return problemf(kindPlace, "%v", err)
	}
	first, last := 0, s.Config().Partitions-1
	if body.Partition != nil {
		first, last = *body.Partition, *body.Partition
	}
	for n := first; n <= last; n++ {
		if err := trim(c.r.Context(), log, store.Partition{Stream: name, Number: n}, before); err != nil {
			return err
		}
	}
	return d.tellStream(c, http.StatusOK, log, name)
}

func trim(ctx context.Context, log *stream.Log, p store.Partition, before stream.From) error {
	at, err := log.Locate(ctx, p, before)
	if err != nil {
		return err
	}
	if err := log.Trim(ctx, store.Position{Partition: p, Offset: at}); err != nil {
		return fmt.Errorf("trimming partition %d: %w", p.Number, err)
	}
	return nil
}

// parseFilter reads a filter that may be missing.
func parseFilter(text string, limits event.Limits) (f event.Filter, all bool, err error) {
	if text == "" {
		return f, true, nil
	}
	if f, err = event.ParseFilter(text, limits); err != nil {
		return f, false, problemf(kindRequest, "%v", err)
	}
	return f, false, nil
}
