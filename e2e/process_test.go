package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// The first SIGTERM drains, with clients of both libraries connected, and ends with exit code 0.
func TestTerminateWithClients(t *testing.T) {
	n := local(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := connect(t, &redis.Options{Addr: n.urls["resp"]})
	s := c.Subscribe(ctx, "news")
	defer s.Close()
	if _, err := s.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(ctx, "news", "last").Err(); err != nil {
		t.Fatal(err)
	}
	n.signal(syscall.SIGTERM)
	if m, err := s.ReceiveMessage(ctx); err != nil || m.Payload != "last" {
		t.Errorf("the last event: %+v, %v", m, err)
	}
	if code := n.exit(); code != 0 {
		log, _ := n.err.look()
		t.Errorf("exit code %d\n%s", code, log)
	}
	if err := c.Ping(ctx).Err(); err == nil {
		t.Error("a server that has ended answers")
	}
}

// After kill -9 nothing stands in the way of a new start: neither the lock of the data directory nor the Unix socket.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--listen", "resp+unix://" + dir + "/resp.sock", "--data", dir + "/data"}
	n := serve(t, args...)
	if second, err := run(t, binary, append([]string{"serve"}, args...)...); exitCode(err) != 2 || !strings.Contains(second, "another node is using it") {
		t.Errorf("a second node: %v\n%s", err, second)
	}
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	n.exit()
	serve(t, args...)
	c := connect(t, &redis.Options{Network: "unix", Addr: dir + "/resp.sock"})
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// SIGHUP takes away a right that a client is using: the subscription ends, and the request is denied.
func TestReloadWithdrawsRights(t *testing.T) {
	text := guarded(t, "[resp://127.0.0.1:0]")
	path := write(t, "spate.yaml", text)
	n := serve(t, "--config", path)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	root := connect(t, &redis.Options{Addr: n.urls["resp"], Username: "root", Password: "secret"})
	anna := connect(t, &redis.Options{Addr: n.urls["resp"], Username: "anna", Password: "secret"})
	s := anna.Subscribe(ctx, "news/a")
	defer s.Close()
	if _, err := s.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := root.Publish(ctx, "news/a", "before").Result(); err != nil || got != 1 {
		t.Errorf("before: %d, %v", got, err)
	}
	if m, err := s.ReceiveMessage(ctx); err != nil || m.Payload != "before" {
		t.Errorf("before: %+v, %v", m, err)
	}
	withdrawn := strings.ReplaceAll(text, "subscribe: ['news/#']}", "subscribe: [other]}")
	if err := os.WriteFile(path, []byte(withdrawn), 0o600); err != nil {
		t.Fatal(err)
	}
	n.signal(syscall.SIGHUP)
	n.wait(&n.err, `"msg":"reloaded","changed":["auth.roles"]`)
	if got, err := root.Publish(ctx, "news/a", "after").Result(); err != nil || got != 0 {
		t.Errorf("%d received an event that they may not receive any more, %v", got, err)
	}
	again := anna.Subscribe(ctx, "news/a")
	defer again.Close()
	if _, err := again.Receive(ctx); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("subscribing again: %v", err)
	}
}

// A new certificate is used after SIGHUP, and connections with the old one go on.
func TestReloadCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	n := serve(t, "--listen", "resp+tls://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	before := trusting(t, cert)
	old := connect(t, &redis.Options{Addr: n.urls["resp+tls"], TLSConfig: before, PoolSize: 1})
	if err := old.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	certificate(t, dir)
	n.signal(syscall.SIGHUP)
	n.wait(&n.err, `"certificates":["`+cert)
	if err := old.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	if c, err := tls.Dial("tcp", n.urls["resp+tls"], before); err == nil {
		_ = c.Close()
		t.Error("the old certificate is still in use")
	}
	fresh := connect(t, &redis.Options{Addr: n.urls["resp+tls"], TLSConfig: trusting(t, cert)})
	if err := fresh.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a connection with the new certificate: %v", err)
	}
}

// A binary says where it comes from, and what is wrong in one sentence.
func TestCommandLine(t *testing.T) {
	if got := must(t, binary, "version"); !strings.HasPrefix(got, "spate ") {
		t.Error(got)
	}
	n := local(t)
	cmd := exec.Command(binary, "serve", "--data", t.TempDir(), "--listen", "resp://"+n.urls["resp"])
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); exitCode(err) != 2 || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), "another program is using this address") || out.Len() > 0 {
		t.Errorf("%v\n%s%s", err, out.String(), errs.String())
	}
}
