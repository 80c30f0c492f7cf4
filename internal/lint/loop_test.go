package lint_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/lint"
)

// TestLoopOnly holds the calls of this module, as it is built here, to the marker //weir:loop.
func TestLoopOnly(t *testing.T) {
	built, marked := listModule(t), 0
	var typed []*lint.Typed
	for _, p := range built.ours {
		if p.room() == "." || internal(p.path) {
			typed = append(typed, built.check(t, p))
		}
	}
	for _, finding := range lint.LoopOnly(typed, lint.HouseLoops(modulePath)) {
		t.Error(finding)
	}
	for _, p := range typed {
		for _, f := range p.Files {
			for _, group := range f.Comments {
				for _, c := range group.List {
					if c.Text == "//weir:loop" {
						marked++
					}
				}
			}
		}
	}
	if marked < 50 {
		t.Errorf("%d markers were seen, there are more", marked)
	}
}

// A function that is not marked may not call one that is: directly, through an interface or an embedded type, or on a
// goroutine of its own. What is posted is on the loop; what a conversion sends elsewhere is not.
func TestLoopOnlyCatchesItsViolation(t *testing.T) {
	const src = `package p

type Shard struct{ mu int }

// run is the loop.
func (s *Shard) run() { s.step() }

//weir:loop
func (s *Shard) step() {
	s.step()
	func() { s.step() }()
	elsewhere(func() { s.step() })
	_ = Job(func() { s.step() }) // want
}

func (s *Shard) Post(f func()) {}

type Job func()

func elsewhere(f func()) {}

func (s *Shard) Close() {
	s.step() // want
	go s.step() // want
	s.Post(func() { s.step() })
	s.Post(s.later(func() { s.step() })) // want
	elsewhere(func() { s.step() }) // want
	Conn{}.Send() // want
	Conn{}.ID()
	outer{}.Send() // want
	List[int]{}.add(1) // want
	go s.run()
}

func (s *Shard) later(f func()) func() { return f }

// Conn is a connection.
//
//weir:loop
type Conn struct{}

func (c Conn) Send() { c.ID(); s.step() }

//weir:any
func (Conn) ID() {
	s.step() // want
}

type outer struct{ Conn }

var s = new(Shard)

type List[T any] struct{}

// add adds.
//
//weir:loop
func (List[T]) add(T) {}

type Peer interface {
	//weir:loop
	Cut()
	Name()
}

//weir:loop
type Host interface {
	Open()
	//weir:any
	Name()
}

func talk(p Peer, h Host) {
	p.Cut() // want
	p.Name()
	h.Open() // want
	h.Name()
}

//weir:lop // want
func typo() {}

func inside() {
	//weir:loop // want
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	if _, err := new(types.Config).Check("p", fset, []*ast.File{file}, info); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, group := range file.Comments {
		for _, c := range group.List {
			if n := len(c.Text) - len("// want"); n >= 0 && c.Text[n:] == "// want" {
				want = append(want, fmt.Sprintf("p.go:%d", fset.Position(c.Pos()).Line))
			}
		}
	}
	got := map[string]bool{}
	for _, f := range lint.LoopOnly([]*lint.Typed{{Fset: fset, Files: []*ast.File{file}, Info: info}}, lint.Loops{
		Enter: []string{"(*p.Shard).run"}, Post: []string{"(*p.Shard).Post"}, Leave: []string{"p.Job"},
	}) {
		got[fmt.Sprintf("%s:%d", f.File, f.Line)] = true
	}
	for _, at := range want {
		if !got[at] {
			t.Errorf("nothing is found at %s", at)
		}
		delete(got, at)
	}
	if diff := cmp.Diff(map[string]bool{}, got); diff != "" {
		t.Errorf("found, and not wanted:\n%s", diff)
	}
}

// check reads a package of the module, with types.
func (m moduleList) check(t *testing.T, p listed) *lint.Typed {
	t.Helper()
	typed := &lint.Typed{Fset: token.NewFileSet(), Info: &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}}
	for _, name := range p.files {
		src, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(typed.Fset, path.Join(p.room(), name), src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		typed.Files = append(typed.Files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(typed.Fset, "gc", m.open)}
	if _, err := config.Check(p.path, typed.Fset, typed.Files, typed.Info); err != nil {
		t.Fatal(err)
	}
	return typed
}
