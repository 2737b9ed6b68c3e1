package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Sessions is what the API looks at the sessions of MQTT clients with, and ends them.
type Sessions interface {
	// List returns sessions by client identifier, and where the next page begins, "" if there is none.
	List(q SessionQuery) (page []Session, after string)
	// Show returns the session of a client, with its filters, and whether there is one.
	Show(client string) (Session, []SessionFilter, bool)
	// End ends the session of a client, and tells whether there was one.
	End(ctx context.Context, client string) (found bool, err error)
}

// A SessionQuery says which sessions are listed.
type SessionQuery struct {
	After     string // only those of clients whose identifiers come after it
	Limit     int    // how many at most
	Connected *bool  // only those whose clients are connected, or are not
}

// A Session is one of an MQTT client.
type Session struct {
	Client        string    `json:"client"`
	User          string    `json:"user,omitempty"`
	Connected     bool      `json:"connected"`
	Address       string    `json:"address,omitempty"`
	Version       string    `json:"version"`
	Since         time.Time `json:"since,omitzero"` // it is connected, or away
	Expiry        *uint32   `json:"expiry"`         // seconds that it outlives its connection; null: for ever
	Subscriptions int       `json:"subscriptions"`
	Queued        int       `json:"queued"`   // messages that wait
	Inflight      int       `json:"inflight"` // messages that were sent and are not acknowledged
}

// A SessionFilter is a subscription of a session.
type SessionFilter struct {
	Filter            string `json:"filter"`
	QoS               int    `json:"qos"`
	NoLocal           bool   `json:"no_local,omitempty"`
	RetainAsPublished bool   `json:"retain_as_published,omitempty"`
	ID                uint32 `json:"id,omitempty"`
}

// sessions returns the sessions, or that there are none here.
func (d *Door) sessions() (Sessions, error) {
	if d.opts.Sessions == nil {
		return nil, problemf(kindNotFound, "this server does not speak MQTT")
	}
	return d.opts.Sessions, nil
}

func noSession(client string) *problem {
	return problemf(kindNotFound, "there is no session of such a client: %.80q", client)
}

// listSessions is GET /v1/sessions.
func (d *Door) listSessions(c *call) error {
	set, err := d.sessions()
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	after, limit, p := pageOf(q)
	if p != nil {
		return p
	}
	query := SessionQuery{After: after, Limit: limit}
	if query.Connected, err = boolOf(q, "connected"); err != nil {
		return err
	}
	page := struct {
		Sessions []Session `json:"sessions"`
		After    string    `json:"after,omitempty"` // for the next page
	}{}
	if page.Sessions, page.After = set.List(query); page.Sessions == nil {
		page.Sessions = []Session{}
	}
	return c.reply(http.StatusOK, page)
}

// boolOf returns a parameter that is true or false, or nil if it is not there.
func boolOf(q url.Values, name string) (*bool, error) {
	text := q.Get(name)
	if text == "" {
		return nil, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return nil, problemf(kindRequest, "%s must be true or false, not %.40q", name, text)
	}
	return &value, nil
}

// showSession is GET /v1/sessions/{client}.
func (d *Door) showSession(c *call) error {
	set, err := d.sessions()
	if err != nil {
		return err
	}
	client := c.r.PathValue("client")
	one, filters, found := set.Show(client)
	if !found {
		return noSession(client)
	}
	return c.reply(http.StatusOK, struct {
		Session
		Filters []SessionFilter `json:"filters"`
	}{one, filters})
}

// endSession is DELETE /v1/sessions/{client}.
func (d *Door) endSession(c *call) error {
	set, err := d.sessions()
	if err != nil {
		return err
	}
	client := c.r.PathValue("client")
	switch found, err := set.End(c.r.Context(), client); {
	case err != nil:
		return err
	case !found:
		return noSession(client)
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
