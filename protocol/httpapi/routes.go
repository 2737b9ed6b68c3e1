package httpapi

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/url"
	"path"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes is the table of what the door answers.
func (d *Door) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", d.ready)
	inside := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, d.admin(d.few(h))) }
	inside("GET /metrics", promhttp.HandlerFor(d.opts.Metrics, promhttp.HandlerOpts{}).ServeHTTP)
	inside("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/debug/", http.StatusSeeOther) })
	inside("GET /debug/{$}", d.index)
	inside("GET /debug/tasks", d.tasks)
	inside("GET /debug/connections", d.connections)
	if d.opts.PProf {
		inside("GET /debug/pprof/", pprof.Index)
		inside("GET /debug/pprof/cmdline", pprof.Cmdline)
		inside("GET /debug/pprof/profile", pprof.Profile)
		inside("GET /debug/pprof/symbol", pprof.Symbol)
		inside("GET /debug/pprof/trace", pprof.Trace)
	}
	api := d.api()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case d.wantsWebSocket(r):
			d.upgrade(w, r)
		case !canonical(r.URL): // a ServeMux would redirect, with a page
			noSuchPath(r).write(w)
		case isAPI(r.URL.Path):
			api.ServeHTTP(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// canonical tells whether a path has no empty levels and none of dots, which proxies and libraries understand in different ways. In a subject they
// stand for themselves.
func canonical(u *url.URL) bool {
	escaped := u.EscapedPath()
	if strings.HasPrefix(escaped, publishPath) || escaped == "/" || !strings.HasPrefix(escaped, "/") { // "*" is for nobody
		return true
	}
	return path.Clean(escaped) == strings.TrimSuffix(escaped, "/") && escaped != "//"
}

func (d *Door) ready(w http.ResponseWriter, _ *http.Request) {
	if err := d.opts.Ready(); err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	say(w, http.StatusOK, "ok")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}
