package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/spate-io/spate/internal/fleet"
)

// banner writes what runs, and what to look at.
func (d *demo) banner(w io.Writer) error {
	var b strings.Builder
	o := d.flags.fleet
	hot := fleet.Name(d.fleet.First())
	fmt.Fprintf(&b, "spate %s demo, with %s (--seed %d). It listens on\n", version(), plural(o.Devices, "simulated device", "simulated devices"), o.Seed)
	for i, l := range d.listen {
		scheme, _, _ := strings.Cut(l.URL, "://")
		fmt.Fprintf(&b, "  %s://%s\n", scheme, reachable(d.node.Addrs()[i]))
	}
	fmt.Fprintf(&b, `
Every %v each device publishes its temperature over MQTT. The stream "readings" keeps them. A handler raises an
alert for a device that has 60 °C, and tells it to turn its fan on, and off again at 40 °C. Heaters get stuck,
thermometers break, and networks are cut. The first to become too hot is %s, in about %v.

Look at it from another terminal. Try:
`, o.Every, hot, 15*o.Every)
	urls := map[string]string{"mqtt": d.url("mqtt"), "resp": d.url("resp"), "http": d.url("http")}
	for _, line := range hints(urls, program(), hot) {
		fmt.Fprintf(&b, "  # %s\n  %s\n", line.shows, line.command)
	}
	kept := "removes the data, " + d.dir
	if d.flags.data != "" {
		kept = "leaves the data in " + d.flags.data
	}
	fmt.Fprintf(&b, "Ctrl-C ends it and %s.\n\nWhat happens, and how much of it, with the time (p50) from a reading to its fan being on:\n", kept)
	_, err := io.WriteString(w, b.String())
	return err
}

// A hint is a command to try, and what it shows.
type hint struct{ command, shows string }

// hints are those that fit the URLs of what is listened on, by protocol.
func hints(urls map[string]string, spate, id string) (all []hint) {
	add := func(shows, format string, args ...any) { all = append(all, hint{fmt.Sprintf(format, args...), shows}) }
	if at := urls["mqtt"]; at != "" {
		sub := "mosquitto_sub" + address(at, "1883")
		add("alerts as they are raised, and what the fans do", "%s -v -t 'alerts/#' -t 'fans/#'", sub)
		add("devices that come and go", "%s -v -t '$devices/+/presence'", sub)
	}
	if at := urls["resp"]; at != "" {
		add("the last readings of a device, from disk", "redis-cli%s XREVRANGE sensors/%s/temperature + - COUNT 3", address(at, "6379"), id)
	}
	if at := urls["http"]; at != "" {
		server := ""
		if at != defaultServer {
			server = " --server " + at
		}
		add("all alerts so far and those to come, as a web page gets them: a line \"data:\" for each, and for what its fan did, until Ctrl-C", "curl -N '%s/v1/subscribe?stream=alerts&from=beginning'", at)
		add("what is known of a device: connected, its state, its commands", "%s device show %s%s", spate, id, server)
		add("turn a fan on yourself", "%s device call %s fan '{\"on\":true}'%s", spate, id, server)
		add("figures for Prometheus", "curl -s %s/metrics | grep ^spate_mqtt", at)
	}
	return all
}

// address is the arguments with which mosquitto_sub and redis-cli reach a URL, without those that are their defaults.
func address(at, defaultPort string) (args string) {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	if u.Hostname() != "127.0.0.1" {
		args = " -h " + u.Hostname()
	}
	if u.Port() != defaultPort {
		args += " -p " + u.Port()
	}
	return args
}

// reachable is an address for a client on this machine.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return addr.String()
}
