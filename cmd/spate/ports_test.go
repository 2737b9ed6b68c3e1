package main

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/spate-io/spate/server"
)

func TestOtherPorts(t *testing.T) {
	listen := []server.Listener{{URL: "mqtts://[::1]:8883"}, {URL: "resp+unix:///run/a:1"}, {URL: "http://127.0.0.1:8080"}}
	got := otherPorts(fmt.Errorf("cannot: %w", syscall.EADDRINUSE), listen).Error()
	if want := "for free ports say --listen mqtts://[::1]:0 --listen resp+unix:///run/a:1 --listen http://127.0.0.1:0 (one"; !strings.Contains(got, want) {
		t.Error(got)
	}
	if err := otherPorts(io.EOF, listen); err != io.EOF {
		t.Error(err)
	}
}

// `go run` keeps what it has built in a temporary directory or in the cache of builds: neither is a name to call it by.
func TestProgramAt(t *testing.T) {
	for self, want := range map[string]string{
		"/tmp/go-build123/b001/exe/spate":   "go run ./cmd/spate",
		"/var/cache/go-build/0a/ab-d/spate": "go run ./cmd/spate",
		"/opt/go/bin/spate":                 "bin/spate",
	} {
		if got := programAt(self, "./bin/spate"); got != want {
			t.Errorf("%s: %s, want %s", self, got, want)
		}
	}
}
