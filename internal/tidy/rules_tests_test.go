package tidy

import (
	"go/ast"
	"go/token"
	"slices"
)

// noSleepInTests: a test waits for what happens, not for how long it usually takes. Inside synctest.Test the clock is
// fake and sleeping is exact, so it is allowed in the function given to it.
func noSleepInTests(t *tree, in tables) (found []finding) {
	places := map[string][]token.Pos{}
	for _, p := range t.packages {
		bubbles := p.bubbles()
		for _, f := range p.files {
			if !f.test {
				continue
			}
			f.calls(func(x, sel string, call *ast.CallExpr) {
				inside := slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() <= call.Pos() && call.Pos() < b.End() })
				if x == "time" && sel == "Sleep" && !inside {
					places[f.path] = append(places[f.path], call.Pos())
				}
			})
		}
	}
	return t.unlike(places, in.sleeps, "time.Sleep in tests", "Wait for a channel, or use testing/synctest; if real time must pass, enter it in the table `sleeps` of internal/tidy/tables_test.go with the reason")
}

// bubbles are the functions of the package that run under a fake clock: given to synctest.Test, or called by one that is.
func (p *pkg) bubbles() (inside []ast.Node) {
	for _, f := range p.files {
		f.calls(func(x, sel string, call *ast.CallExpr) {
			if x != "synctest" || sel != "Test" || len(call.Args) != 2 {
				return
			}
			if id, ok := call.Args[1].(*ast.Ident); ok {
				inside = append(inside, p.function(id.Name)...)
				return
			}
			inside = append(inside, call.Args[1])
		})
	}
	return inside
}

func (p *pkg) function(name string) (found []ast.Node) {
	for _, f := range p.files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == name {
				found = append(found, d)
			}
		}
	}
	return found
}

// noSkippedTests: a test that is skipped hides what should have been installed, or mended.
func noSkippedTests(t *tree, in tables) (found []finding) {
	places := map[string][]token.Pos{}
	for f := range t.files {
		if !f.test {
			continue
		}
		testers := f.testers()
		f.calls(func(x, sel string, call *ast.CallExpr) {
			if testers[x] && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel) {
				places[f.path] = append(places[f.path], call.Pos())
			}
		})
	}
	return t.unlike(places, in.skips, "skipped tests", "Let .ci/run install what is missing; if the test cannot run everywhere, enter it in the table `skips` of internal/tidy/tables_test.go with the reason")
}

// testers are the names that the file gives to parameters of type *testing.T and its kin.
func (f *file) testers() map[string]bool {
	found := map[string]bool{}
	ast.Inspect(f.File, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		typ := field.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if sel, ok := typ.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "testing" {
				for _, name := range field.Names {
					found[name.Name] = true
				}
			}
		}
		return true
	})
	return found
}

// leaksFail: where goroutines start, goleak in TestMain counts them at the end.
func leaksFail(t *tree, in tables) (found []finding) {
	for _, p := range t.packages {
		if !p.hasTests() || within(p.dir, "examples") {
			continue
		}
		start, checked := token.NoPos, false
		for _, f := range p.files {
			ast.Inspect(f.File, func(n ast.Node) bool {
				if startsGoroutine(n) {
					start = n.Pos()
				}
				return true
			})
			f.calls(func(x, sel string, _ *ast.CallExpr) {
				checked = checked || x == "goleak" && (sel == "VerifyTestMain" || sel == "Find")
			})
		}
		if start.IsValid() && !checked {
			found = append(found, t.at(start, "package %s starts goroutines, here among other places, and its tests do not look for leaks. Add func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }", p.dir))
		}
	}
	return except(found, in.noLeak)
}

// startsGoroutine tells whether n is a go statement, a call of a method named Go, or an import of what starts them inside.
func startsGoroutine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Go"
	case *ast.ImportSpec:
		return slices.Contains([]string{"net/http", module + "/engine", module + "/task", module + "/server", module}, importPath(n))
	}
	return false
}
