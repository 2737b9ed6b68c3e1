package tidy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// A proof holds one rule against a small tree in memory: what it must find there, or nothing.
type proof struct {
	rule  string
	name  string
	files map[string]string
	in    tables
	want  []string // one part of each finding, in order
}

// TestRules shows each rule failing and passing.
func TestRules(t *testing.T) {
	byName := map[string]rule{}
	for _, r := range rules {
		byName[r.name] = r
	}
	fails, passes := map[string]bool{}, map[string]bool{}
	for _, p := range slices.Concat(importProofs, docProofs, sizeProofs(), stateProofs, testProofs, repoProofs) {
		t.Run(p.rule+"/"+p.name, func(t *testing.T) {
			tree, err := parseTree(p.files, map[string]bool{"nested": true})
			if err != nil {
				t.Fatal(err)
			}
			got := sorted(byName[p.rule].check(tree, p.in))
			if len(got) != len(p.want) {
				t.Fatalf("%d findings, want %d: %q", len(got), len(p.want), got)
			}
			for i, want := range p.want {
				if !strings.Contains(got[i].String(), want) {
					t.Errorf("found %q, want a part %q", got[i], want)
				}
			}
		})
		fails[p.rule] = fails[p.rule] || len(p.want) > 0
		passes[p.rule] = passes[p.rule] || len(p.want) == 0
	}
	for _, r := range rules {
		if !fails[r.name] || !passes[r.name] {
			t.Errorf("no proof that %s fails and passes", r.name)
		}
	}
}

// TestTreeLeavesOut keeps what the go command ignores out of the rules, and in the texts.
func TestTreeLeavesOut(t *testing.T) {
	tree, err := parseTree(map[string]string{
		"a.go":                "package spate\n",
		"nested/b.go":         "package b\n",
		"nested/deep/c.go":    "package c\n",
		"bus/testdata/d.go":   "not Go",
		".ci/e.go":            "not Go",
		"_old/f.go":           "not Go",
		"engine/epoll.go":     "//go:build linux\n\npackage engine\n",
		"engine/poll_test.go": "package engine_test\n",
	}, map[string]bool{"nested": true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for f := range tree.files {
		got = append(got, f.path)
	}
	if want := []string{"a.go", "engine/epoll.go", "engine/poll_test.go"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if len(tree.texts) != 8 {
		t.Errorf("texts %q", slices.Sorted(maps.Keys(tree.texts)))
	}
	if _, err := parseTree(map[string]string{"a.go": "package"}, nil); err == nil || !strings.Contains(err.Error(), "parsing a.go") {
		t.Errorf("a file that does not parse: %v", err)
	}
}

// one is a tree of one file.
func one(path, text string) map[string]string { return map[string]string{path: text} }

// imports is a file that imports paths.
func imports(pkg string, paths ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n", pkg)
	for _, p := range paths {
		fmt.Fprintf(&b, "import _ %q\n", p)
	}
	return b.String()
}

func sizeProofs() []proof {
	body := func(lines int) string {
		return "package a\n\nfunc f() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n"
	}
	table := func(rows int) string {
		return "package a\n\nfunc f() {\n\tx := []int{\n" + strings.Repeat("\t\t1,\n", rows) + "\t}\n}\n"
	}
	long := func(lines int) string { return "package a\n" + strings.Repeat("//\n", lines-1) }
	return []proof{
		{"functions-are-short", "at the limit", one("a/a.go", body(maxFuncLines)), tables{}, nil},
		{"functions-are-short", "one more", one("a/a.go", body(maxFuncLines+1)), tables{}, []string{"a/a.go:3: f has 71 lines, 70 at most"}},
		{"functions-are-short", "literal", one("a/a.go", strings.Replace(body(80), "func f()", "var f = func()", 1)), tables{}, []string{"a/a.go:3: a function literal has 80 lines"}},
		{"functions-are-short", "table in a test", one("a/a_test.go", table(80)), tables{}, nil},
		{"functions-are-short", "table in code", one("a/a.go", table(80)), tables{}, []string{"f has 84 lines"}},
		{"functions-are-short", "test", one("a/a_test.go", body(80)), tables{}, []string{"f has 80 lines"}},
		{"files-are-short", "at the limit", one("a/a.go", long(maxFileLines)), tables{}, nil},
		{"files-are-short", "one more", one("a/a.go", long(maxFileLines+1)), tables{}, []string{"a/a.go:1: 501 lines, 500 at most"}},
		{"files-are-short", "test at its limit", one("a/a_test.go", long(maxTestFileLines)), tables{}, nil},
		{"files-are-short", "test one more", one("a/a_test.go", long(maxTestFileLines+1)), tables{}, []string{"701 lines, 700 at most"}},
	}
}
