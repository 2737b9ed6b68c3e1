package tidy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/status.md names exists.
func TestStatusNamesTests(t *testing.T) {
	const root = "../.."
	status, err := os.ReadFile(filepath.Join(root, "docs", "status.md"))
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)`)
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			declared[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`").FindAllSubmatch(status, -1)
	if len(named) < 100 {
		t.Errorf("docs/status.md names %d tests; the pattern that finds them is wrong", len(named))
	}
	for _, m := range named {
		if name := string(m[1]); !declared[name] {
			t.Errorf("docs/status.md names %s, which does not exist", name)
		}
	}
}
