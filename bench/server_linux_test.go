package main

import (
	"net"
	"strings"
	"testing"
)

func TestStartWaitsForTheAddress(t *testing.T) {
	s, err := start(t.Context(), 0, "sh", "-c", "echo hello; echo listening on 127.0.0.1:1; echo more; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if s.address != "127.0.0.1:1" {
		t.Errorf("address %q", s.address)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestStartSaysWhatWentWrong(t *testing.T) {
	_, err := start(t.Context(), 0, "sh", "-c", "exit 3")
	if err == nil || !strings.Contains(err.Error(), "ended before") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

func TestStartAtWaitsForTheListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, err := startAt(t.Context(), 0, ln.Addr().String(), "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if _, err := startAt(t.Context(), 0, "127.0.0.1:1", "false"); err == nil {
		t.Error("a server that ends at once has started")
	}
}
