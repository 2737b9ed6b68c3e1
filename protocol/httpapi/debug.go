package httpapi

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/task"
)

func (d *Door) index(w http.ResponseWriter, r *http.Request) {
	rows := [][]string{
		{"/debug/connections", "the open connections of every listener"},
		{"/debug/tasks", "the live tasks"},
		{"/metrics", "the counters, for Prometheus"},
		{"/livez", "whether the process serves"},
		{"/readyz", "whether it takes work"},
	}
	if d.opts.PProf {
		rows = append(rows, []string{"/debug/pprof/", "Go's profiles"})
	}
	p := page{Title: "Spate", Columns: []string{"page", "what it shows"}, Rows: rows, links: true}
	p.serve(w, r, rows)
}

// taskRow is a task in JSON.
type taskRow struct {
	ID       uint64    `json:"id"`
	Parent   uint64    `json:"parent,omitempty"`
	Name     string    `json:"name"`
	Started  time.Time `json:"started"`
	Age      float64   `json:"age_seconds"`
	Canceled bool      `json:"canceled,omitempty"`
}

func (d *Door) tasks(w http.ResponseWriter, r *http.Request) {
	var all []task.Info
	if d.opts.Tasks != nil {
		all = d.opts.Tasks.Snapshot()
	}
	shown := all[:min(len(all), rowLimit(r))]
	p := page{Title: "Tasks", Columns: []string{"id", "parent", "age", "state", "name"}, Total: len(all)}
	rows := make([]taskRow, 0, len(shown))
	for _, t := range shown {
		rows = append(rows, taskRow{ID: t.ID, Parent: t.Parent, Name: t.Name, Started: t.Started, Age: t.Age.Seconds(), Canceled: t.Canceled})
		state := "running"
		if t.Canceled {
			state = "canceled"
		}
		p.Rows = append(p.Rows, []string{number(t.ID), number(t.Parent), span(t.Age), state, t.Name})
	}
	p.serve(w, r, rows)
}

func (d *Door) connections(w http.ResponseWriter, r *http.Request) {
	limit, total := rowLimit(r), 0
	listener := r.URL.Query().Get("listener")
	rows := make([]engine.Info, 0, min(limit, maxRows))
	add := func(describe func() engine.Info, name string) {
		if listener != "" && name != listener {
			return
		}
		if total++; len(rows) < limit {
			rows = append(rows, describe())
		}
	}
	if d.opts.Engine != nil {
		for c := range d.opts.Engine.Connections {
			add(c.Info, c.Listener().Name())
		}
	}
	for i := range d.Connections {
		add(func() engine.Info { return i }, i.Listener)
	}
	slices.SortFunc(rows, func(a, b engine.Info) int {
		return cmp.Or(cmp.Compare(a.Listener, b.Listener), cmp.Compare(a.ID, b.ID))
	})
	p := page{Title: "Connections", Total: total, Columns: []string{
		"listener", "id", "remote", "user", "state", "age", "idle", "in", "out", "waiting", "dropped", "detail"}}
	for _, i := range rows {
		p.Rows = append(p.Rows, []string{
			i.Listener, number(i.ID), i.Remote, i.User, i.State, span(i.Age), span(i.Idle), number(i.BytesIn), number(i.BytesOut),
			strconv.Itoa(i.Waiting), number(uint64(i.Dropped)), i.Detail,
		})
	}
	p.serve(w, r, rows)
}

// rowLimit is the number of rows that the request asks for with ?limit=.
func rowLimit(r *http.Request) int {
	if n, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && n > 0 {
		return n
	}
	return maxRows
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// span is a duration for people: three digits are enough.
func span(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
