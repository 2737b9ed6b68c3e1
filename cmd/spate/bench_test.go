package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// answering listens and answers each connection with handle until the test
// ends.
func answering(t *testing.T, network, address string, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		all.Wait()
	})
	return ln.Addr().String()
}

func echoing(c net.Conn) { _, _ = io.Copy(c, c) }

// pong answers +PONG to every PING, and asks for a password first.
func pong(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		reply := strings.Repeat("+PONG\r\n", strings.Count(string(buf[:n]), "PING"))
		if strings.Contains(string(buf[:n]), "AUTH") {
			reply = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
			if strings.Contains(string(buf[:n]), "ann\r\n$6\r\nsecret\r\n") {
				reply = "+OK\r\n"
			}
		}
		_, _ = c.Write([]byte(reply))
	}
}

func benchWith(t *testing.T, args ...string) (out, progress string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := newBenchCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

func TestBenchReports(t *testing.T) {
	echo := answering(t, "tcp", "127.0.0.1:0", echoing)
	unix := answering(t, "unix", filepath.Join(t.TempDir(), "echo"), echoing)
	redis := answering(t, "tcp", "127.0.0.1:0", pong)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"closed loop", []string{"echo", echo, "--size", "100"}, []string{
			`^echo 127\.0\.0\.1:\d+: 100 B, 3 connections, pipeline 1, closed loop, \d+`,
			`\n  throughput  [1-9]\d* requests/s\n`,
			`\n  latency     p50 \S+s, p90 \S+s, p99 \S+s, p99\.9 \S+s, max \S+s\n`, `\n  errors      0\n$`,
		}},
		{"open loop", []string{"echo", echo, "--rate", "500"}, []string{`500 per second`, `\n  unanswered  \d+( \(oldest waited \S+\) at the end; their waiting counts as latency)?`}},
		{"unix", []string{"echo", "unix:" + unix}, []string{`echo unix:/`, `errors      0\n`}},
		{"resp", []string{"resp", redis, "--command", "PING", "--user", "ann", "--password-file", password},
			[]string{`^resp \S+: "PING" with 64 B`, `errors      0\n`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(c.args, "--conns", "3", "--warmup", "20ms", "--duration", "100ms")
			if runtime.GOOS == "linux" {
				args = append(args, "--pid", strconv.Itoa(os.Getpid()))
				c.want[len(c.want)-1] = strings.TrimSuffix(c.want[len(c.want)-1], "$")
				c.want = append(c.want, `\n  server CPU  \S+s per request, \d+ % of one CPU \(process \d+\)\n$`)
			}
			out, _, err := benchWith(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("no %s in\n%s", want, out)
				}
			}
		})
	}
}

func TestBenchShowsProgress(t *testing.T) {
	echo := answering(t, "tcp", "127.0.0.1:0", echoing)
	_, progress, err := benchWith(t, "echo", echo, "--warmup", "0", "--duration", "1100ms", "--conns", "1")
	if err != nil || !regexp.MustCompile(`^ *\d+ %  [1-9]\d* requests/s  0 errors\n$`).MatchString(progress) {
		t.Errorf("error %v, progress %q", err, progress)
	}
}

func TestBenchFails(t *testing.T) {
	redis := answering(t, "tcp", "127.0.0.1:0", pong)
	silent := answering(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	closing := answering(t, "tcp", "127.0.0.1:0", func(net.Conn) {})
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", []string{"echo", "--conns", "0"}, "--conns: 0 is not a number from 1"},
		{"a negative rate", []string{"echo", "--rate", "-1"}, "--rate: -1 is not a number from 0"},
		{"no duration", []string{"echo", "--duration", "0s"}, "--duration: 0s must be above zero"},
		{"no port", []string{"echo", "127.0.0.1"}, `"127.0.0.1" is not an address to connect to: give HOST:PORT`},
		{"a process that is none", []string{"echo", "--pid", "99999999"}, "--pid: "},
		{"a server that is silent", []string{"resp", silent, "--duration", "20ms", "--warmup", "0s"}, "no request was answered: " + silent},
		{"maybe TLS", []string{"resp", closing}, "every connection is broken before any reply: "},
		{"maybe TLS", []string{"resp", closing}, "; if it speaks TLS, say --tls"},
		{"no command", []string{"resp", "--command", " "}, "--command is empty"},
		{"password on the command line", []string{"resp", "--user", "ann"}, "--user needs --password-file"},
		{"no password", []string{"resp", "--password-file", empty + "x"}, "reading the password"},
		{"wrong password", []string{"resp", redis, "--password-file", empty}, "WRONGPASS"},
		{"no certificates", []string{"echo", "--ca", empty}, "no certificate in"},
		{"server that hangs up", []string{"echo", closing}, "every connection is broken"},
		{"not TLS", []string{"echo", closing, "--insecure"}, "connecting to " + closing},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := benchWith(t, c.args...)
			var running failed
			if strings.HasPrefix(c.want, "--") && errors.As(err, &running) {
				t.Errorf("the exit code is not that of what the operator can mend: %v", err)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q; output %q", err, c.want, out)
			}
		})
	}
}
