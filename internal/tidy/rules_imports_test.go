package tidy

import (
	"slices"
	"strings"
)

// importsPointDown checks every import of ours against the table of layers.
func importsPointDown(t *tree, in tables) (found []finding) {
	for _, p := range t.packages {
		if in.rank(p.dir) < 0 {
			f := p.files[0]
			found = append(found, t.at(f.Package, "package %s is not in the table of layers. Enter it in internal/tidy/tables_test.go, below what may import it and above what it imports", p.dir))
		}
	}
	for f := range t.files {
		for _, spec := range f.Imports {
			to, ok := ourDir(importPath(spec))
			if !ok || to == f.dir {
				continue
			}
			if why := in.forbids(f, to); why != "" {
				found = append(found, t.at(spec.Pos(), "%s must not import %s: %s. Move what both need to a lower layer, or pass it in as a value or an interface", f.dir, to, why))
			}
		}
	}
	return found
}

// ourDir is the directory of an import path that belongs to this module.
func ourDir(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// rank is the place of a directory in the list, or -1. Only examples stand for the directories below them.
func (in tables) rank(dir string) int {
	return slices.IndexFunc(in.layers, func(l layer) bool {
		return l.dir == dir || l.dir == "examples" && within(dir, l.dir)
	})
}

// forbids says why f must not import the directory to, or nothing.
func (in tables) forbids(f *file, to string) string {
	from, target := in.rank(f.dir), in.rank(to)
	if from < 0 || target < 0 {
		return "" // reported as unknown
	}
	a, b := in.layers[from], in.layers[target]
	switch {
	case b.testsOnly && (f.test || a.dir == "examples"):
		return ""
	case b.testsToo && f.test && strings.HasSuffix(f.Name.Name, "_test"):
		return ""
	case b.testsOnly:
		return "it is for tests"
	case a.alone:
		return a.dir + " imports nothing of ours"
	case target <= from:
		return "imports point down the list of layers"
	case len(b.onlyFrom) > 0 && !slices.ContainsFunc(b.onlyFrom, func(dir string) bool { return within(f.dir, dir) }):
		return "only " + strings.Join(b.onlyFrom, " and ") + " may"
	case a.apart != "" && a.apart == b.apart && !slices.Contains(b.carrierOf, a.dir):
		return "a " + a.apart + " never imports another except its carrier"
	}
	return ""
}

// within tells whether dir is top or below it. The root is only itself.
func within(dir, top string) bool {
	return dir == top || strings.HasPrefix(dir, top+"/")
}

// outsidersStayOut checks where the libraries of others are imported.
func outsidersStayOut(t *tree, in tables) (found []finding) {
	for f := range t.files {
		if f.test {
			continue
		}
		for _, spec := range f.Imports {
			for _, o := range in.outside {
				if !within(importPath(spec), o.prefix) || slices.ContainsFunc(o.dirs, func(dir string) bool { return within(f.dir, dir) }) {
					continue
				}
				found = append(found, t.at(spec.Pos(), "%s must not import %s: %s. Import it in a test file, or in %s", f.dir, importPath(spec), o.why, oneOf(o.dirs)))
			}
		}
	}
	return found
}

func oneOf(dirs []string) string {
	if len(dirs) == 0 {
		return "no other"
	}
	return strings.Join(dirs, " or ")
}

// noDotImports keeps every name's package visible where it is used.
func noDotImports(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		for _, spec := range f.Imports {
			if spec.Name != nil && spec.Name.Name == "." {
				found = append(found, t.at(spec.Pos(), "dot import of %s. Import it by its name", importPath(spec)))
			}
		}
	}
	return found
}
