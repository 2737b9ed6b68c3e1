package tidy

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"
)

// A rule reads the tree and reports every place that breaks it.
type rule struct {
	name  string
	check func(*tree, tables) []finding
}

var rules = []rule{
	{"imports-point-down", importsPointDown},
	{"outsiders-stay-out", outsidersStayOut},
	{"no-dot-imports", noDotImports},
	{"packages-are-documented", packagesAreDocumented},
	{"exported-is-documented", exportedIsDocumented},
	{"nothing-put-off", nothingPutOff},
	{"functions-are-short", functionsAreShort},
	{"files-are-short", filesAreShort},
	{"no-init", noInit},
	{"exits-only-in-main", exitsOnlyInMain},
	{"goroutines-are-counted", goroutinesAreCounted},
	{"globals-never-change", globalsNeverChange},
	{"no-sleep-in-tests", noSleepInTests},
	{"no-skipped-tests", noSkippedTests},
	{"leaks-fail", leaksFail},
	{"files-are-present", filesArePresent},
	{"no-machine-paths", noMachinePaths},
	{"promises-are-tested", promisesAreTested},
}

// TestTidy holds every rule against this repository.
func TestTidy(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.packages) == 0 || tree.texts["go.mod"] == "" {
		t.Fatalf("no module at %s", root)
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range sorted(rule.check(tree, ours)) {
				t.Error(f)
			}
		})
	}
}

func sorted(found []finding) []finding {
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line), cmp.Compare(a.what, b.what))
	})
	return found
}
