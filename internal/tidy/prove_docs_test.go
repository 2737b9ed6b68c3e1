package tidy

import "strings"

var contract = "// Package a " + strings.Repeat("promises much. ", minDocWords/2) + "\npackage a\n"

var docProofs = []proof{
	{"packages-are-documented", "a contract", one("a/doc.go", contract), tables{}, nil},
	{"packages-are-documented", "tests alone need none", one("a/a_test.go", "package a\n"), tables{}, nil},
	{"packages-are-documented", "excepted", one("a/a.go", "package a\n"), tables{docs: map[string]string{"a": "why"}}, nil},
	{"packages-are-documented", "exception not used", nil, tables{docs: map[string]string{"a": "why"}}, []string{"the exception for a is not used"}},
	{"packages-are-documented", "an example says it in its file", one("examples/a/main.go", contract), tables{}, nil},
	{"packages-are-documented", "none", one("a/a.go", contract), tables{}, []string{"a/a.go:2: package a has no doc.go"}},
	{"packages-are-documented", "one sentence", one("a/doc.go", "// Package a is a package.\npackage a\n"), tables{}, []string{"a/doc.go:2: the package comment has 5 words, 40 at least"}},
	{"packages-are-documented", "begins otherwise", one("a/doc.go", strings.Replace(contract, "Package a", "This one", 1)), tables{}, []string{`begins "This one promises". Begin it with "Package a"`}},

	{"exported-is-documented", "all of it", one("a/a.go", `package a

// A T is.
type T struct{ Field int }

// M does.
func (*T) M() {}

func (T) Error() string { return "" }

type hidden struct{ Field int }

func (hidden) M() {}

// Sentinels.
var (
	ErrA = e("a")
	ErrB = e("b")
)

const Size = 3 // bytes

// Options are.
type Options struct {
	// First and Second are limits.
	First  int
	Second int

	Third int // is a limit too
}

// An I is.
type I interface {
	// A and B do.
	A()
	B()
}
`), tables{}, nil},
	{"exported-is-documented", "none of it", one("a/a.go", `package a

type T[K any] struct{}

func (*T[K]) M() {}

func F() {}

var ErrA = e("a")

// Options are.
type Options struct {
	First int
	// Second is a limit.
	Second int

	Third int
}

// An I is.
type I interface {
	A()
}
`), tables{}, []string{
		"a/a.go:3: exported type T has no comment", "5: exported T.M", "7: exported F", "9: exported ErrA",
		"13: exported Options.First", "17: exported Options.Third", "22: exported I.A",
	}},
	{"exported-is-documented", "group of types", one("a/a.go", "package a\n\n// Types.\ntype (\n\tT int\n)\n"), tables{}, []string{"a/a.go:5: exported type T"}},
	{"exported-is-documented", "tests and programs", map[string]string{
		"a/a_test.go": "package a\n\nfunc TestA() {}\n",
		"m/m.go":      "package main\n\nfunc Run() {}\n",
	}, tables{}, nil},

	{"nothing-put-off", "words that only look like it", one("a/a.go", "package a\n\n// TODOs and mktemp.XXXXXX\nvar x = \"TODO\"\n"), tables{}, nil},
	{"nothing-put-off", "marks", one("a/a_test.go", "package a\n\n// TODO: later\nvar x = 1 /* FIXME */\n"), tables{}, []string{"a/a_test.go:3: TODO in a comment", "4: FIXME"}},
}
