package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// packagesAreDocumented wants a doc.go that is a contract in every package; an example is explained in its own file.
func packagesAreDocumented(t *tree, in tables) (found []finding) {
	for _, p := range t.packages {
		if !p.hasCode() {
			continue
		}
		doc, at := packageDoc(p)
		switch {
		case at == nil:
			found = append(found, t.at(p.files[0].Package, "package %s has no doc.go. Write one that states what it promises about order, blocking, delivery and ownership of buffers, and what it does not", p.dir))
		case len(strings.Fields(doc)) < minDocWords:
			found = append(found, t.at(at.Package, "the package comment has %d words, %d at least. State what is promised about order, blocking, delivery and ownership of buffers, and what is not", len(strings.Fields(doc)), minDocWords))
		case at.Name.Name != "main" && !strings.HasPrefix(doc, "Package "+at.Name.Name+" "):
			found = append(found, t.at(at.Package, "the package comment begins %q. Begin it with %q, as go doc expects", firstWords(doc), "Package "+at.Name.Name))
		}
	}
	return except(found, in.docs)
}

// packageDoc is the package comment in doc.go, or of an example the one in any of its files.
func packageDoc(p *pkg) (string, *file) {
	for _, f := range p.files {
		if !f.test && f.Doc != nil && (path.Base(f.path) == "doc.go" || within(f.dir, "examples")) {
			return f.Doc.Text(), f
		}
	}
	return "", nil
}

func firstWords(doc string) string {
	words := strings.Fields(doc)
	return strings.Join(words[:min(3, len(words))], " ")
}

// exportedIsDocumented wants a comment for every exported name that a reader of go doc sees.
func exportedIsDocumented(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		if f.test || f.Name.Name == "main" {
			continue
		}
		report := func(pos token.Pos, name string) {
			found = append(found, t.at(pos, "exported %s has no comment. Say what it does for its caller: units, errors, blocking, limits", name))
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if name, seen := seenName(d); seen && d.Doc == nil {
					report(d.Pos(), name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					undocumented(t, d, spec, report)
				}
			}
		}
	}
	return found
}

// wellKnown are the methods whose meaning the standard library's interfaces state.
var wellKnown = []string{"Error", "Unwrap", "Is", "String", "GoString", "LogValue", "MarshalText", "MarshalJSON", "MarshalYAML", "UnmarshalText", "UnmarshalJSON", "UnmarshalYAML", "ServeHTTP"}

// seenName is a function's name, and whether its comment is missed: of a method, if its receiver's type is exported too.
func seenName(d *ast.FuncDecl) (string, bool) {
	name := d.Name.Name
	if d.Recv == nil {
		return name, ast.IsExported(name)
	}
	recv := receiver(d.Recv.List[0].Type)
	return recv + "." + name, ast.IsExported(name) && ast.IsExported(recv) && !slices.Contains(wellKnown, name)
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// undocumented reports the exported names of one type, constant or variable. A comment on a group of constants or
// variables speaks for all of them, and a struct's for its fields; but each option states its own default and danger.
func undocumented(t *tree, d *ast.GenDecl, spec ast.Spec, report func(token.Pos, string)) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return
		}
		if s.Doc == nil && s.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
			report(s.Pos(), "type "+s.Name.Name)
		}
		switch body := s.Type.(type) {
		case *ast.StructType:
			if strings.HasSuffix(s.Name.Name, "Options") || strings.HasSuffix(s.Name.Name, "Config") {
				undocumentedFields(t, s.Name.Name, body.Fields, report)
			}
		case *ast.InterfaceType:
			undocumentedFields(t, s.Name.Name, body.Methods, report)
		}
	case *ast.ValueSpec:
		if d.Doc != nil || s.Doc != nil || s.Comment != nil {
			return
		}
		for _, name := range s.Names {
			if name.IsExported() {
				report(name.Pos(), name.Name)
			}
		}
	}
}

// undocumentedFields reports exported fields and interface methods. A comment speaks for the lines that follow it
// without a blank line between them.
func undocumentedFields(t *tree, owner string, fields *ast.FieldList, report func(token.Pos, string)) {
	covered := -1 // the last line that the comment above speaks for
	for _, field := range fields.List {
		start := t.line(field.Pos())
		if field.Doc != nil || start == covered+1 {
			covered = t.line(field.End())
			continue
		}
		for _, name := range field.Names {
			if name.IsExported() && field.Comment == nil {
				report(name.Pos(), owner+"."+name.Name)
			}
		}
	}
}

// unfinished matches the marks of work that was put off.
var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// nothingPutOff finds marks of unfinished work in comments.
func nothingPutOff(t *tree, _ tables) (found []finding) {
	for f := range t.files {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if mark := unfinished.FindString(c.Text); mark != "" && f.dir != "internal/tidy" {
					found = append(found, t.at(c.Pos(), "%s in a comment. Do it now, or open an issue and say in the comment what holds today", mark))
				}
			}
		}
	}
	return found
}
