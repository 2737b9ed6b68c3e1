package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 has it so; it protects nothing
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// acceptSuffix is what RFC 6455, 1.3, has a server add to the key, so that its answer cannot be another protocol's.
const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// A place is what a server knows of the listener that a request came through.
type Place struct {
	// Secure says that the connection uses TLS.
	Secure bool
	// Local says that only this machine can reach it, over the network.
	Local bool
}

// Check tells whether a request asks for a WebSocket that it may have, as RFC 6455, 4.2.1 demands; the error is a [*Refusal] otherwise.
func (p *Protocol) Check(r *http.Request, at Place) (*Handshake, error) {
	if err := checkUpgrade(r); err != nil {
		return nil, err
	}
	if at.Local && !p.knowsHost(r.Host) {
		return nil, refuse(http.StatusForbidden, "this server does not answer to the name in the Host header: "+
			"use 127.0.0.1 or localhost, or add the name to http.hosts in the configuration")
	}
	ep := p.endpoints[r.URL.Path]
	if ep == nil {
		return nil, refuse(http.StatusNotFound, "there is no WebSocket at %.80q; there are: %s", r.URL.Path, strings.Join(p.Paths(), ", "))
	}
	if !p.allowsOrigin(r, at) {
		return nil, refuse(http.StatusForbidden, "pages of the origin %.80q may not connect: list it in http.origins of the configuration",
			r.Header.Get("Origin"))
	}
	h := &Handshake{Request: r, Strict: p.strict, ep: ep}
	var err error
	if h.Subprotocol, err = ep.choose(r.Header, p.strict); err != nil {
		return nil, err
	}
	h.deflate, err = offersDeflate(r.Header)
	return h, err
}

// checkUpgrade looks at what every handshake must have.
func checkUpgrade(r *http.Request) error {
	h := r.Header
	switch {
	case r.Method != http.MethodGet:
		return &Refusal{Status: http.StatusMethodNotAllowed, Text: "a WebSocket is asked for with GET", Header: http.Header{"Allow": {"GET"}}}
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return refuse(http.StatusHTTPVersionNotSupported, "a WebSocket is asked for over HTTP/1.1")
	case r.Host == "":
		return refuse(http.StatusBadRequest, "the Host header is missing")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "a request for a WebSocket has no body")
	case !hasToken(h["Upgrade"], "websocket") || !hasToken(h["Connection"], "upgrade"):
		return &Refusal{Status: http.StatusUpgradeRequired, Text: "this is a WebSocket: connect with a WebSocket client (Upgrade: websocket, Connection: Upgrade)",
			Header: http.Header{"Upgrade": {"websocket"}}}
	case len(h["Sec-Websocket-Version"]) != 1 || h.Get("Sec-Websocket-Version") != "13":
		return &Refusal{Status: http.StatusUpgradeRequired, Text: "the version of the WebSocket protocol must be 13 (Sec-WebSocket-Version)",
			Header: http.Header{"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}}}
	}
	keys := h["Sec-Websocket-Key"]
	if len(keys) != 1 || !isKey(keys[0]) {
		return refuse(http.StatusBadRequest, "the request needs one Sec-WebSocket-Key, of 16 bytes in base64")
	}
	return nil
}

func isKey(text string) bool {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(key) == 16 && !strings.ContainsAny(text, "\r\n")
}

// acceptKey is the answer to a key.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix)) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hasToken tells whether one of the fields has the token in its list.
func hasToken(fields []string, token string) bool {
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// choose agrees on a subprotocol.
func (ep *endpoint) choose(h http.Header, strict bool) (string, error) {
	var offered []string
	for _, field := range h["Sec-Websocket-Protocol"] {
		for item := range strings.SplitSeq(field, ",") {
			item = strings.Trim(item, " \t")
			switch {
			case !isToken(item):
				return "", refuse(http.StatusBadRequest, "the subprotocol %.40q is not a name", item)
			case len(offered) == maxOffers:
				return "", refuse(http.StatusBadRequest, "there are more than %d subprotocols", maxOffers)
			case slices.Contains(offered, item):
				return "", refuse(http.StatusBadRequest, "the subprotocol %.40q is there twice", item)
			}
			offered = append(offered, item)
		}
	}
	for _, name := range ep.Subprotocols {
		if slices.Contains(offered, name) {
			return name, nil
		}
	}
	if strict && len(ep.Subprotocols) > 0 {
		return "", refuse(http.StatusBadRequest, "the client must offer the subprotocol %s", strings.Join(ep.Subprotocols, " or "))
	}
	return "", nil
}

// isToken tells whether text is a token of RFC 9110, 5.6.2.
func isToken(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return text != ""
}

// allowsOrigin tells whether the page that asks may connect. Browsers let every page open a WebSocket to everywhere and send what
// authenticates their user along, but they say whose page it is; what is no browser sends no Origin, and cannot be misused by a page.
func (p *Protocol) allowsOrigin(r *http.Request, at Place) bool {
	origins := r.Header["Origin"]
	switch {
	case len(origins) == 0:
		return true
	case len(origins) > 1:
		return false
	case slices.Contains(p.origins, origins[0]):
		return true
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" || at.Secure && u.Scheme != "https" {
		return false
	}
	return u.Scheme+"://"+u.Host == origins[0] && strings.EqualFold(u.Host, r.Host) // a proxy may do TLS, so the scheme of a plain listener says nothing
}

// knowsHost tells whether the Host header is one that a page whose name was made to point at this machine (DNS rebinding) cannot
// produce: an address, localhost, or a configured name.
func (p *Protocol) knowsHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(p.hosts, func(h string) bool { return strings.EqualFold(h, name) })
}
