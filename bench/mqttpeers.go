package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spate-io/spate/stream"
)

// mqttServer says how a server of MQTT is started, besides its directory.
type mqttServer struct {
	webSockets bool // as well
	stores     bool // what has a session that is offline
	captures   bool // all messages go to a stream: Spate only
	again      *server
}

func mqttPeers() map[string]peer {
	return map[string]peer{
		"spate-mqtt": {"serve", spateMQTT},
		"mosquitto":  {"mosquitto", mosquitto},
	}
}

// addresses are where a server of MQTT listens: where it did before, if it is started again.
func (o *mqttServer) addresses() (address, web string, err error) {
	if o.again != nil {
		return o.again.address, o.again.web, nil
	}
	if address, err = freeAddress(); err == nil && o.webSockets {
		web, err = freeAddress()
	}
	return address, web, err
}

// spateMQTT is the program that a user starts, with its MQTT listener and, for WebSockets, its HTTP listener.
func spateMQTT(ctx context.Context, o serverOptions) (*server, error) {
	address, web, err := o.mqtt.addresses()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	listen := []string{"mqtt://" + address}
	if o.pprof != "" {
		web = o.pprof
	}
	if web != "" {
		listen = append(listen, "http://"+web)
	}
	config := map[string]any{ // JSON is YAML
		"data": filepath.Join(o.dir, "data"), "listen": listen,
		"log": map[string]any{"level": "warn"}, "http": map[string]any{"pprof": o.pprof != ""},
	}
	if o.mqtt.captures {
		config["streams"] = []stream.Config{{Name: "bench", Subjects: []string{"bench/#"}, Partitions: 1}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.dir, "spate.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	s, err := startBoth(ctx, o.cpu, address, web, filepath.Join(target, "serve"), "serve", "--config", file)
	if s != nil {
		s.pprof = o.pprof
	}
	return s, err
}

// startBoth runs a server that was told to listen on one address, and on another unless that is empty.
func startBoth(ctx context.Context, cpu int, address, web string, argv ...string) (*server, error) {
	s, err := startAt(ctx, cpu, address, argv...)
	if err != nil || web == "" {
		return s, err
	}
	s.web = web
	return s, s.waitFor(web)
}

// mosquittoConfig is what mosquitto is told. Its limits on queues and on messages under way are taken away, because no
// server may win by dropping; README.md shows it.
func mosquittoConfig(o serverOptions, address, web string) (string, error) {
	var b strings.Builder
	for _, listener := range []struct{ address, protocol string }{{address, "mqtt"}, {web, "websockets"}} {
		if listener.address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(listener.address)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "listener %s %s\nprotocol %s\n", port, host, listener.protocol)
	}
	fmt.Fprintf(&b, "allow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\nlog_type error\npersistence %v\n", o.mqtt.stores)
	if o.mqtt.stores {
		fmt.Fprintf(&b, "persistence_location %s/\n", o.dir)
		if os.Geteuid() == 0 {
			b.WriteString("user root\n") // or it could not write there
		}
	}
	return b.String(), nil
}

func mosquitto(ctx context.Context, o serverOptions) (*server, error) {
	address, web, err := o.mqtt.addresses()
	if err != nil {
		return nil, err
	}
	config, err := mosquittoConfig(o, address, web)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(o.dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return startBoth(ctx, o.cpu, address, web, "mosquitto", "-c", file)
}

// mosquittoVersion is the first line of its help, which it ends with an error.
func mosquittoVersion() string {
	out, _ := exec.Command("mosquitto", "-h").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return cmp.Or(strings.TrimSpace(line), "no mosquitto")
}
