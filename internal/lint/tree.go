package lint

import (
	"bufio"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"path"
	"strconv"
	"strings"
)

// Tree is the Go source of one module, parsed once for all rules. It is read-only after Load.
type Tree struct {
	Module string  // module path, from go.mod
	Files  []*File // in path order

	fset  *token.FileSet
	pages map[string]page // Markdown files, by path
}

// File is one Go source file of a Tree.
type File struct {
	Path string // slash-separated, from the module's root
	Room string // directory of Path; "." is the module's root
	Test bool   // a _test.go file

	syntax *ast.File
	lines  int
	source string
	bare   []*ast.FuncDecl // fuzz targets without a committed corpus
}

// Load parses every Go file of the module whose root is fsys. It leaves out what the go command leaves out (names
// that begin with "." or "_", testdata, nested modules) and node_modules.
func Load(fsys fs.FS) (*Tree, error) {
	module, err := modulePath(fsys)
	if err != nil {
		return nil, err
	}
	t := &Tree{Module: module, fset: token.NewFileSet(), pages: map[string]page{}}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(fsys, name)
		}
		switch {
		case hidden(path.Base(name)):
			return nil
		case path.Ext(name) == ".go":
			return t.add(fsys, name)
		case path.Ext(name) == ".md":
			return t.addPage(fsys, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", module, err)
	}
	return t, nil
}

func modulePath(fsys fs.FS) (string, error) {
	f, err := fsys.Open("go.mod")
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if module, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(module), nil
		}
	}
	return "", errors.Join(errors.New("go.mod: no module line"), lines.Err())
}

func hidden(base string) bool {
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
}

// enter decides whether the walk goes into directory dir: nil, or fs.SkipDir.
func enter(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if hidden(base) || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) add(fsys fs.FS, name string) error {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.fset, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	f := &File{
		Path:   name,
		Room:   path.Dir(name),
		Test:   strings.HasSuffix(name, "_test.go"),
		syntax: syntax,
		lines:  strings.Count(string(src), "\n"),
		source: string(src),
	}
	if f.Test {
		f.bare = bareTargets(fsys, f)
	}
	t.Files = append(t.Files, f)
	return nil
}

// room returns the directory that an import path of this module means, and false for any other module's.
func (t *Tree) room(importPath string) (string, bool) {
	if importPath == t.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, t.Module+"/")
}

// imports yields each import of f with its unquoted path.
func (f *File) imports() iter.Seq2[*ast.ImportSpec, string] {
	return func(yield func(*ast.ImportSpec, string) bool) {
		for _, spec := range f.syntax.Imports {
			importPath, err := strconv.Unquote(spec.Path.Value)
			if err == nil && !yield(spec, importPath) {
				return
			}
		}
	}
}

// localName returns the name by which f knows the package importPath, or "" if f does not import it.
func (f *File) localName(importPath string) string {
	for spec, p := range f.imports() {
		if p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(p)
	}
	return ""
}

// uses yields every mention in node of a name that package importPath exports, called or not.
func (f *File) uses(node ast.Node, importPath string) iter.Seq[*ast.SelectorExpr] {
	local := f.localName(importPath)
	return func(yield func(*ast.SelectorExpr) bool) {
		if local == "" {
			return
		}
		for n := range ast.Preorder(node) {
			sel, ok := n.(*ast.SelectorExpr)
			if ok && isPackage(sel.X, local) && !yield(sel) {
				return
			}
		}
	}
}

// isPackage reports whether x is the package known as local: an identifier of that name which nothing in the file
// declares.
func isPackage(x ast.Expr, local string) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == local && id.Obj == nil
}
