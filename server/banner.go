package server

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spate-io/spate/auth"
)

// Banner writes what the node listens on, and three lines to try.
func (n *Node) Banner(w io.Writer, version string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "spate %s listens on\n", version)
	for _, o := range n.open {
		fmt.Fprintf(&b, "  %s\n", o.url)
	}
	if n.config.Data != "" {
		fmt.Fprintf(&b, "Data is in %s. ", n.config.Data)
	}
	b.WriteString(n.whoMayConnect() + " Try:\n")
	for _, line := range n.hints() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// whoMayConnect says in a sentence or two whether strangers can use the node.
func (n *Node) whoMayConnect() string {
	var public []string // echo asks nobody who they are
	for _, o := range n.open {
		if strings.HasPrefix(o.url, "echo") && !auth.Local(o.addr) {
			public = append(public, o.url)
		}
	}
	everybody := "everybody who can reach " + strings.Join(public, " or ") + " may use it"
	switch on := n.app.Auth().Enabled(); {
	case on && len(public) > 0:
		return "Authentication is on, but " + everybody + "."
	case on:
		return "Authentication is on."
	case len(public) == len(n.open):
		return "Authentication is off: " + everybody + "."
	case len(public) > 0:
		return "Authentication is off: " + everybody + "; to the rest, only this machine can connect."
	}
	return "Authentication is off: only this machine can connect."
}

// hints are three commands that fit the listeners.
func (n *Node) hints() []string {
	var first, rest []string
	for _, o := range n.open {
		scheme, _, _ := strings.Cut(o.url, "://")
		protocol, suffix, _ := strings.Cut(scheme, "+")
		var lines []string
		switch protocol {
		case "resp":
			lines = n.redis(n.redisArguments(o))
		case "http":
			lines = n.curl(o)
		case "mqtt", "mqtts":
			lines = n.mosquitto(n.mosquittoArguments(o))
		case "ws", "wss":
			lines = []string{"websocat " + protocol + "://" + n.trust(o).at(o.addr) + "/v1/ws   # {\"type\":\"subscribe\",\"filter\":\"news/#\"}"}
		case "echo":
			lines = []string{"echo hello | " + echoClient(suffix, o.addr)}
		}
		first, rest = append(first, lines[0]), append(rest, lines[1:]...)
	}
	// One line for each of the first listeners, and then more about them.
	lines := append(first, rest...)
	return lines[:min(3, len(lines))]
}

// trust is what clients of a listener need to know of its certificate, and by which host they reach it.
func (n *Node) trust(o opened) trust {
	host, _, _ := net.SplitHostPort(reachable(o.addr))
	if !secure(o.url) {
		return trust{host: host}
	}
	return trustOf(n.tlsOf(o.listener), host)
}

// where are the arguments with which redis-cli and the clients of mosquitto reach a listener. Those that speak TLS are told the name even if it is what they would take.
func (n *Node) where(o opened, unix string) string {
	tcp, ok := o.addr.(*net.TCPAddr)
	if !ok {
		return " " + unix + " " + o.addr.String()
	}
	args, host := fmt.Sprintf(" -p %d", tcp.Port), n.trust(o).host
	if host != "127.0.0.1" || secure(o.url) {
		args = " -h " + host + args
	}
	return args
}

// mosquittoArguments are what mosquitto_pub and mosquitto_sub need to reach a listener.
func (n *Node) mosquittoArguments(o opened) string {
	args := n.where(o, "--unix")
	if secure(o.url) {
		args += n.trust(o).arguments("--cafile", "--insecure")
	}
	return args
}

// mosquitto are a command that subscribes and one that publishes, each as a user who may, if there are users.
func (n *Node) mosquitto(args string) []string {
	filter := "'sensors/#'"
	reader, may := n.userWith(func(r auth.Role) []string { return r.Subscribe })
	if may != "" && may != "#" {
		filter = "'" + may + "'"
	}
	writer, may := n.userWith(func(r auth.Role) []string { return r.Publish })
	return []string{
		"mosquitto_sub" + args + n.mosquittoLogin(reader) + " -t " + filter + " -v",
		"mosquitto_pub" + args + n.mosquittoLogin(writer) + " -t " + subjectIn(may, "sensors/hall/temperature") + " -m 21.5 -q 1",
	}
}

// userWith is the first user whose roles have one of the filters that are asked for, with that filter; or else the first user, and none without users.
func (n *Node) userWith(filters func(auth.Role) []string) (user *auth.User, filter string) {
	users := n.config.Auth.Users
	for i := range users {
		u, client := &users[i], n.clientOf(&users[i])
		for _, name := range u.Roles {
			for _, f := range filters(n.config.Auth.Roles[name]) {
				if strings.Contains(f, "{client}") && strings.Contains(client, "/") {
					continue // it allows nothing to such a client
				}
				return u, strings.NewReplacer("{user}", u.Name, "{client}", client).Replace(f)
			}
		}
	}
	if len(users) == 0 {
		return nil, ""
	}
	return &users[0], ""
}

// administrator is the first user who may do everything, if there is one.
func (n *Node) administrator() *auth.User {
	for i, u := range n.config.Auth.Users {
		if slices.ContainsFunc(u.Roles, func(name string) bool { return n.config.Auth.Roles[name].Admin }) {
			return &n.config.Auth.Users[i]
		}
	}
	return nil
}

func (n *Node) mosquittoLogin(u *auth.User) string {
	if u == nil {
		return ""
	}
	return " -u " + u.Name + " -P … -i " + n.clientOf(u)
}

// clientOf is a client identifier that a user may use.
func (n *Node) clientOf(u *auth.User) string {
	for _, name := range u.Roles {
		for _, pattern := range n.config.Auth.Roles[name].Clients {
			return strings.NewReplacer("{user}", u.Name, "*", "1").Replace(pattern)
		}
	}
	return u.Name
}

// redis are commands for redis-cli, as users who may, if there are users.
func (n *Node) redis(args string) []string {
	cli := "redis-cli" + args
	durable := n.config.Data != "" && createStreams(&n.config) // so that XADD works without a stream that was made for it
	if users := n.config.Auth.Users; len(users) > 0 {
		var lines []string
		if writer, may := n.userWith(func(r auth.Role) []string { return r.Publish }); may != "" {
			command := " PUBLISH " + subjectIn(may, "news/today") + " hello"
			if durable {
				command = " XADD " + subjectIn(may, "orders/7") + " '*' item tea   # on disk before the answer"
			}
			lines = append(lines, cli+redisLogin(writer)+command)
		}
		if reader, may := n.userWith(func(r auth.Role) []string { return r.Subscribe }); may != "" {
			lines = append(lines, cli+redisLogin(reader)+" PSUBSCRIBE '"+may+"'")
		}
		return append(lines, cli+redisLogin(&users[0])+" PING")
	}
	listen := cli + " PSUBSCRIBE 'news/*'"
	if durable {
		return []string{cli + " XADD orders/7 '*' item tea   # on disk before the answer", cli + " XRANGE orders/7 - +", listen}
	}
	return []string{cli + " PING", listen, cli + " PUBLISH news/today hello"}
}

func redisLogin(u *auth.User) string { return " --user " + u.Name + " --askpass" }

// redisArguments are what redis-cli needs to reach a listener.
func (n *Node) redisArguments(o opened) string {
	args := n.where(o, "-s")
	if secure(o.url) {
		args += " --tls" + n.trust(o).arguments("--cacert", "--insecure")
	}
	return args
}

// subjectIn is a subject that a filter selects: that which is given, if the filter selects everything.
func subjectIn(filter, subject string) string {
	if filter == "" || filter == "#" {
		return subject
	}
	return "'" + strings.NewReplacer("+", "1", "#", "1").Replace(filter) + "'"
}

// curl are commands for curl, as a user who may.
func (n *Node) curl(o opened) []string {
	args, base := "", "http://"+reachable(o.addr)
	switch {
	case secure(o.url):
		t := n.trust(o)
		args, base = t.arguments("--cacert", "-k"), "https://"+t.at(o.addr)
	case o.addr.Network() == "unix":
		args, base = " --unix-socket "+o.addr.String(), "http://localhost"
	}
	ready := "curl" + args + " " + base + "/readyz"
	if n.app.Auth().Enabled() {
		admin := n.administrator()
		reader, filter := n.userWith(func(r auth.Role) []string { return r.Subscribe })
		switch {
		case admin != nil:
			args = " -u " + admin.Name + args
		case filter != "":
			return []string{"curl -N -u " + reader.Name + args + " '" + base + "/v1/subscribe?filter=" + url.QueryEscape(filter) + "'", ready}
		default:
			return []string{ready}
		}
	}
	lines := []string{"curl" + args + " " + base + "/debug/connections", "curl" + args + " " + base + "/metrics", ready}
	if n.config.Data != "" {
		lines[0] = "curl" + args + " " + base + "/v1/streams   # what is kept"
	}
	return lines
}

// reachable is the address for a client on this machine.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return addr.String()
}

func echoClient(suffix string, addr net.Addr) string {
	switch suffix {
	case "unix":
		return "nc -NU " + addr.String()
	case "tls":
		return "openssl s_client -quiet -connect " + reachable(addr)
	}
	host, port, _ := net.SplitHostPort(reachable(addr))
	return "nc -N " + host + " " + port
}
