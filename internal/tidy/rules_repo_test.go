package tidy

import (
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
