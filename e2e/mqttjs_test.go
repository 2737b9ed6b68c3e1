package e2e

import (
	"context"
	"fmt"
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
	log := browse(t, url)
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

// browse opens a page in a browser, and returns what that says.
func browse(t *testing.T, url string) *output {
	t.Helper()
	browser := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), url)
	log := new(output)
	browser.Stdout, browser.Stderr = log, log
	if err := browser.Start(); err != nil {
		t.Fatalf("%v: apt-get install chromium", err)
	}
	t.Cleanup(func() {
		_ = browser.Process.Signal(interrupt)
		_ = browser.Wait()
	})
	return log
}

// The pages in docs/websocket.md work as they stand there, beside a node that asks for the password which they have.
func TestPagesOfTheDocument(t *testing.T) {
	needNPM(t)
	doc, err := os.ReadFile("../docs/websocket.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := strings.Split(string(doc), "```html\n")[1:]
	if len(pages) != 2 {
		t.Fatalf("there are %d pages", len(pages))
	}
	const tell = `<script>new MutationObserver(() => fetch("/result", {method: "POST", body: document.querySelector("#log").textContent})).observe(document.querySelector("#log"), {childList: true})</script>`
	result := make(chan string, 100)
	var at string // of the node
	mux := http.NewServeMux()
	mux.Handle("GET /node_modules/", http.FileServer(http.Dir("web")))
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		result <- string(text)
	})
	for i, text := range pages {
		text, _, _ = strings.Cut(text, "```")
		mux.HandleFunc(fmt.Sprintf("GET /%d.html", i), func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.NewReplacer("127.0.0.1:8080", at, "// send({type", "send({type").Replace(text)+tell)
		})
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	at = mqttNode(t, "--config", write(t, "spate.yaml", "http: {origins: ['"+server.URL+"']}\n"+
		"auth: {roles: {page: {publish: ['sensors/#'], subscribe: ['sensors/#']}}, users: [{name: anna, password: '"+hashOf(t, "secret")+"', roles: [page]}]}\n")).urls["http"]
	for i := range pages {
		t.Run(fmt.Sprint(i), func(t *testing.T) { // its browser ends with it
			log := browse(t, fmt.Sprintf("%s/%d.html", server.URL, i))
			select {
			case text := <-result:
				if text != "sensors/page/temperature: 21.5\n" {
					t.Errorf("it says %q", text)
				}
			case <-time.After(2 * patience):
				text, _ := log.look()
				t.Errorf("it says nothing:\n%s", text)
			}
		})
	}
}
