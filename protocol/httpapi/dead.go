package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spate-io/spate/consumer"
)

// deadLetter is a dead letter with its event.
type deadLetter struct {
	consumer.DeadLetter
	Event json.RawMessage `json:"event"` // a CloudEvent
}

func deadLetterOf(l consumer.DeadLetter) deadLetter {
	return deadLetter{l, appendCloudEvent(nil, l.Event)}
}

// listDead is GET /v1/dead.
func (d *Door) listDead(c *call) error {
	set, err := d.consumers()
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	after, limit, p := pageOf(q)
	if p != nil {
		return p
	}
	letters, err := set.Dead(c.r.Context(), q.Get("consumer"), after, limit)
	if err != nil {
		return err
	}
	page := struct {
		Dead  []deadLetter `json:"dead"`
		After string       `json:"after,omitempty"` // for the next page
	}{Dead: []deadLetter{}}
	for _, l := range letters {
		page.Dead = append(page.Dead, deadLetterOf(l))
	}
	if len(letters) == limit {
		page.After = letters[limit-1].ID
	}
	return c.reply(http.StatusOK, page)
}

// showDead is GET /v1/dead/{id}.
func (d *Door) showDead(c *call) error {
	set, err := d.consumers()
	if err != nil {
		return err
	}
	l, err := set.DeadLetter(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, deadLetterOf(l))
}

// redriveOne is POST /v1/dead/{id}/redrive.
func (d *Door) redriveOne(c *call) error {
	set, err := d.consumers()
	if err != nil {
		return err
	}
	n, err := set.Redrive(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]int{"redriven": n})
}

// dropOne is DELETE /v1/dead/{id}.
func (d *Door) dropOne(c *call) error {
	set, err := d.consumers()
	if err == nil {
		_, err = set.Drop(c.r.Context(), c.r.PathValue("id"))
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// redriveDead is POST /v1/dead/redrive.
func (d *Door) redriveDead(c *call) error {
	return d.someDead(c, "redriven", Consumers.Redrive, Consumers.RedriveAll)
}

// dropDead is POST /v1/dead/drop.
func (d *Door) dropDead(c *call) error {
	return d.someDead(c, "dropped", Consumers.Drop, Consumers.DropAll)
}

// someDead does something to the dead letters that the body names, and answers with how many they were.
func (d *Door) someDead(c *call, done string, some func(Consumers, context.Context, ...string) (int, error), all func(Consumers, context.Context, string) (int, error)) error {
	set, err := d.consumers()
	if err != nil {
		return err
	}
	var body struct {
		IDs      []string `json:"ids"`
		Consumer string   `json:"consumer"`
		All      bool     `json:"all"`
	}
	if err := d.decode(c, &body); err != nil {
		return err
	}
	var n int
	switch {
	case len(body.IDs) > 0 && body.Consumer == "" && !body.All:
		n, err = some(set, c.r.Context(), body.IDs...)
	case len(body.IDs) == 0 && (body.Consumer != "") != body.All:
		n, err = all(set, c.r.Context(), body.Consumer)
	default:
		return problemf(kindRequest, "say which dead letters: either ids, or consumer, or all: true")
	}
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]int{done: n})
}
