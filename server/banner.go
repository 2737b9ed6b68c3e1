package server

import (
	"fmt"
	"io"
	"net"
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
	durable := n.config.Data != "" && createStreams(&n.config) // so that XADD works without a stream that was made for it
	for _, o := range n.open {
		scheme, _, _ := strings.Cut(o.url, "://")
		protocol, suffix, _ := strings.Cut(scheme, "+")
		var lines []string
		switch protocol {
		case "resp":
			cli := "redis-cli" + n.redisArguments(suffix, o.addr)
			lines = []string{cli + " PING", cli + " PSUBSCRIBE 'news/*'", cli + " PUBLISH news/today hello"}
			if durable {
				lines = []string{cli + " XADD orders/7 '*' item tea   # on disk before the answer", cli + " XRANGE orders/7 - +", lines[1]}
			}
		case "http":
			curl, base := n.curl(suffix, o.addr)
			lines = []string{curl + base + "/debug/connections", curl + base + "/metrics", curl + base + "/readyz"}
			if n.config.Data != "" {
				lines[0] = curl + base + "/v1/streams   # what is kept"
			}
		case "mqtt", "mqtts":
			lines = n.mosquitto(n.mosquittoArguments(secure(o.url), o.addr))
		case "ws", "wss":
			lines = []string{"websocat " + protocol + "://" + reachable(o.addr) + "/v1/ws   # {\"type\":\"subscribe\",\"filter\":\"news/#\"}"}
		case "echo":
			lines = []string{"echo hello | " + echoClient(suffix, o.addr)}
		}
		first, rest = append(first, lines[0]), append(rest, lines[1:]...)
	}
	// One line for each of the first listeners, and then more about them.
	lines := append(first, rest...)
	return lines[:min(3, len(lines))]
}

// mosquittoArguments are what mosquitto_pub and mosquitto_sub need to reach a listener.
func (n *Node) mosquittoArguments(tls bool, addr net.Addr) string {
	args := " --unix " + addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok {
		args = fmt.Sprintf(" -p %d", tcp.Port)
		if host, _, _ := net.SplitHostPort(reachable(addr)); host != "127.0.0.1" {
			args = " -h " + host + args
		}
	}
	if tls {
		args += " --cafile " + n.config.TLS.Cert + " --insecure"
	}
	return args
}

// mosquitto are a command that subscribes and one that publishes, each as a user who may, if there are users.
func (n *Node) mosquitto(args string) []string {
	filter, topic := "'sensors/#'", "sensors/hall/temperature"
	reader, may := n.mosquittoUser(func(r auth.Role) []string { return r.Subscribe })
	if may != "" && may != "#" {
		filter = "'" + may + "'"
	}
	writer, may := n.mosquittoUser(func(r auth.Role) []string { return r.Publish })
	if may != "" && may != "#" {
		topic = "'" + strings.NewReplacer("+", "1", "#", "1").Replace(may) + "'"
	}
	return []string{
		"mosquitto_sub" + args + reader + " -t " + filter + " -v",
		"mosquitto_pub" + args + writer + " -t " + topic + " -m 21.5 -q 1",
	}
}

// mosquittoUser are the arguments for the first user whose roles have one of the filters that are asked for, and that filter.
func (n *Node) mosquittoUser(filters func(auth.Role) []string) (args, filter string) {
	users := n.config.Auth.Users
	for _, u := range users {
		client := n.clientOf(u)
		for _, name := range u.Roles {
			for _, f := range filters(n.config.Auth.Roles[name]) {
				if strings.Contains(f, "{client}") && strings.Contains(client, "/") {
					continue // it allows nothing to such a client
				}
				return mosquittoLogin(u.Name, client), strings.NewReplacer("{user}", u.Name, "{client}", client).Replace(f)
			}
		}
	}
	if len(users) == 0 {
		return "", ""
	}
	return mosquittoLogin(users[0].Name, n.clientOf(users[0])), ""
}

func mosquittoLogin(user, client string) string { return " -u " + user + " -P … -i " + client }

// clientOf is a client identifier that a user may use.
func (n *Node) clientOf(u auth.User) string {
	for _, name := range u.Roles {
		for _, pattern := range n.config.Auth.Roles[name].Clients {
			return strings.NewReplacer("{user}", u.Name, "*", "1").Replace(pattern)
		}
	}
	return u.Name
}

// redisArguments are what redis-cli needs to reach a listener.
func (n *Node) redisArguments(suffix string, addr net.Addr) string {
	args := " -s " + addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok {
		args = fmt.Sprintf(" -p %d", tcp.Port)
		if host, _, _ := net.SplitHostPort(reachable(addr)); host != "127.0.0.1" {
			args = " -h " + host + args
		}
	}
	if suffix == "tls" {
		args += " --tls --insecure"
	}
	if users := n.config.Auth.Users; len(users) > 0 {
		args += " --user " + users[0].Name + " --askpass"
	}
	return args
}

// curl is the command and the beginning of the URL that reach a listener.
func (n *Node) curl(suffix string, addr net.Addr) (command, base string) {
	command = "curl "
	if users := n.config.Auth.Users; len(users) > 0 {
		command += "-u " + users[0].Name + " "
	}
	switch suffix {
	case "unix":
		return command + "--unix-socket " + addr.String() + " ", "http://localhost"
	case "tls":
		return command + "-k ", "https://" + reachable(addr)
	}
	return command, "http://" + reachable(addr)
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
