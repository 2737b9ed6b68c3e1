package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a peer has written cannot steer the terminal of the one who looks at it.
func TestSafe(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"plant/line 1 – Größe \"7\"": "plant/line 1 – Größe \"7\"",
		"\x1b]0;title\a":             `\x1b]0;title\a`,
		"a\nb\t\u202e\x00":           `a\nb\t\u202e\x00`,
		"\xff\"":                     `\xff"`,
	} {
		if got := safe(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 1 << 40: "1.0 TiB", 1<<64 - 1: "16.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is shown as %q, want %q", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := table(&out, [][]string{{"NAME", "SIZE"}, {"a\x1bb", ""}}); err != nil || out.String() != "NAME    SIZE\na\\x1bb  -\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// Nothing is shown in the first second, and then five times a second; at the end the line is empty again.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newStatus(&out)
		p.show(func() string { t.Error("nobody looks"); return "" })
		p.w = &out
		asked := 0
		for range 30 {
			p.show(func() string { asked++; return strings.Repeat("x", 5-asked%2) })
			time.Sleep(100 * time.Millisecond)
		}
		p.clear()
		p.clear()
		if text := out.String(); asked != 10 || !strings.HasPrefix(text, "\rxxxx\rxxxxx\rxxxx ") || strings.Count(text, "\r") != asked+2 {
			t.Errorf("asked %d times, shown %q", asked, text)
		}
	})
}
