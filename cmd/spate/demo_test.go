package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What the README says of the demonstration is what it prints, and its handlers are those that run.
func TestDemoREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, readme, _ := strings.Cut(string(text), "## Devices in a minute")
	readme, _, _ = strings.Cut(readme, "\n## ")
	urls := map[string]string{"mqtt": "mqtt://127.0.0.1:1883", "resp": "resp://127.0.0.1:6379", "http": defaultServer}
	all := hints(urls, "go run ./cmd/spate", "sensor-007")
	if len(all) != 7 {
		t.Errorf("there are %d hints", len(all))
	}
	for _, h := range all {
		if !strings.Contains(readme, "\n"+h.command+" ") && !strings.Contains(readme, "\n"+h.command+"\n") {
			t.Errorf("the README does not have %s", h.command)
		}
	}
	source, err := os.ReadFile("demo_handlers.go")
	if err != nil {
		t.Fatal(err)
	}
	_, handlers, _ := strings.Cut(string(source), "// watch is called")
	if handlers == "" || !strings.Contains(readme, strings.TrimSpace(handlers)) {
		t.Error("the handlers in the README differ from those of demo_handlers.go")
	}
}

// Lines about single devices are bounded between two summaries, and those that were left out are counted.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	for range demoLines + 3 {
		s.say("too hot")
	}
	s.summary("a")
	s.say("too hot")
	s.summary("b")
	lines := strings.Split(out.String(), "\n")
	if got := strings.Count(out.String(), "too hot"); got != demoLines+1 || lines[demoLines] != "          … and 3 more" || lines[demoLines+1] != "a" || lines[demoLines+3] != "b" {
		t.Errorf("%q", lines)
	}

	out.Reset()
	s = &screen{out: &out, place: true, width: 6, room: 1}
	s.summary("one line°")
	s.say("x")
	s.summary("another")
	s.end()
	if got := strings.Split(out.String(), "\r\x1b[K"); len(got) != 4 || got[1] != "one l" || !strings.HasSuffix(got[2], "x\none l") || got[3] != "anoth\n" {
		t.Errorf("%q", got)
	}
}

// The arguments of clients are left out where they are the defaults.
func TestDemoHints(t *testing.T) {
	for _, c := range []struct{ url, port, want string }{
		{"mqtt://127.0.0.1:1883", "1883", ""}, {"mqtt://127.0.0.1:2883", "1883", " -p 2883"}, {"resp://[::1]:6379", "6379", " -h ::1"},
		{"resp://192.0.2.1:1", "6379", " -h 192.0.2.1 -p 1"},
	} {
		if got := address(c.url, c.port); got != c.want {
			t.Errorf("%s: %q, want %q", c.url, got, c.want)
		}
	}
	if got := hints(map[string]string{"mqtt": "mqtt://127.0.0.1:1"}, "spate", "a"); len(got) != 2 {
		t.Errorf("with MQTT alone: %v", got)
	}
}
