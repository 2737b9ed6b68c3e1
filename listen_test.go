package spate_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
)

func TestListenURLs(t *testing.T) {
	for _, test := range []struct{ url, want string }{
		{"127.0.0.1:6379", "write a protocol and an address"},
		{"redis://127.0.0.1:6379", `the protocol "redis" is not known`},
		{"resp+quic://127.0.0.1:6379", "after + comes tls or unix"},
		{"resp+://127.0.0.1:6379", "after + comes tls or unix"},
		{"resp://127.0.0.1", "a host and a port"},
		{"mqtt://127.0.0.1", "as in mqtt://127.0.0.1:1883"},
		{"mqtts://127.0.0.1", "as in mqtts://127.0.0.1:8883"},
		{"ws://127.0.0.1:8081/mqtt", "what clients add"},
		{"resp://127.0.0.1:http", "the port is a number"},
		{"resp://127.0.0.1:65536", "the port is a number"},
		{"resp://user@127.0.0.1:1", "and nothing else"},
		{"http://127.0.0.1:8080/metrics", "and nothing else"},
		{"resp+unix://", "the path of the socket is missing"},
		{"resp+tls://127.0.0.1:0", "TLS needs a certificate"},
		{"wss://127.0.0.1:0", "TLS needs a certificate"},
		{"wss+tls://127.0.0.1:0", "nothing comes after wss"},
		{"resp://192.0.2.1:0", "no interface of this machine has it"},
		{"resp+unix:///nowhere/at/all", "cannot listen on resp+unix:///nowhere/at/all"},
	} {
		t.Run(test.url, func(t *testing.T) {
			app := spate.New(quiet())
			defer app.Close()
			if addr, err := app.Listen(test.url); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v; want %q", addr, err, test.want)
			}
		})
	}
}

// What other machines can reach is refused until somebody is authenticated; and echo, which asks nobody, until it is meant.
func TestPromiseNoSurprise(t *testing.T) {
	open := quiet()
	guarded := quiet()
	guarded.Auth = auth.Config{Roles: map[string]auth.Role{"nobody": {}}}
	for _, test := range []struct {
		name    string
		options spate.Options
		l       spate.Listener
		want    string
	}{
		{"loopback", open, spate.Listener{URL: "resp://127.0.0.1:0"}, ""},
		{"localhost", open, spate.Listener{URL: "http://localhost:0"}, ""},
		{"a Unix socket", open, spate.Listener{URL: "resp+unix://" + filepath.Join(t.TempDir(), "s")}, ""},
		{"all interfaces", open, spate.Listener{URL: "resp://0.0.0.0:0"}, "configure auth"},
		{"all interfaces, not said", open, spate.Listener{URL: "http://:0"}, "configure auth"},
		{"all interfaces, IPv6", open, spate.Listener{URL: "http://[::]:0"}, "configure auth"},
		{"all interfaces, insecure", open, spate.Listener{URL: "resp://0.0.0.0:0", Insecure: true}, "configure auth"},
		{"all interfaces, with auth", guarded, spate.Listener{URL: "resp://0.0.0.0:0"}, ""},
		{"WebSockets on all interfaces", open, spate.Listener{URL: "ws://0.0.0.0:0"}, "configure auth"},
		{"WebSockets on all interfaces, with auth", guarded, spate.Listener{URL: "ws://0.0.0.0:0"}, ""},
		{"echo on all interfaces", open, spate.Listener{URL: "echo://0.0.0.0:0"}, "insecure: true"},
		{"echo on all interfaces, with auth", guarded, spate.Listener{URL: "echo://0.0.0.0:0"}, "insecure: true"},
		{"echo on all interfaces, meant", open, spate.Listener{URL: "echo://0.0.0.0:0", Insecure: true}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := spate.New(test.options)
			defer app.Close()
			_, err := app.ListenWith(test.l)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %q", err, test.want)
			}
			early := test.l.Validate(!app.Auth().Enabled())
			if (early == nil) != (err == nil) {
				t.Errorf("Validate says %v and ListenWith %v", early, err)
			}
		})
	}
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	app := spate.New(quiet())
	defer app.Close()
	url := "resp://" + taken.Addr().String()
	_, err = app.Listen(url)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "cannot listen on "+url+": another program is using this address") {
		t.Error(err)
	}
}

// A socket that a crashed process left is taken over; one that somebody answers on is not.
func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	first, second := spate.New(quiet()), spate.New(quiet())
	defer second.Close()
	addr := listen(t, first, "echo+unix://"+path)
	stop := run(t, first)
	ask(t, dial(t, addr), "hello")
	if _, err := second.Listen("echo+unix://" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// Each listener is in the log once it is served, with its port.
func TestListeningIsLogged(t *testing.T) {
	var log bytes.Buffer
	o := quiet()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	app := spate.New(o)
	resp, http := listen(t, app, "resp://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	run(t, app)()
	for _, url := range []string{"resp://" + resp.String(), "http://" + http.String()} {
		if !strings.Contains(log.String(), "msg=listening listener="+url+"\n") {
			t.Errorf("the log does not have %s:\n%s", url, log.String())
		}
	}
}
