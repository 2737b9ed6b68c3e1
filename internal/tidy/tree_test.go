package tidy

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A tree is what the rules read: the Go files of one module by package, and its other text files.
type tree struct {
	fset     *token.FileSet
	packages []*pkg
	texts    map[string]string // every text file, Go or not, by slash-separated path from the root
}

// A pkg is the Go files of one directory, tests included.
type pkg struct {
	dir   string // "." is the root
	files []*file
	names names
}

type file struct {
	path  string
	dir   string
	test  bool
	lines int
	*ast.File
}

// A finding is one place that breaks a rule.
type finding struct {
	path string
	line int
	what string // what is wrong, and what to do next
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.what)
}

// textNames are the files besides Go's that are read as text: by extension, or by their whole name.
var textNames = []string{".go", ".md", ".yml", ".yaml", ".sh", ".txt", ".txtar", ".toml", ".rs", ".html", ".js", ".css", ".mod", "Makefile", "LICENSE", "run"}

// readTree reads the module at root from disk.
func readTree(root string) (*tree, error) {
	texts := map[string]string{}
	nested := map[string]bool{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(p, root), string(filepath.Separator)))
		if d.IsDir() {
			if rel != "" && slices.Contains([]string{".git", "bin", "target", "node_modules"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !isText(d.Name()) {
			return nil
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		texts[rel] = string(body)
		if d.Name() == "go.mod" {
			nested[path.Dir(rel)] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tree at %s: %w", root, err)
	}
	delete(nested, ".")
	return parseTree(texts, nested)
}

func isText(name string) bool {
	return slices.Contains(textNames, name) || slices.Contains(textNames, path.Ext(name))
}

// parseTree parses the Go files among texts, except those of nested modules and those that the go command ignores.
func parseTree(texts map[string]string, nested map[string]bool) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), texts: texts}
	byDir := map[string]*pkg{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Ext(name) != ".go" || ignored(name, nested) {
			continue
		}
		f, err := parseFile(t.fset, name, texts[name])
		if err != nil {
			return nil, err
		}
		p := byDir[f.dir]
		if p == nil {
			p = &pkg{dir: f.dir}
			byDir[f.dir] = p
		}
		p.files = append(p.files, f)
	}
	for _, p := range byDir {
		p.names = resolve(t.fset, p.files)
	}
	t.packages = slices.SortedFunc(maps.Values(byDir), func(a, b *pkg) int { return cmp.Compare(a.dir, b.dir) })
	return t, nil
}

func ignored(name string, nested map[string]bool) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		base := path.Base(dir)
		if nested[dir] || base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
			return true
		}
	}
	return false
}

func parseFile(fset *token.FileSet, name, text string) (*file, error) {
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", name, err)
	}
	return &file{
		path:  name,
		dir:   path.Dir(name),
		test:  strings.HasSuffix(name, "_test.go"),
		lines: bytes.Count([]byte(text), []byte("\n")),
		File:  syntax,
	}, nil
}

// files yields every file of every package.
func (t *tree) files(yield func(*file) bool) {
	for _, p := range t.packages {
		for _, f := range p.files {
			if !yield(f) {
				return
			}
		}
	}
}

func (t *tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// at makes a finding of the file that pos is in.
func (t *tree) at(pos token.Pos, format string, args ...any) finding {
	where := t.fset.Position(pos)
	return finding{path: where.Filename, line: where.Line, what: fmt.Sprintf(format, args...)}
}

// hasCode tells whether the package has a file that is not a test.
func (p *pkg) hasCode() bool {
	return slices.ContainsFunc(p.files, func(f *file) bool { return !f.test })
}

func (p *pkg) hasTests() bool {
	return slices.ContainsFunc(p.files, func(f *file) bool { return f.test })
}

// importPath is the path that an import declares, without its quotes.
func importPath(spec *ast.ImportSpec) string { return strings.Trim(spec.Path.Value, `"`) }

// calls yields every call of the form name.selector(…) in the file, as the two names and the call.
func (f *file) calls(yield func(x, sel string, call *ast.CallExpr)) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok {
					yield(x.Name, sel.Sel.Name, call)
				}
			}
		}
		return true
	})
}
