package tidy

import "go/ast"

// functionsAreShort measures every function, and every function literal outside of one.
func functionsAreShort(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		ast.Inspect(f.File, func(n ast.Node) bool {
			name := "a function literal"
			switch n := n.(type) {
			case *ast.FuncDecl:
				name = n.Name.Name
			case *ast.FuncLit:
			default:
				return true
			}
			if lines := span(t, n); lines > maxFuncLines {
				found = append(found, t.at(n.Pos(), "%s has %d lines, %d at most. Split it into steps that can be named", name, lines, maxFuncLines))
			}
			return false // a literal inside is part of its function
		})
	}
	return found
}

func span(t *tree, n ast.Node) int { return t.line(n.End()-1) - t.line(n.Pos()) + 1 }

// filesAreShort measures every file.
func filesAreShort(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		limit := maxFileLines
		if f.test {
			limit = maxTestFileLines
		}
		if f.lines > limit {
			found = append(found, t.at(f.FileStart, "%d lines, %d at most. Split it by what the parts are called", f.lines, limit))
		}
	}
	return found
}
