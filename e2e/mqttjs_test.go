package e2e

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A page is the server that the test itself is for npm's mqtt: it has the files, restarts the node when asked, and takes the result.
type page struct {
	*httptest.Server
	mu     sync.Mutex
	node   *node
	result chan string
}

func newPage(t *testing.T) *page {
	t.Helper()
	p := &page{result: make(chan string, 1)}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir("web")))
	mux.HandleFunc("POST /restart", func(http.ResponseWriter, *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.node = p.node.restart(t)
	})
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		p.result <- string(text)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	// The page comes from another origin than the node, which therefore has to allow it.
	p.node = mqttNode(t, "--config", write(t, "spate.yaml", "http: {origins: ['"+p.URL+"']}\n"))
	return p
}

// npmPackages installs what e2e/web/package-lock.json lists.
var npmPackages = sync.OnceValue(func() error {
	want, err := os.ReadFile(filepath.Join("web", "package-lock.json"))
	if err != nil {
		return err
	}
	mark := filepath.Join("web", "node_modules", ".installed")
	if have, _ := os.ReadFile(mark); string(have) == string(want) {
		return nil
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	cmd.Dir = "web"
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return os.WriteFile(mark, want, 0o644)
})

func needNPM(t *testing.T) {
	t.Helper()
	if err := npmPackages(); err != nil {
		t.Fatalf("npm ci in e2e/web: %v (it wants Node.js 20 and npm)", err)
	}
}

const allIsWell = "all is well"

// npm's mqtt over TCP, in Node.js.
func TestMQTTJSInNode(t *testing.T) {
	needNPM(t)
	p := newPage(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", "web/node.js", "mqtt://"+p.node.urls["mqtt"], p.URL).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != allIsWell {
		t.Errorf("%v\n%s", err, out)
	}
}

// npm's mqtt over WebSocket, in a browser.
func TestMQTTJSInChromium(t *testing.T) {
	needNPM(t)
	p := newPage(t)
	url := p.URL + "/index.html?url=ws://" + p.node.urls["http"] + "/mqtt"
	browser := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), url)
	var log output
	browser.Stdout, browser.Stderr = &log, &log
	if err := browser.Start(); err != nil {
		t.Fatalf("%v: apt-get install chromium", err)
	}
	t.Cleanup(func() {
		_ = browser.Process.Signal(interrupt)
		_ = browser.Wait()
	})
	select {
	case text := <-p.result:
		if text != allIsWell {
			t.Error(text)
		}
	case <-time.After(2 * patience):
		text, _ := log.look()
		t.Errorf("the page has not told its result:\n%s", text)
	}
}
