package tidy

import "go/ast"

// functionsAreShort measures every function, and every function literal outside of one. In tests the rows of a table are
// data, read by the row, and are not counted.
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
			lines := span(t, n)
			if f.test {
				lines -= rows(t, n)
			}
			if lines > maxFuncLines {
				found = append(found, t.at(n.Pos(), "%s has %d lines, %d at most. Split it into steps that can be named", name, lines, maxFuncLines))
			}
			return false // a literal inside is part of its function
		})
	}
	return found
}

func span(t *tree, n ast.Node) int { return t.line(n.End()-1) - t.line(n.Pos()) + 1 }

// rows counts the lines of the tables in n, without the two that open and close each.
func rows(t *tree, n ast.Node) (lines int) {
	ast.Inspect(n, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch table.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			lines += max(0, t.line(table.Rbrace)-t.line(table.Lbrace)-1)
			return false
		}
		return true
	})
	return lines
}

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
