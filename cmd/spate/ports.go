package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spate-io/spate/server"
)

// otherPorts adds to the error that an address is taken how to have free ports instead.
func otherPorts(err error, listen []server.Listener) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	var flags strings.Builder
	for _, l := range listen {
		scheme, at, _ := strings.Cut(l.URL, "://")
		if host, _, err := net.SplitHostPort(at); err == nil && !strings.HasSuffix(scheme, "+unix") {
			at = net.JoinHostPort(host, "0")
		}
		fmt.Fprintf(&flags, " --listen %s://%s", scheme, at)
	}
	return fmt.Errorf("%w; for free ports say%s (one --listen replaces all listeners that are configured or the default)", err, flags.String())
}

// program is how this program is called again.
func program() string {
	self, err := os.Executable()
	if found, missing := exec.LookPath("spate"); err != nil || missing == nil && found == self {
		return "spate"
	}
	return programAt(self, os.Args[0])
}

// programAt is how a program is called again that is none on the path. What `go run` has built is gone afterwards, or in the cache of builds.
func programAt(self, called string) string {
	if slices.ContainsFunc(strings.Split(filepath.ToSlash(self), "/"), func(dir string) bool { return strings.HasPrefix(dir, "go-build") }) {
		return "go run ./cmd/spate"
	}
	return filepath.Clean(called)
}
