package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/spate-io/spate/engine"
)

// headEnd is where the request ends.
var headEnd = []byte("\r\n\r\n")

// shake takes the request off the head of in, once it has arrived whole, answers it, and returns its size.
func (c *Conn) shake(in []byte) (int, error) {
	p, ok := c.Listener().Protocol().(*Protocol)
	if !ok { // it was adopted, and refused
		return 0, engine.ErrClosed
	}
	from := max(0, int(c.in.plain)-len(headEnd)+1) // where the search goes on
	n := bytes.Index(in[from:], headEnd)
	switch size := from + n + len(headEnd); {
	case n < 0 && len(in) < p.limits.Header:
		c.in.plain = uint32(len(in))
		return 0, nil
	case n < 0 || size > p.limits.Header:
		return 0, c.refuse(refuse(http.StatusRequestHeaderFieldsTooLarge, "the request is longer than %d bytes", p.limits.Header))
	default:
		c.in.plain = 0
		r, err := parseRequest(in[:size])
		var h *Handshake
		if err == nil {
			h, err = p.Check(r, Place{Secure: c.Listener().Secure(), Local: local(c.Listener())})
		}
		if err == nil {
			err = c.upgrade(h)
		}
		if err != nil {
			return 0, c.refuse(err)
		}
		return size, nil
	}
}

// parseRequest reads a request, strictly in what proxies and servers are known to understand in different ways.
func parseRequest(head []byte) (*http.Request, error) {
	hosts := 0
	_, fields, _ := bytes.Cut(head[:len(head)-len(headEnd)], []byte("\r\n"))
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, _, found := bytes.Cut(line, []byte(":"))
		if len(fields) > 0 && (!found || !isToken(string(name)) || bytes.IndexByte(line, '\n') >= 0) {
			return nil, refuse(http.StatusBadRequest, "the request is not HTTP/1.1: the line %.80q is not a header", line)
		}
		if bytes.EqualFold(name, []byte("host")) {
			hosts++
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the request is not HTTP/1.1")
	case hosts > 1:
		return nil, refuse(http.StatusBadRequest, "there is more than one Host header")
	}
	return r, nil
}

// Session returns what makes the session of a connection whose request Check has let pass, for [engine.AdoptOptions].
func (p *Protocol) Session(h *Handshake) func(*engine.Conn) engine.Session {
	return func(ec *engine.Conn) engine.Session {
		c := &Conn{Conn: ec}
		if err := c.upgrade(h); err != nil {
			err = c.refuse(err)
			ec.Close(engine.ReasonOf(err, engine.ReasonInternal), err)
		}
		return (*carrier)(c)
	}
}

// upgrade makes the session and tells the client that it has a WebSocket.
func (c *Conn) upgrade(h *Handshake) error {
	made, err := h.ep.Open(c, h)
	if err != nil {
		return err
	}
	switch s := made.(type) {
	case Session:
		c.stream = s
	case Messages:
		c.messages = s
	default:
		return errors.New("Open of the endpoint " + h.ep.Name + " has made no session")
	}
	c.deflate = h.Compress && h.deflate && c.messages != nil
	c.ep.Store(h.ep)
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		acceptKey(h.Request.Header.Get("Sec-Websocket-Key")) + "\r\n"
	if h.Subprotocol != "" {
		answer += "Sec-WebSocket-Protocol: " + h.Subprotocol + "\r\n"
	}
	if c.deflate {
		answer += "Sec-WebSocket-Extensions: " + deflateAnswer + "\r\n"
	}
	_, err = c.Conn.Write([]byte(answer + "\r\n"))
	return err
}

// refuse answers a request that gets no WebSocket, and returns why the connection ends.
func (c *Conn) refuse(err error) error {
	r, known := errors.AsType[*Refusal](err)
	if !known {
		c.Logger().Error("a WebSocket could not be opened", "error", err)
		r = refuse(http.StatusInternalServerError, "the server could not do it; its log says why")
	}
	text := r.Text + "\n"
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(r.Status) + " " + http.StatusText(r.Status) +
		"\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(text)) + "\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	b.WriteString("\r\n" + text)
	_, _ = c.Conn.Write([]byte(b.String())) // fails only when the connection is gone
	return engine.Because(r.Reason(), err)
}

// Reason is why the connection ends of a client that was refused.
func (r *Refusal) Reason() engine.Reason {
	switch r.Status {
	case http.StatusInternalServerError:
		return engine.ReasonInternal
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return engine.ReasonDenied
	case http.StatusRequestHeaderFieldsTooLarge:
		return engine.ReasonTooLarge
	case http.StatusServiceUnavailable:
		return engine.ReasonTooMany
	}
	return engine.ReasonProtocol
}
