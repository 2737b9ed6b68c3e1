package tidy

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
)

// A names says what the identifiers of one package stand for. Imports are not read, so it knows scopes, not types.
type names struct {
	uses   map[*ast.Ident]types.Object
	scopes []*types.Scope // of the package, and of its external test package
}

// resolve runs the type checker for its scopes alone: what it reports about names of other packages is not of interest.
func resolve(fset *token.FileSet, files []*file) names {
	n := names{uses: map[*ast.Ident]types.Object{}}
	byName := map[string][]*ast.File{}
	for _, f := range files {
		byName[f.Name.Name] = append(byName[f.Name.Name], f.File)
	}
	for name, group := range byName {
		conf := types.Config{Importer: emptyImporter{}, Error: func(error) {}}
		checked, _ := conf.Check(name, fset, group, &types.Info{Uses: n.uses})
		n.scopes = append(n.scopes, checked.Scope())
	}
	return n
}

// An emptyImporter answers every import with a package that declares nothing.
type emptyImporter struct{}

func (emptyImporter) Import(name string) (*types.Package, error) {
	p := types.NewPackage(name, path.Base(name))
	p.MarkComplete()
	return p, nil
}

// isGlobal tells whether id names something declared at package level.
func (n names) isGlobal(id *ast.Ident) bool {
	obj := n.uses[id]
	if obj == nil {
		return false
	}
	for _, scope := range n.scopes {
		if obj.Parent() == scope {
			return true
		}
	}
	return false
}

// imported takes pkg.Name apart, if e is a name of an imported package.
func (n names) imported(e ast.Expr) (pkg, name string, ok bool) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", "", false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", "", false
	}
	_, ok = n.uses[x].(*types.PkgName)
	return x.Name, sel.Sel.Name, ok
}
