package lint_test

import (
	"bytes"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/streamweir/weir"

// TestNoInternalTypeIsReachable walks over all that the public packages export: whoever embeds Weir can name every type
// he is given, and go doc shows its fields and methods.
func TestNoInternalTypeIsReachable(t *testing.T) {
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Name}}\t{{.Export}}", "./...")
	list.Dir = "../.."
	var complaints bytes.Buffer
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.Bytes())
	}
	files, public := map[string]string{}, []string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		files[f[0]] = f[2]
		if f[1] != "main" && ours(f[0]) && !internal(f[0]) {
			public = append(public, f[0])
		}
	}
	if !slices.Contains(public, modulePath) || !slices.Contains(public, modulePath+"/weirtest") {
		t.Fatalf("the public packages are %v", public)
	}
	compiled := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
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
