package tidy

import (
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// filesArePresent wants the files by which a newcomer finds the way, and the license to be the one named.
func filesArePresent(t *tree, in tables) (found []finding) {
	for _, name := range in.required {
		if strings.TrimSpace(t.texts[name]) == "" {
			found = append(found, finding{path: name, line: 1, what: "missing or empty. Write it: a newcomer looks for it"})
		}
	}
	if text, ok := t.texts["LICENSE"]; ok && !strings.Contains(text, "Apache License") {
		found = append(found, finding{path: "LICENSE", line: 1, what: "not the Apache License. Put the text of version 2.0 back"})
	}
	return found
}

// someonesMachine matches paths that exist on one developer's machine only.
var someonesMachine = regexp.MustCompile(`(^|[^\w.~/-])(/home/\w+/|/Users/\w+/|/root/|/work/\w|[A-Z]:\\Users\\)`)

// noMachinePaths reads every text file, those of nested modules too.
func noMachinePaths(t *tree, _ tables) (found []finding) {
	for _, name := range slices.Sorted(maps.Keys(t.texts)) {
		if within(path.Dir(name), "internal/tidy") {
			continue
		}
		for i, line := range strings.Split(t.texts[name], "\n") {
			if m := someonesMachine.FindStringSubmatch(line); m != nil {
				found = append(found, finding{path: name, line: i + 1, what: m[2] + "… is a path on somebody's machine. Make it relative, or take it from a flag or a variable"})
			}
		}
	}
	return found
}

// promise matches one promise of the README: `- **No surprise.** …`.
var promise = regexp.MustCompile(`^- \*\*([^*]+)\.\*\*`)

// promisesAreTested: what the README promises under "What it promises" has a test whose name begins with TestPromise and
// the promise's.
func promisesAreTested(t *tree, _ tables) (found []finding) {
	section := ""
	for i, line := range strings.Split(t.texts["README.md"], "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		m := promise.FindStringSubmatch(line)
		if section != "What it promises" || m == nil {
			continue
		}
		if name := "TestPromise" + camel(m[1]); !t.hasTest(name) {
			found = append(found, finding{path: "README.md", line: i + 1, what: "no test is called " + name + "…. Write it, or do not promise it"})
		}
	}
	return found
}

// camel makes NoSurprise from "No surprise".
func camel(words string) (name string) {
	for word := range strings.FieldsSeq(words) {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

func (t *tree) hasTest(prefix string) bool {
	for f := range t.files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(d.Name.Name, prefix) {
				return true
			}
		}
	}
	return false
}
