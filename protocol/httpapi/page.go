package httpapi

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"unicode"
)

// A page is a table that is shown as HTML, as JSON or as text.
type page struct {
	Title   string
	Columns []string
	Rows    [][]string
	Total   int // how many rows there are, of which Rows may show only the first
	links   bool
}

// style is the pages' own, and the only one that the browser is told to accept.
const style = `body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
nav a{margin-right:1rem}table{border-collapse:collapse}th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd;white-space:nowrap}
th{color:#666;font-weight:600}td{font-variant-numeric:tabular-nums}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#333}a{color:#8bf}}`

var layout = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}} · Spate</title><style>` + style + `</style></head>
<body><nav><a href="/debug/">Spate</a><a href="/debug/connections">Connections</a><a href="/debug/tasks">Tasks</a><a href="/metrics">Metrics</a></nav>
<h1>{{.Title}}</h1>{{with .Note}}<p>{{.}}</p>{{end}}
<table><thead><tr>{{range .Columns}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{- range .Rows}}
<tr>{{range $i, $cell := .}}<td>{{if and $.Links (eq $i 0)}}<a href="{{$cell}}">{{$cell}}</a>{{else}}{{$cell}}{{end}}</td>{{end}}</tr>
{{- end}}
</tbody></table></body></html>
`))

// Note says how many rows are left out.
func (p page) Note() string {
	if p.Total > len(p.Rows) {
		return fmt.Sprintf("%d of %d; more with ?limit=%d", len(p.Rows), p.Total, p.Total)
	}
	if p.links {
		return ""
	}
	return fmt.Sprintf("%d in all", len(p.Rows))
}

// Links tells whether the first column holds paths of this door.
func (p page) Links() bool { return p.links }

// serve writes the page in the form that the client wants; value is its JSON.
func (p page) serve(w http.ResponseWriter, r *http.Request, value any) {
	accept := r.Header.Get("Accept")
	switch format := r.URL.Query().Get("format"); {
	case format == "json", format == "" && strings.Contains(accept, "application/json"):
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value) // fails only when the client is gone
	case format == "html", format == "" && strings.Contains(accept, "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = layout.Execute(w, p)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		p.writeText(w)
	}
}

func (p page) writeText(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.ToUpper(strings.Join(p.Columns, "\t")))
	for _, row := range p.Rows {
		for i, cell := range row {
			if i > 0 {
				_, _ = io.WriteString(w, "\t")
			}
			_, _ = io.WriteString(w, printable(cell))
		}
		_, _ = io.WriteString(w, "\n")
	}
	_ = w.Flush()
	if note := p.Note(); note != "" {
		_, _ = fmt.Fprintln(to, note)
	}
}

// printable keeps what a client named itself from steering the terminal that
// shows it.
func printable(cell string) string {
	if cell == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, cell)
}
