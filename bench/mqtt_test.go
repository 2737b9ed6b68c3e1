package main

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestLevels(t *testing.T) {
	var l levels
	if err := l.Set("0,2"); err != nil || !slices.Equal(l, levels{0, 2}) || l.String() != "0,2" {
		t.Errorf("got %v, %v", l, err)
	}
	for _, bad := range []string{"", "3", "0,", "a", "10"} {
		if err := l.Set(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, l)
		}
	}
}

func TestMosquittoConfig(t *testing.T) {
	const limits = "allow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\nlog_type error\n"
	got, err := mosquittoConfig(serverOptions{}, "127.0.0.1:1", "")
	if want := "listener 1 127.0.0.1\nprotocol mqtt\n" + limits + "persistence false\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	got, err = mosquittoConfig(serverOptions{dir: "/d", mqtt: mqttServer{stores: true}}, "127.0.0.1:1", "127.0.0.1:2")
	want := "listener 1 127.0.0.1\nprotocol mqtt\nlistener 2 127.0.0.1\nprotocol websockets\n" + limits + "persistence true\npersistence_location /d/\n"
	if os.Geteuid() == 0 {
		want += "user root\n"
	}
	if err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !strings.Contains(string(readme), limits+"persistence false\n") {
		t.Errorf("README.md does not show the configuration: %v", err)
	}
}

// A server that is started again listens where it did before.
func TestAddresses(t *testing.T) {
	first, web, err := (&mqttServer{webSockets: true}).addresses()
	if err != nil || web == "" || web == first {
		t.Fatalf("%q and %q, %v", first, web, err)
	}
	if _, _, err := net.SplitHostPort(web); err != nil {
		t.Error(err)
	}
	again := mqttServer{again: &server{address: first, web: web}}
	if a, w, err := again.addresses(); a != first || w != web || err != nil {
		t.Errorf("%q and %q, %v", a, w, err)
	}
}

func TestMQTTFlags(t *testing.T) {
	for args, want := range map[string]string{
		"mqtt-pairs -layouts three": "no layout is called", "mqtt-pairs -qos 3": "is not a QoS level", "mqtt-fanout -inflight 0": "not a positive number",
	} {
		if err := run(t.Context(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", args, err)
		}
	}
}
