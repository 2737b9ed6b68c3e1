package tidy

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
)

// noInit: what init would do happens in main, or where a value is made, in an order that can be read.
func noInit(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				found = append(found, t.at(d.Pos(), "init function. Do it in a constructor, or in main, so that its order can be read"))
			}
		}
	}
	return found
}

// exitsOnlyInMain: a library returns errors; only a program ends the process.
func exitsOnlyInMain(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		if f.test || within(f.dir, "cmd") || within(f.dir, "examples") {
			continue
		}
		f.calls(func(x, sel string, call *ast.CallExpr) {
			if x == "os" && sel == "Exit" || x == "log" && strings.HasPrefix(sel, "Fatal") {
				found = append(found, t.at(call.Pos(), "%s.%s ends the process from a library. Return an error; only cmd exits", x, sel))
			}
		})
	}
	return found
}

// goroutinesAreCounted: each `go` statement outside of tests stands in the table, with who waits for the goroutine.
func goroutinesAreCounted(t *tree, in tables) (found []finding) {
	places := map[string][]token.Pos{}
	for f := range t.files {
		if f.test || within(f.dir, "examples") {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				places[f.path] = append(places[f.path], g.Pos())
			}
			return true
		})
	}
	return t.unlike(places, in.goes, "`go` statements", "Start it through task, or enter it in the table `goes` of internal/tidy/tables_test.go with who waits for it")
}

// unlike compares the places found per file with those allowed: one too many and one too few are both reported.
func (t *tree) unlike(places map[string][]token.Pos, allowed map[string]allowance, what, next string) (found []finding) {
	for _, name := range slices.Sorted(maps.Keys(places)) {
		if got := places[name]; len(got) != allowed[name].count {
			found = append(found, t.at(got[len(got)-1], "%d %s in this file, %d allowed. %s", len(got), what, allowed[name].count, next))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		if len(places[name]) == 0 {
			found = append(found, finding{path: name, what: "no " + what + " left in this file. Take it out of internal/tidy/tables_test.go"})
		}
	}
	return found
}

// except leaves out the findings in the directories allowed, and reports the directories that had none.
func except(found []finding, allowed map[string]string) (left []finding) {
	used := map[string]bool{}
	for _, f := range found {
		dir := path.Dir(f.path)
		used[dir] = true
		if _, ok := allowed[dir]; !ok {
			left = append(left, f)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(allowed)) {
		if !used[dir] {
			left = append(left, finding{path: dir, what: "the exception for " + dir + " is not used any more. Take it out of internal/tidy/tables_test.go"})
		}
	}
	return left
}

// globalsNeverChange: a package-level variable is a sentinel error or a table that is complete when it is declared.
func globalsNeverChange(t *tree, in tables) (found []finding) {
	used := map[string]bool{}
	for _, p := range t.packages {
		written := p.written()
		for _, f := range p.files {
			if f.test {
				continue
			}
			for name, g := range globals(f.File) {
				why := g.mutable()
				if why == "" && !written[name.Name] {
					continue
				}
				key := f.path + " " + name.Name
				used[key] = true
				if in.globals[key] != "" {
					continue
				}
				if why == "" {
					why = "it is written to"
				}
				found = append(found, t.at(name.Pos(), "package-level variable %s can change: %s. Make it a field of what uses it, or a constant", name.Name, why))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(in.globals)) {
		if name, _, _ := strings.Cut(key, " "); !used[key] {
			found = append(found, finding{path: name, what: "the exception for the variable in " + key + " is not used any more. Take it out of internal/tidy/tables_test.go"})
		}
	}
	return append(found, othersGlobals(t)...)
}

// A global is how one package-level variable is declared.
type global struct {
	typ, value ast.Expr
	embedded   bool // filled by //go:embed
}

func globals(f *ast.File) map[*ast.Ident]global {
	all := map[*ast.Ident]global{}
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.VAR {
			continue
		}
		for _, spec := range d.Specs {
			s := spec.(*ast.ValueSpec)
			for i, name := range s.Names {
				g := global{typ: s.Type, embedded: hasEmbed(d.Doc) || hasEmbed(s.Doc)}
				if len(s.Values) > 0 {
					g.value = s.Values[min(i, len(s.Values)-1)]
				}
				if name.Name != "_" {
					all[name] = g
				}
			}
		}
	}
	return all
}

func hasEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// mutable says why the declaration alone makes the variable one that changes, or nothing.
func (g global) mutable() string {
	if g.embedded {
		return ""
	}
	if g.value == nil {
		return "it has no value when it is declared"
	}
	if changing(g.typ) || changing(g.value) {
		return "its type is made to be changed"
	}
	return ""
}

// changing recognizes values of sync and sync/atomic, and maps, slices and pointers that are made empty. What sync.OnceValue
// computes is computed once and read after.
func changing(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.UnaryExpr:
		return changing(e.X)
	case *ast.StarExpr:
		return changing(e.X)
	case *ast.IndexExpr:
		return changing(e.X)
	case *ast.CompositeLit:
		return changing(e.Type)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.Ident); ok {
			return f.Name == "make" || f.Name == "new"
		}
	case *ast.ChanType:
		return true
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && (x.Name == "sync" || x.Name == "atomic")
	}
	return false
}

// written collects the package-level names that the package, tests included, assigns to, takes the address of, or empties.
func (p *pkg) written() map[string]bool {
	names := map[string]bool{}
	add := func(e ast.Expr) {
		if id := base(e); id != nil && p.names.isGlobal(id) {
			names[id.Name] = true
		}
	}
	for _, f := range p.files {
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok == token.DEFINE {
					return true
				}
				for _, e := range n.Lhs {
					add(e)
				}
			case *ast.IncDecStmt:
				add(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					add(n.X)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && slices.Contains([]string{"delete", "clear"}, id.Name) {
					add(n.Args[0])
				}
			}
			return true
		})
	}
	return names
}

// base is the variable at the root of v, v.f, v[i] and *v.
func base(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return base(e.X)
	case *ast.IndexExpr:
		return base(e.X)
	case *ast.StarExpr:
		return base(e.X)
	case *ast.ParenExpr:
		return base(e.X)
	}
	return nil
}

// othersGlobals finds assignments to a variable of another package: http.DefaultClient and its kind.
func othersGlobals(t *tree) (found []finding) {
	for _, p := range t.packages {
		for _, f := range p.files {
			ast.Inspect(f.File, func(n ast.Node) bool {
				assign, ok := n.(*ast.AssignStmt)
				if !ok {
					return true
				}
				for _, e := range assign.Lhs {
					if x, name, ok := p.names.imported(e); ok {
						found = append(found, t.at(e.Pos(), "%s.%s belongs to another package and is changed here. Pass the value in instead", x, name))
					}
				}
				return true
			})
		}
	}
	return found
}
