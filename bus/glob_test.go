package bus

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestGlobAnswersLikeRedis compares with what a real server answered, 600 patterns by 300 strings.
func TestGlobAnswersLikeRedis(t *testing.T) {
	file, err := os.Open("testdata/glob_redis.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var texts []string
	patterns := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "s":
			texts = append(texts, unquote(t, rest))
		case "p":
			quoted, numbers, _ := cutLast(rest)
			checkGlob(t, unquote(t, quoted), texts, numbers)
			patterns++
		}
	}
	if len(texts) < 300 || patterns < 500 {
		t.Errorf("read %d strings and %d patterns", len(texts), patterns)
	}
}

func checkGlob(t *testing.T, pattern string, texts []string, numbers string) {
	var want []string
	if numbers != "" {
		want = strings.Split(numbers, ",")
	}
	for i, text := range texts {
		redis := slices.Contains(want, strconv.Itoa(i))
		if got := Glob(pattern, text); got != redis {
			t.Errorf("Glob(%q, %q) = %v, Redis says %v", pattern, text, got, redis)
		}
		sameAsGlob(t, pattern, text)
	}
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ' ')
	return s[:i], s[i+1:], true
}

func unquote(t *testing.T, s string) string {
	t.Helper()
	text, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return text
}

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"h?llo", []string{"hello", "hallo"}, []string{"hllo", "heello"}},
		{"h*llo", []string{"hllo", "heeeello"}, []string{"hell"}},
		{"h[ae]llo", []string{"hello", "hallo"}, []string{"hillo"}},
		{"h[^e]llo", []string{"hallo", "hbllo"}, []string{"hello"}},
		{"h[a-b]llo", []string{"hallo", "hbllo"}, []string{"hcllo"}},
		{`h\*llo`, []string{"h*llo"}, []string{"hello", `h\*llo`}},
		{"*", []string{"a", "a/b", "$SYS"}, []string{""}},
		{"news.*.eu", []string{"news.a.eu", "news.a.b.eu"}, []string{"news.eu"}},
		{"", []string{""}, []string{"a"}},
		{"*a*b", []string{"aab", "xaxbxb", "ab"}, []string{"aba", "ba"}},
	}
	for _, tt := range tests {
		for _, s := range tt.yes {
			if !Glob(tt.pattern, s) {
				t.Errorf("%q does not match %q", tt.pattern, s)
			}
		}
		for _, s := range tt.no {
			if Glob(tt.pattern, s) {
				t.Errorf("%q matches %q", tt.pattern, s)
			}
		}
	}
	if !GlobFold("MAX[A-C]*", "maxbytes") || !GlobFold("[Z]", "z") || GlobFold("[Z-a]", "m") || GlobFold(`[\A]`, "a") {
		t.Error("GlobFold does not fold as Redis does")
	}
}

// TestGlobHostile is CVE-2022-36021 and its relatives.
func TestGlobHostile(t *testing.T) {
	begin := time.Now()
	subject := strings.Repeat("a", DefaultGlobLength)
	for _, pattern := range []string{
		strings.Repeat("a*", DefaultGlobLength/2-1) + "b", strings.Repeat("*", 1000) + "b",
		strings.Repeat("*?", 500) + "b", strings.Repeat("*[^b]", 200) + "b", "*" + strings.Repeat("a", 500) + "b",
	} {
		if Glob(pattern, subject) {
			t.Errorf("%.20q… matches", pattern)
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("five hostile patterns took %v", took)
	}
	long := strings.Repeat("a", 5000)
	if !Glob(strings.Repeat("*a", maxStars), long) || Glob(strings.Repeat("*a", maxStars+1), long) {
		t.Error("Redis gives up after a thousand stars, neither before nor later")
	}
}

// naiveGlob is the definition by recursion, from what the documentation of Redis says; exponential.
func naiveGlob(pattern, s string) bool {
	if pattern == "" || s == "" {
		return s == "" && strings.Trim(pattern, "*") == ""
	}
	if pattern[0] == '*' {
		return naiveGlob(pattern[1:], s) || naiveGlob(pattern, s[1:])
	}
	next, ok := globOne(pattern, 0, s[0], false)
	return ok && naiveGlob(pattern[next:], s[1:])
}

func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"h[^a-c]*", "hello"}, {"*a*b", "aab"}, {`[\]-]`, "]"}, {"[", "x"}, {`\`, `\`}, {"[^", "x"}, {"[a-", "-"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 {
			Glob(pattern, s)
			GlobFold(pattern, s)
			return
		}
		want := naiveGlob(pattern, s)
		if s == "" {
			want = pattern == ""
		}
		if got := Glob(pattern, s); got != want {
			t.Errorf("Glob(%q, %q) = %v, want %v", pattern, s, got, want)
		}
		if text, plain := plainGlob(pattern); plain && (Glob(pattern, s) != (s == text)) {
			t.Errorf("%q is plain %q, but matches %q: %v", pattern, text, s, Glob(pattern, s))
		}
	})
}

func BenchmarkGlob(b *testing.B) {
	for name, c := range map[string][2]string{
		"prefix":  {"news.*", "sensors/hall-17/temperature"},
		"middle":  {"sensors/*/temperature", "sensors/hall-17/temperature"},
		"hostile": {strings.Repeat("a*", 100) + "b", strings.Repeat("a", 1000)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Glob(c[0], c[1])
			}
		})
	}
}
