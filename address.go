package spate

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An address is a listener's URL, taken apart.
type address struct {
	url      string
	scheme   string // with its suffix: "resp+tls"
	protocol string // "resp"
	tls      bool
	network  string // "tcp" or "unix"
	host     string // "host:port" or a path
}

// String is the URL as it was written.
func (a address) String() string { return a.url }

// parseAddress takes a listener's URL apart.
func parseAddress(url string) (address, error) {
	wrong := func(format string, args ...any) (address, error) {
		return address{}, fmt.Errorf("%q is not a listener: %s", url, fmt.Sprintf(format, args...))
	}
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return wrong("write a protocol and an address, such as resp://127.0.0.1:6379")
	}
	protocol, suffix, suffixed := strings.Cut(scheme, "+")
	a := address{url: url, scheme: scheme, protocol: protocol, network: "tcp", host: rest}
	switch protocol { // the usual names of mqtt+tls and ws+tls
	case "mqtts", "wss":
		a.protocol, a.tls = strings.TrimSuffix(protocol, "s"), true
	}
	switch a.protocol {
	case "echo", "resp", "http", "mqtt", "ws":
	default:
		return wrong("the protocol %q is not known; echo, resp, http, mqtt, mqtts, ws and wss are", protocol)
	}
	switch {
	case suffixed && protocol != a.protocol:
		return wrong("nothing comes after %s", protocol)
	case suffixed && suffix == "unix":
		a.network = "unix"
		if rest == "" {
			return wrong("the path of the socket is missing, as in %s:///run/spate.sock", scheme)
		}
		return a, nil
	case suffixed && suffix == "tls":
		a.tls = true
	case suffixed:
		return wrong("after + comes tls or unix, not %q", suffix)
	}
	if a.protocol == "ws" && strings.Contains(rest, "/") {
		return wrong("after :// come a host and a port, and nothing else; the path, /mqtt or /v1/ws, is what clients add")
	}
	if strings.ContainsAny(rest, "/?#@") {
		return wrong("after :// come a host and a port, and nothing else")
	}
	_, port, err := net.SplitHostPort(rest)
	if err != nil {
		return wrong("after :// come a host and a port, as in %s://127.0.0.1:%d", scheme, a.usualPort())
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return wrong("the port is a number from 0 to 65535, not %q", port)
	} else if n == 0 {
		a.host = strings.TrimSuffix(rest, port) + "0"
	}
	return a, nil
}

// usualPort is where clients look for the protocol.
func (a address) usualPort() int {
	usual := map[string][2]int{"echo": {7007, 7008}, "resp": {6379, 6380}, "http": {8080, 8443}, "mqtt": {1883, 8883}, "ws": {8081, 8443}}[a.protocol]
	if a.tls {
		return usual[1]
	}
	return usual[0]
}

// resolved is the URL with the port that the socket got. The host stays as it was
// written: of 0.0.0.0, for one, a socket says [::].
func (a address) resolved(got net.Addr) string {
	if tcp, ok := got.(*net.TCPAddr); ok {
		host, _, _ := net.SplitHostPort(a.host)
		return a.scheme + "://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return a.scheme + "://" + got.String()
}
