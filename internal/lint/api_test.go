package lint_test

import (
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// TestNoInternalTypeIsReachable walks over all that the public packages export: whoever embeds Weir can name every type
// he is given, and go doc shows its fields and methods.
func TestNoInternalTypeIsReachable(t *testing.T) {
	built, public := listModule(t), []string{}
	for _, p := range built.ours {
		if p.name != "main" && !internal(p.path) {
			public = append(public, p.path)
		}
	}
	if !slices.Contains(public, modulePath) || !slices.Contains(public, modulePath+"/weirtest") {
		t.Fatalf("the public packages are %v", public)
	}
	compiled := importer.ForCompiler(token.NewFileSet(), "gc", built.open)
	for _, path := range public {
		pkg, err := compiled.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		w := walk{seen: map[types.Type]bool{}}
		for _, name := range pkg.Scope().Names() {
			if o := pkg.Scope().Lookup(name); o.Exported() {
				w.visit(o.Type(), pkg.Name()+"."+name)
			}
		}
		for _, f := range w.found {
			t.Error(f)
		}
	}
}

func ours(path string) bool { return path == modulePath || strings.HasPrefix(path, modulePath+"/") }

func internal(path string) bool { return strings.Contains(path+"/", "/internal/") }

// walk goes from type to type, as far as an importer can.
type walk struct {
	seen  map[types.Type]bool
	found []string
}

// visit looks at a type, which is reached as at says.
func (w *walk) visit(t types.Type, at string) {
	if w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		w.named(t, at)
	case *types.Alias:
		w.visit(t.Rhs(), at)
	case *types.Struct:
		for i := range t.NumFields() {
			if f := t.Field(i); f.Exported() || f.Embedded() {
				w.visit(f.Type(), at+"."+f.Name())
			}
		}
	case *types.Signature:
		w.tuple(t.Params(), at+"(…)")
		w.tuple(t.Results(), at+"()")
	case *types.Interface:
		for m := range t.Methods() {
			if m.Exported() {
				w.visit(m.Type(), at+"."+m.Name())
			}
		}
	case *types.Map:
		w.visit(t.Key(), at)
		w.visit(t.Elem(), at)
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		w.visit(t.Elem(), at)
	}
}

func (w *walk) tuple(list *types.Tuple, at string) {
	for v := range list.Variables() {
		w.visit(v.Type(), at)
	}
}

func (w *walk) named(t *types.Named, at string) {
	for arg := range t.TypeArgs().Types() {
		w.visit(arg, at)
	}
	switch pkg := t.Obj().Pkg(); {
	case pkg == nil || !ours(pkg.Path()): // predeclared, or another module's
		return
	case internal(pkg.Path()):
		w.found = append(w.found, fmt.Sprintf("%s is %s, which nobody else can name", at, t))
		return
	}
	w.visit(t.Underlying(), at)
	for m := range t.Methods() {
		if m.Exported() {
			w.visit(m.Type(), at+"."+m.Name())
		}
	}
}
