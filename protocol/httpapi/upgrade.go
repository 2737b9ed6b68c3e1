package httpapi

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
)

// webSockets makes the protocol of the paths that are WebSockets, or nothing if there are none.
func (d *Door) webSockets() (*websocket.Protocol, error) {
	endpoints := maps.Clone(d.opts.WebSockets)
	if d.opts.Bus != nil && d.opts.Engine != nil {
		if endpoints == nil {
			endpoints = make(map[string]websocket.Endpoint)
		}
		endpoints[wsPath] = d.events()
	}
	switch {
	case len(endpoints) == 0:
		return nil, nil
	case d.opts.Engine == nil:
		return nil, errors.New("the HTTP door needs an Engine for its WebSockets")
	}
	return websocket.New(websocket.Options{Endpoints: endpoints, Origins: d.opts.Origins, Hosts: d.opts.Hosts, Limits: d.opts.WebSocket})
}

// WebSockets returns the protocol of the door's WebSockets, also for listeners of the engine that speak nothing else. It is nil if there are none.
func (d *Door) WebSockets(strict bool) *websocket.Protocol {
	if d.ws == nil || !strict {
		return d.ws
	}
	return d.ws.Strict()
}

func (d *Door) isWebSocket(path string) bool {
	return d.ws != nil && slices.Contains(d.ws.Paths(), path)
}

// wantsWebSocket tells whether a request is for a WebSocket, whether there is one at its path or not.
func (d *Door) wantsWebSocket(r *http.Request) bool {
	return d.isWebSocket(r.URL.Path) || d.ws != nil && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// prepareAdoption makes the listener of the engine that connections of this one go over to.
func (l *listener) prepareAdoption() (err error) {
	d := l.door
	if l.ws == nil {
		return nil
	}
	o := engine.ListenOptions{Name: l.name, Protocol: l.ws, TLS: l.tls}
	if _, ok := l.Listener.(interface{ File() (*os.File, error) }); !ok {
		o.Driver = engine.Net // it has no descriptors
	}
	l.adopter, err = d.opts.Engine.Adopter(l.Addr(), o)
	return err
}

// upgrade answers a request for a WebSocket. If it may have one, its connection leaves net/http, and the engine adopts it.
func (d *Door) upgrade(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	if d.isWebSocket(r.URL.Path) { // one of a few
		r.Pattern = http.MethodGet + " " + r.URL.Path
	}
	h, err := c.lst.ws.Check(r, websocket.Place{Secure: c.tls != nil})
	if err == nil && d.draining.Err() != nil {
		err = &websocket.Refusal{Status: http.StatusServiceUnavailable, Text: errDrained.Error(), Header: http.Header{"Retry-After": {"5"}}}
	}
	if err != nil {
		decline(w, c, err)
		return
	}
	h.Request = r.WithContext(context.WithoutCancel(r.Context())) // it is looked at after this handler has returned
	_, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		decline(w, c, err)
		return
	}
	if a, ok := w.(*recorder); ok {
		a.status = http.StatusSwitchingProtocols
	}
	read, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err == nil {
		err = c.lst.adopter.Adopt(c.Conn, engine.AdoptOptions{Read: read, Open: c.lst.ws.Session(h)})
	}
	if err == nil {
		c.letGo()
		return
	}
	// net/http no longer answers.
	c.note(engine.ReasonOf(err, engine.ReasonShutdown), err)
	text := "the server takes no more connections now: come again in a few seconds\n"
	_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: "+strconv.Itoa(len(text))+"\r\n\r\n"+text) // fails only when the client is gone
	_ = c.Close()
}

// decline answers a request that gets no WebSocket. Its connection ends with a line in the log that says why: clients hide the answer from those who use them.
func decline(w http.ResponseWriter, c *conn, err error) {
	refused, known := errors.AsType[*websocket.Refusal](err)
	if !known {
		refused = &websocket.Refusal{Status: http.StatusInternalServerError, Text: "the server could not do it"}
	}
	c.note(refused.Reason(), err)
	maps.Copy(w.Header(), refused.Header)
	w.Header().Set("Connection", "close")
	http.Error(w, refused.Text, refused.Status)
}
