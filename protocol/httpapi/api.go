package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spate-io/spate/auth"
)

// apiPath is what all paths of the API begin with.
const apiPath = "/v1/"

// A route is one method of one path of the API.
type route struct {
	method, path string
	right        right
	serve        func(*Door, *call) error
	query        []string // the parameters that it knows
}

// right is what a route asks of its caller before its handler begins.
type right uint8

const (
	rightNone  right = iota // open to everybody: it tells nothing about this server
	rightLogin              // somebody; the handler asks about the subject or filter
	rightAdmin
)

// publishPath is not in the table: a subject may have empty levels, which a ServeMux takes for a path to redirect.
const publishPath = apiPath + "publish/"

var publishRoute = route{http.MethodPost, publishPath + "{subject...}", rightLogin, (*Door).publish, nil}

// apiRoutes is the table of the API, in the order of its document.
var apiRoutes = []route{
	{http.MethodPost, "/v1/events", rightLogin, (*Door).publishCloudEvents, nil},
	{http.MethodGet, "/v1/subscribe", rightLogin, (*Door).subscribe, []string{"filter", "stream", "from", "resume", "policy", "format", "corrupt"}},

	{http.MethodGet, "/v1/streams", rightAdmin, (*Door).listStreams, []string{"after", "limit"}},
	{http.MethodPost, "/v1/streams", rightAdmin, (*Door).createStream, nil},
	{http.MethodGet, "/v1/streams/{name}", rightAdmin, (*Door).showStream, nil},
	{http.MethodPatch, "/v1/streams/{name}", rightAdmin, (*Door).updateStream, nil},
	{http.MethodDelete, "/v1/streams/{name}", rightAdmin, (*Door).removeStream, []string{"force"}},
	{http.MethodPost, "/v1/streams/{name}/trim", rightAdmin, (*Door).trimStream, nil},
	{http.MethodGet, "/v1/streams/{name}/events", rightLogin, (*Door).readStream, []string{"partition", "offset", "from", "limit", "filter", "corrupt"}},

	{http.MethodGet, "/v1/consumers", rightAdmin, (*Door).listConsumers, nil},
	{http.MethodGet, "/v1/consumers/{name}", rightAdmin, (*Door).showConsumer, nil},
	{http.MethodDelete, "/v1/consumers/{name}", rightAdmin, (*Door).removeConsumer, []string{"force"}},
	{http.MethodPost, "/v1/consumers/{name}/pause", rightAdmin, (*Door).pauseConsumer, nil},
	{http.MethodPost, "/v1/consumers/{name}/resume", rightAdmin, (*Door).resumeConsumer, nil},
	{http.MethodPost, "/v1/consumers/{name}/reset", rightAdmin, (*Door).resetConsumer, nil},

	{http.MethodGet, "/v1/dead", rightAdmin, (*Door).listDead, []string{"consumer", "after", "limit"}},
	{http.MethodGet, "/v1/dead/{id}", rightAdmin, (*Door).showDead, nil},
	{http.MethodDelete, "/v1/dead/{id}", rightAdmin, (*Door).dropOne, nil},
	{http.MethodPost, "/v1/dead/{id}/redrive", rightAdmin, (*Door).redriveOne, nil},
	{http.MethodPost, "/v1/dead/redrive", rightAdmin, (*Door).redriveDead, nil},
	{http.MethodPost, "/v1/dead/drop", rightAdmin, (*Door).dropDead, nil},

	{http.MethodGet, "/v1/devices", rightLogin, (*Door).listDevices, []string{"after", "limit", "type", "tags", "online", "absent"}},
	{http.MethodGet, "/v1/devices/{id}", rightLogin, (*Door).showDevice, nil},
	{http.MethodPut, "/v1/devices/{id}", rightAdmin, (*Door).declareDevice, nil},
	{http.MethodDelete, "/v1/devices/{id}", rightAdmin, (*Door).removeDevice, nil},
	{http.MethodGet, "/v1/devices/{id}/state", rightLogin, (*Door).showState, nil},
	{http.MethodPatch, "/v1/devices/{id}/state", rightLogin, (*Door).updateState, nil},
	{http.MethodGet, "/v1/devices/{id}/commands", rightLogin, (*Door).listCommands, nil},
	{http.MethodPost, "/v1/devices/{id}/commands", rightLogin, (*Door).sendCommand, nil},
	{http.MethodGet, "/v1/devices/{id}/commands/{command}", rightLogin, (*Door).showCommand, nil},

	{http.MethodGet, "/v1/sessions", rightAdmin, (*Door).listSessions, []string{"after", "limit", "connected"}},
	{http.MethodGet, "/v1/sessions/{client}", rightAdmin, (*Door).showSession, nil},
	{http.MethodDelete, "/v1/sessions/{client}", rightAdmin, (*Door).endSession, nil},

	{http.MethodGet, "/v1/backup", rightAdmin, (*Door).backup, []string{"corrupt"}},
	{http.MethodGet, "/v1/verify", rightAdmin, (*Door).verify, nil},

	{http.MethodGet, "/v1/openapi.json", rightNone, (*Door).describeAPI, nil},
	{http.MethodGet, "/v1/problems/{kind}", rightNone, (*Door).describeProblem, nil},
}

// A call is one request of the API whose sender is known.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	conn *conn
	id   auth.Identity
	from auth.Origin
	// generation is that of the access rules, read before anything was decided.
	generation uint64
	taken      int64 // of Limits.Buffered
}

// reply answers with JSON.
func (c *call) reply(status int, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(text, '\n')) // fails only when the client is gone
	return nil
}

// api serves everything below /v1/.
func (d *Door) api() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range apiRoutes {
		mux.Handle(rt.method+" "+rt.path, d.calling(rt))
	}
	publish := d.calling(publishRoute)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case d.opts.Bus == nil:
			problemf(kindNotFound, "this server does not serve the API").write(w)
		case d.preflight(w, r):
		case strings.HasPrefix(r.URL.Path, publishPath):
			r.Pattern = publishRoute.method + " " + publishRoute.path
			if r.Method != publishRoute.method {
				notAllowed(r, publishRoute.method).write(w)
				return
			}
			publish.ServeHTTP(w, r)
		default:
			if h, pattern := mux.Handler(r); pattern == "" {
				noRoute(w, r, h)
				return
			}
			mux.ServeHTTP(w, r)
		}
	})
}

// noRoute turns what a ServeMux says about a request without a route into a problem.
func noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	said := &answer{header: http.Header{}}
	h.ServeHTTP(said, r)
	if said.status == http.StatusMethodNotAllowed {
		notAllowed(r, said.header.Get("Allow")).write(w)
		return
	}
	noSuchPath(r).write(w)
}

func noSuchPath(r *http.Request) *problem {
	return problemf(kindNotFound, "there is nothing at %.80q: see %sopenapi.json for what there is", r.URL.Path, apiPath)
}

func notAllowed(r *http.Request, allow string) *problem {
	return problemf(kindMethod, "%.20q is not allowed here; these are: %s", r.Method, allow).with("Allow", allow)
}

// An answer keeps the head of an answer that is not sent.
type answer struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// calling finds out who calls, asks for the right of the route, and turns errors into problems.
func (d *Door) calling(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, conn: connOf(r), generation: d.opts.Auth.Generation()}
		c.from = auth.Origin{Door: c.conn.lst.name, Addr: c.conn.remote.Addr()}
		defer c.close(d)
		err := d.admitCall(c, rt)
		if err == nil {
			err = knownParameters(r.URL.RawQuery, rt.query)
		}
		if err == nil {
			err = rt.serve(d, c)
		}
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.kind == kindInternal {
			d.opts.Logger.Error("a request failed", "doing", rt.method+" "+rt.path, "conn", c.conn.id, "error", err)
		}
		p.write(w)
	})
}

func (d *Door) admitCall(c *call, rt route) (err error) {
	if rt.right == rightNone {
		return nil
	}
	if c.id, err = d.identify(c.r, c.conn, c.from); err != nil {
		return err
	}
	user := c.id.User()
	c.conn.user.Store(&user)
	if rt.right == rightAdmin {
		return d.opts.Auth.Authorize(c.from, c.id, auth.ActionAdmin, rt.method+" "+c.r.URL.Path)
	}
	return nil
}

// may asks for the right to do something with a subject or a filter.
func (d *Door) may(c *call, action auth.Action, target string) error {
	return d.opts.Auth.Authorize(c.from, c.id, action, target)
}

// corsMethods and corsHeaders are what pages of [Options].Origins may use.
const (
	corsMethods = "GET, POST, PUT, PATCH, DELETE"
	corsExpose  = "ETag, Location, Retry-After, WWW-Authenticate"
)

// crossOrigin refuses what a page of an origin that is not listed asks for, reading too, and tells the browser about one that is.
func (d *Door) crossOrigin(w http.ResponseWriter, r *http.Request) *problem {
	h := w.Header()
	h.Add("Vary", "Origin")
	probe := r.WithContext(r.Context())
	probe.Method = http.MethodPost // reading is checked like changing
	if err := d.cross.Check(probe); err != nil {
		return problemf(kindOrigin, "pages of another origin may not call this server: list the origin in http.origins of the configuration")
	}
	if origin := r.Header.Get("Origin"); slices.Contains(d.opts.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", corsExpose)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	return nil
}

// preflight answers a browser that asks whether a page may call, and reports whether it did.
func (d *Door) preflight(w http.ResponseWriter, r *http.Request) bool {
	asked := r.Header.Get("Access-Control-Request-Headers")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", corsMethods)
	if asked != "" {
		h.Set("Access-Control-Allow-Headers", asked) // any: a listed origin is trusted with those of this API
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// isAPI tells whether a path belongs to the API.
func isAPI(path string) bool { return strings.HasPrefix(path, apiPath) }

// CheckOrigin says what is wrong with an origin that no browser sends.
func CheckOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host || strings.ToLower(o) != o || strings.Contains(o, "*") {
		return fmt.Errorf("the origin %.80q is not usable: write it as browsers do, https://app.example.com, lower case, without a path or a wildcard", o)
	}
	return nil
}
