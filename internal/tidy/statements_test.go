package tidy

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tests that docs/mqtt5.md names")

// statements is how many the sections of MQTT 5.0 have, as its Appendix B lists them. They are numbered from 1, but for 2.2.1,
// whose first one was given up.
var statements = map[string]int{
	"1.5.4": 3, "1.5.5": 1, "1.5.7": 1,
	"2.1.3": 1, "2.2.1": 5, "2.2.2": 1,
	"3.1.0": 2, "3.1.2": 30, "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22,
	"3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3, "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3,
	"3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.11.2": 2, "3.11.3": 2,
	"3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4, "3.14.4": 3, "3.15.1": 1, "3.15.2": 3,
	"4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 5, "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6,
	"4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4, "4.8.2": 6, "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1,
	"6.0.0": 4,
}

var (
	statementRow    = regexp.MustCompile(`(?m)^\| (\d+\.\d+\.\d+-\d+) \| (\w+) \| (.+?) \|(.*)\|$`)
	statementNumber = regexp.MustCompile(`\[MQTT-(\d+\.\d+\.\d+-\d+)\]`)
)

// Every statement of MQTT 5.0 is in docs/mqtt5.md, and those that bind a server name the tests that say they cover them.
func TestMQTTStatements(t *testing.T) {
	const root = "../.."
	name := filepath.Join(root, "docs", "mqtt5.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	missing, total := numbers()
	if total != 251 {
		t.Errorf("the sections have %d statements, Appendix B has 251", total)
	}
	covered := covering(t, root)
	want := statementRow.ReplaceAllStringFunc(string(text), func(row string) string {
		m := statementRow.FindStringSubmatch(row)
		number, binds := m[1], m[2]
		if !missing[number] {
			t.Errorf("docs/mqtt5.md: %s is there twice, or not in Appendix B", number)
		}
		delete(missing, number)
		if !slices.Contains([]string{"server", "client", "both"}, binds) {
			t.Errorf("docs/mqtt5.md: %s binds %q; a statement binds server, client or both", number, binds)
		}
		tests := strings.Join(covered[number], ", ")
		delete(covered, number)
		if tests == "" && binds != "client" {
			t.Errorf("docs/mqtt5.md: no test covers %s. Write one whose comment has [MQTT-%s]", number, number)
		}
		return strings.TrimRight(fmt.Sprintf("| %s | %s | %s | %s", number, binds, m[3], tests), " ") + " |"
	})
	for number := range missing {
		t.Errorf("docs/mqtt5.md lacks %s", number)
	}
	for number, tests := range covered {
		t.Errorf("%s cover [MQTT-%s], which docs/mqtt5.md does not have", tests, number)
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the tests in docs/mqtt5.md are out of date: go test ./internal/tidy -run TestMQTTStatements -update")
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// numbers are the numbers of all statements.
func numbers() (all map[string]bool, total int) {
	all = map[string]bool{}
	for section, count := range statements {
		first := 1
		if section == "2.2.1" {
			first = 2
		}
		for n := range count {
			all[fmt.Sprintf("%s-%d", section, first+n)] = true
		}
	}
	return all, len(all)
}

// covering finds the tests whose comments have the number of a statement.
func covering(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil || !statementNumber.Match(source) {
			return err
		}
		f, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		in := path.Base(filepath.ToSlash(filepath.Dir(name)))
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Doc == nil || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
				continue
			}
			covers := map[string]bool{}
			for _, m := range statementNumber.FindAllStringSubmatch(fn.Doc.Text(), -1) {
				covers[m[1]] = true
			}
			for number := range maps.Keys(covers) {
				found[number] = append(found[number], in+" `"+fn.Name.Name+"`")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tests := range found {
		slices.Sort(tests)
	}
	return found
}
