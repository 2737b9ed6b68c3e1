package tidy

var sleepy = `package a

func TestA(t *testing.T) {
	time.Sleep(1)
}

func TestB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { time.Sleep(1) })
	synctest.Test(t, fake)
}

func fake(t *testing.T) { time.Sleep(1) }
`

var skipping = `package a

func TestA(t *testing.T) { t.Skip("no redis") }

func FuzzB(f *testing.F) {
	f.SkipNow()
	f.Fuzz(func(t *testing.T, b []byte) { t.Skipf("") })
}

func parse(lex *lexer) { lex.Skip() }
`

var testProofs = []proof{
	{"no-sleep-in-tests", "outside of a bubble", one("a/a_test.go", sleepy), tables{}, []string{"a/a_test.go:4: 1 time.Sleep in tests in this file, 0 allowed"}},
	{"no-sleep-in-tests", "excepted", one("a/a_test.go", sleepy), tables{sleeps: map[string]allowance{"a/a_test.go": {1, "why"}}}, nil},
	{"no-sleep-in-tests", "code may sleep", one("a/a.go", sleepy), tables{}, nil},

	{"no-skipped-tests", "skipped", one("a/a_test.go", skipping), tables{}, []string{"a/a_test.go:7: 3 skipped tests in this file, 0 allowed"}},
	{"no-skipped-tests", "excepted", one("a/a_test.go", skipping), tables{skips: map[string]allowance{"a/a_test.go": {3, "why"}}}, nil},
	{"no-skipped-tests", "exception not used", one("a/a_test.go", "package a\n"), tables{skips: map[string]allowance{"a/a_test.go": {3, "why"}}}, []string{"no skipped tests left"}},

	{"leaks-fail", "checked", map[string]string{
		"a/a.go":         "package a\n\nfunc f() { go g() }\n",
		"a/main_test.go": "package a\n\nfunc TestMain(m *testing.M) { goleak.VerifyTestMain(m) }\n",
	}, tables{}, nil},
	{"leaks-fail", "nothing starts", one("a/a_test.go", "package a\n"), tables{}, nil},
	{"leaks-fail", "no tests", one("a/a.go", "package a\n\nfunc f() { go g() }\n"), tables{}, nil},
	{"leaks-fail", "excepted", one("a/a_test.go", "package a\n\nfunc f() { go g() }\n"), tables{noLeak: map[string]string{"a": "why"}}, nil},
	{"leaks-fail", "exception not used", one("a/a_test.go", "package a\n"), tables{noLeak: map[string]string{"a": "why"}}, []string{"the exception for a is not used"}},
	{"leaks-fail", "go statement", one("a/a_test.go", "package a\n\nfunc f() { go g() }\n"), tables{}, []string{"a/a_test.go:3: package a starts goroutines"}},
	{"leaks-fail", "wait group", one("a/a_test.go", "package a\n\nfunc f() { wg.Go(g) }\n"), tables{}, []string{"a/a_test.go:3: package a starts goroutines"}},
	{"leaks-fail", "import", one("a/a_test.go", imports("a", "net/http")), tables{}, []string{"a/a_test.go:2: package a starts goroutines"}},
}

var repoProofs = []proof{
	{"files-are-present", "present", map[string]string{"README.md": "# a", "LICENSE": "Apache License\nVersion 2.0"}, tables{required: []string{"README.md", "LICENSE"}}, nil},
	{"files-are-present", "missing, empty and wrong", map[string]string{"README.md": "\n", "LICENSE": "MIT"}, tables{required: []string{"README.md", "SECURITY.md"}},
		[]string{"LICENSE:1: not the Apache License", "README.md:1: missing or empty", "SECURITY.md:1: missing or empty"}},

	{"promises-are-tested", "tested", map[string]string{
		"README.md":   "## What it promises\n- **No surprise.** None.\n## More\n- **Else.** No promise.\n",
		"a/a_test.go": "package a\n\nfunc TestPromiseNoSurpriseAtAll(t *testing.T) {}\n",
	}, tables{}, nil},
	{"promises-are-tested", "not tested", map[string]string{
		"README.md": "# a\n## What it promises\n- **No surprise.** None.\n",
		"a/a.go":    "package a\n\nfunc TestPromiseNoSurprise() {}\n",
	}, tables{}, []string{"README.md:3: no test is called TestPromiseNoSurprise"}},

	{"no-machine-paths", "none", one("README.md", "see /var/lib/spate, ~/home/x, network/root/x and $HOME/root/\n"), tables{}, nil},
	{"no-machine-paths", "some, in a nested module too", map[string]string{
		"README.md":    "run\n`/home/jane/spate/bin/spate`\n",
		"nested/a.go":  "package a\n\nvar dir = \"/work/main\"\n",
		"docs/win.md":  "C:\\Users\\jane\n",
		"docs/mac.md":  "/Users/jane/x\n",
		"docs/root.md": "(/root/go)\n",
	}, tables{}, []string{"README.md:2", "docs/mac.md:1", "docs/root.md:1", "docs/win.md:1", "nested/a.go:3"}},
}
