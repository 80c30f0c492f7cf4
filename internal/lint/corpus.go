package lint

import (
	"go/ast"
	"io/fs"
	"path"
	"strings"
)

// corpora wants inputs in the repository for every fuzz target: those are run wherever the tests are, and are what a
// fuzzer begins with.
func corpora() Rule {
	return Rule{
		Name:   "fuzz corpus",
		Remedy: "put inputs that matter into testdata/fuzz/NAME, not into f.Add alone",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				for _, target := range f.bare {
					report(target.Pos(), target.Name.Name+" has no committed corpus")
				}
			}
		},
	}
}

// bareTargets are the fuzz targets of a file whose corpus has no file.
func bareTargets(fsys fs.FS, f *File) (bare []*ast.FuncDecl) {
	for _, decl := range f.syntax.Decls {
		target, ok := decl.(*ast.FuncDecl)
		if !ok || target.Recv != nil || !strings.HasPrefix(target.Name.Name, "Fuzz") {
			continue
		}
		if inputs, err := fs.ReadDir(fsys, path.Join(f.Room, "testdata/fuzz", target.Name.Name)); err != nil || len(inputs) == 0 {
			bare = append(bare, target)
		}
	}
	return bare
}
