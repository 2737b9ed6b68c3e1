package e2e

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// What the server tells a newcomer to try is tried, word for word.
func TestBannerHints(t *testing.T) {
	n := local(t)
	out, _ := n.out.look()
	_, hints, _ := strings.Cut(out, "Try:\n")
	lines := strings.Split(strings.TrimSpace(hints), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines to try:\n%s", len(lines), out)
	}
	for _, line := range lines {
		if strings.Contains(line, "SUBSCRIBE") {
			continue // goes on until it is interrupted; TestRedisCLI does it
		}
		if got := must(t, "sh", "-c", line); strings.TrimSpace(got) == "" {
			t.Errorf("%s printed nothing", line)
		}
	}
}

func TestRedisCLI(t *testing.T) {
	n := local(t)
	cli := func(args ...string) string {
		return strings.TrimSpace(must(t, "redis-cli", append([]string{"-p", n.port("resp")}, args...)...))
	}
	for want, args := range map[string][]string{
		"PONG":  {"PING"},
		"hello": {"ECHO", "hello"},
		"0":     {"PUBLISH", "news", "nobody hears"},
		"1":     {"-3", "PING", "1"},
	} {
		if got := cli(args...); got != want {
			t.Errorf("redis-cli %v: %q, want %q", args, got, want)
		}
	}
	subscriber := exec.Command("redis-cli", "-p", n.port("resp"), "PSUBSCRIBE", "news/*")
	pipe, err := subscriber.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := subscriber.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = subscriber.Process.Kill()
		_ = subscriber.Wait()
	}()
	readUntil(t, pipe, "psubscribe")
	if got := cli("PUBLISH", "news/today", "hello"); got != "1" {
		t.Errorf("PUBLISH: %q", got)
	}
	readUntil(t, pipe, "hello")
	if got := cli("CLIENT", "LIST"); !strings.Contains(got, "psub=1") {
		t.Errorf("CLIENT LIST: %s", got)
	}
	// A script of commands on standard input, as people write them.
	script := exec.Command("redis-cli", "-p", n.port("resp"))
	script.Stdin = strings.NewReader("PING\nECHO \"two words\"\nNOSUCH\nCLIENT SETNAME me\nCLIENT GETNAME\n")
	got, err := script.Output()
	if err != nil || string(got) != "PONG\ntwo words\nERR unknown command 'NOSUCH', with args beginning with: \n\nOK\nme\n" {
		t.Errorf("a script: %q, %v", got, err)
	}
}

func readUntil(t *testing.T, r io.Reader, want string) {
	t.Helper()
	var got strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(got.String(), want) {
		n, err := r.Read(b)
		got.Write(b[:n])
		if err != nil {
			t.Fatalf("no %q in %q: %v", want, got.String(), err)
		}
	}
}

func TestRedisCLIOverTLSWithAPassword(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	n := serve(t, "--config", write(t, "spate.yaml", guarded(t, "[resp+tls://localhost:0]")+"tls: {cert: "+cert+", key: "+key+"}\n"))
	args := []string{"-h", "localhost", "-p", n.port("resp+tls"), "--tls", "--cacert", cert}
	if got := must(t, "redis-cli", append(args, "PING")...); !strings.Contains(got, "NOAUTH") {
		t.Errorf("nobody: %q", got)
	}
	if got := must(t, "redis-cli", append(args, "--no-auth-warning", "--user", "anna", "--pass", "secret", "PUBLISH", "news/a", "x")...); strings.TrimSpace(got) != "0" {
		t.Errorf("anna: %q", got)
	}
}

func TestRedisBenchmark(t *testing.T) {
	for _, engine := range []string{"epoll", "net"} {
		n := local(t, "--engine", engine)
		got := must(t, "redis-benchmark", "-p", n.port("resp"), "-q", "-n", "20000", "-c", "50", "-P", "16", "-t", "ping_inline,ping_mbulk")
		if strings.Count(got, "requests per second") != 2 || strings.Contains(got, "Error") {
			t.Errorf("%s:\n%s", engine, got)
		}
		got = must(t, "redis-benchmark", "-p", n.port("resp"), "-q", "-n", "20000", "-c", "50", "PUBLISH", "news", "x")
		if !strings.Contains(got, "requests per second") {
			t.Errorf("%s:\n%s", engine, got)
		}
	}
}

// The load generator of the binary itself.
func TestBench(t *testing.T) {
	n := serve(t, "--listen", "resp://127.0.0.1:0", "--listen", "echo://127.0.0.1:0")
	for protocol, addr := range map[string]string{"resp": n.urls["resp"], "echo": n.urls["echo"]} {
		got := must(t, binary, "bench", protocol, addr, "--conns", "10", "--duration", "1s")
		if !strings.Contains(got, "p99") {
			t.Errorf("%s:\n%s", protocol, got)
		}
	}
}

func TestCurl(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	socket := t.TempDir() + "/http.sock"
	n := serve(t, "--listen", "http://127.0.0.1:0", "--listen", "http+tls://127.0.0.1:0", "--listen", "http+unix://"+socket,
		"--listen", "resp://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--pprof")
	base := "http://" + n.urls["http"]
	for _, args := range [][]string{
		{base + "/readyz"},
		{"--cacert", cert, "--resolve", "localhost:" + n.port("http+tls") + ":127.0.0.1", "https://localhost:" + n.port("http+tls") + "/readyz"},
		{"--unix-socket", socket, "http://localhost/readyz"},
		{"--http1.0", base + "/livez"},
	} {
		if got := must(t, "curl", append([]string{"-sS", "--fail"}, args...)...); got != "ok\n" {
			t.Errorf("curl %v: %q", args, got)
		}
	}
	for path, want := range map[string]string{
		"/metrics": "spate_connections{door=\"engine\"}", "/debug/connections": "LISTENER", "/debug/tasks": "listener http",
		"/debug/": "/metrics", "/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		if got := must(t, "curl", "-sS", "--fail", base+path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(must(t, "curl", "-sS", "--fail", "-H", "Accept: application/json", base+"/debug/connections")), &rows); err != nil || len(rows) == 0 {
		t.Errorf("%v, %v", rows, err)
	}
	for want, args := range map[string][]string{
		"403": {"-H", "Host: evil.example.com", base + "/metrics"},
		"405": {"-X", "POST", base + "/metrics"},
		"404": {base + "/nowhere"},
	} {
		if got := must(t, "curl", append([]string{"-sS", "-o", "/dev/null", "-w", "%{http_code}"}, args...)...); got != want {
			t.Errorf("curl %v: %s, want %s", args, got, want)
		}
	}
}

func TestCurlAuthentication(t *testing.T) {
	n := serve(t, "--config", write(t, "spate.yaml", guarded(t, "[http://127.0.0.1:0]")))
	for want, args := range map[string][]string{
		"401": {}, "403": {"-u", "anna:secret"}, "200": {"-u", "root:secret"},
	} {
		args = append([]string{"-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://" + n.urls["http"] + "/metrics"}, args...)
		if got := must(t, "curl", args...); got != want {
			t.Errorf("curl %v: %s, want %s", args, got, want)
		}
	}
}
