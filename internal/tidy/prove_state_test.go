package tidy

var stateProofs = []proof{
	{"no-init", "method of that name", one("a/a.go", "package a\n\nfunc (t T) init() {}\n"), tables{}, nil},
	{"no-init", "init", one("a/a.go", "package a\n\nfunc init() {}\n"), tables{}, []string{"a/a.go:3: init function"}},

	{"exits-only-in-main", "in cmd, an example and a test", map[string]string{
		"cmd/spate/main.go":  "package main\n\nfunc main() { os.Exit(2) }\n",
		"examples/a/main.go": "package main\n\nfunc main() { log.Fatal(2) }\n",
		"a/a_test.go":        "package a\n\nfunc TestMain(m *testing.M) { os.Exit(m.Run()) }\n",
	}, tables{}, nil},
	{"exits-only-in-main", "in a library", one("a/a.go", "package a\n\nfunc f() {\n\tos.Exit(1)\n\tlog.Fatalf(\"\")\n}\n"), tables{},
		[]string{"a/a.go:4: os.Exit ends the process from a library", "5: log.Fatalf"}},

	{"goroutines-are-counted", "in the table", one("a/a.go", "package a\n\nfunc f() { go g() }\n"), tables{goes: map[string]allowance{"a/a.go": {1, "f waits"}}}, nil},
	{"goroutines-are-counted", "in tests", one("a/a_test.go", "package a\n\nfunc f() { go g() }\n"), tables{}, nil},
	{"goroutines-are-counted", "not in the table", one("a/a.go", "package a\n\nfunc f() { go g() }\n"), tables{}, []string{"a/a.go:3: 1 `go` statements in this file, 0 allowed"}},
	{"goroutines-are-counted", "one more", one("a/a.go", "package a\n\nfunc f() {\n\tgo g()\n\tgo func() {}()\n}\n"), tables{goes: map[string]allowance{"a/a.go": {1, "f waits"}}}, []string{"a/a.go:5: 2 `go` statements in this file, 1 allowed"}},
	{"goroutines-are-counted", "gone", one("a/a.go", "package a\n"), tables{goes: map[string]allowance{"a/a.go": {1, "f waits"}}}, []string{"a/a.go:0: no `go` statements left"}},

	{"globals-never-change", "sentinels and tables", one("a/a.go", `package a

import "errors"

var ErrA = errors.New("a")

var _ I = T{}

var table = map[string]int{"a": 1}

var computed = sync.OnceValue(func() int { return 1 })

//go:embed page.html
var page string

func f(table int) { // hides the table
	table = 2
	other := map[string]int{}
	other["a"] = 3
}
`), tables{}, nil},
	{"globals-never-change", "by declaration", one("a/a.go", `package a

var count int
var pool sync.Pool
var pool2 = &sync.Pool{New: f}
var cache = make(map[string]int)
var last = atomic.Pointer[int]{}
`), tables{}, []string{
		"a/a.go:3: package-level variable count can change: it has no value", "4: package-level variable pool can change",
		"5: package-level variable pool2", "6: package-level variable cache", "7: package-level variable last",
	}},
	{"globals-never-change", "by use", map[string]string{
		"a/a.go": `package a

var a = 1
var b = []int{1}
var c = map[string]int{"a": 1}
var d = T{}
var e = T{}
var f = 1
`,
		"a/b.go": `package a

func g() {
	a++
	b[0] = 2
	delete(c, "a")
	d.field.deep = 3
	h(&e)
}
`,
		"a/a_test.go": "package a\n\nfunc i() { f = 2 }\n",
	}, tables{}, []string{
		"a/a.go:3: package-level variable a can change: it is written to", "variable b", "variable c", "variable d", "variable e", "variable f",
	}},
	{"globals-never-change", "excepted", one("a/a.go", "package a\n\nvar pool sync.Pool\n"), tables{globals: map[string]string{"a/a.go pool": "measured"}}, nil},
	{"globals-never-change", "exception not used", one("a/a.go", "package a\n"), tables{globals: map[string]string{"a/a.go pool": "measured"}}, []string{"the exception for the variable in a/a.go pool is not used"}},
	{"globals-never-change", "of another package", one("a/a.go", `package a

import "net/http"

func f() {
	http.DefaultClient = nil
}

func g(http T) {
	http.Client = nil // a local of that name
}
`), tables{}, []string{"a/a.go:6: http.DefaultClient belongs to another package"}},
}
