package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
)

// Typed is a package of the module with its types: syntax alone does not say whose method is called.
type Typed struct {
	Fset  *token.FileSet
	Files []*ast.File // without tests
	Info  *types.Info // Defs, Uses and Selections
}

// The markers of who may call a function. They stand in its doc comment; above a type, loopMarker is that of its methods,
// but of those that bear anyMarker.
//
//	//weir:loop    only the loop of the shard that owns the receiver calls it (architecture.md D3)
//	//weir:any     any goroutine may call this method of a type that is marked
const (
	loopMarker = "//weir:loop"
	anyMarker  = "//weir:any"
)

// Loops says how one comes on a loop, and off it again, by the full names of functions (types.Func.FullName) and types.
type Loops struct {
	Enter []string // functions that are on the loop though anybody may call them
	Post  []string // functions whose function arguments run on the loop
	Leave []string // types of functions that run elsewhere: a conversion to one leaves the loop
}

// HouseLoops are the ways on and off the loops of this module.
func HouseLoops(module string) Loops {
	in := func(room, name string) string { return strings.Replace(name, "~", path.Join(module, room), 1) }
	return Loops{
		Enter: []string{
			in("internal/delivery", "(*~.Shard).run"),          // is the loop
			in("internal/transport/looptest", "(*~.Loop).run"), // is one for tests
			in("internal/transport", "(*~.Poller).Close"),      // comes after the loop
			in("internal/transport", "(*~.Intake).takeOver"),   // makes functions that the loop calls
			in("internal/transport", "(*~.Intake).abandon"),    // comes before the loop knows of the listener
		},
		Post: []string{
			in("internal/engineio", "(*~.shard).post"),
			in("internal/engineio", "(*~.request).await"),
			in("", "(*~.Socket).post"),
			in("", "(*~.Socket).onLoop"),
		},
		Leave: []string{
			in("internal/workers", "~.JobFunc"),
		},
	}
}

// LoopOnly returns every direct call of a function marked //weir:loop by one that is not, and every marker that marks
// nothing. What goes through a variable of a function's type it does not see; what goes through an interface it sees if the
// interface, or its method, is marked.
func LoopOnly(packages []*Typed, l Loops) []Finding {
	c := loopCheck{loops: l, marked: map[string]bool{}, any: map[string]bool{}}
	for _, p := range packages {
		c.collect(p)
	}
	for _, p := range packages {
		for _, f := range p.Files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					c.function(p, fn)
				}
			}
		}
	}
	return c.found
}

// loopCheck is one run of LoopOnly.
type loopCheck struct {
	loops  Loops
	marked map[string]bool // by full name
	any    map[string]bool
	found  []Finding
}

func (c *loopCheck) report(p *Typed, at token.Pos, fault string) {
	where := p.Fset.Position(at)
	c.found = append(c.found, Finding{
		File: where.Filename, Line: where.Line, Rule: "loop only", Fault: fault,
		Remedy: "if only the loop calls the caller too, mark it " + loopMarker + "; if not, post a task to the shard (base.Loop.Post) that makes the call",
	})
}

// collect notes the functions that a package marks.
func (c *loopCheck) collect(p *Typed) {
	used := map[*ast.Comment]bool{}
	for _, f := range p.Files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				c.collectFunction(p, d, used)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if t, ok := s.(*ast.TypeSpec); ok {
						c.collectType(p, t, d.Doc, used)
					}
				}
			}
		}
	}
	for _, f := range p.Files {
		for _, group := range f.Comments {
			for _, m := range group.List {
				if strings.HasPrefix(m.Text, "//weir:") && !used[m] {
					c.report(p, m.Pos(), m.Text+" marks no function, type or method of an interface")
				}
			}
		}
	}
}

func (c *loopCheck) collectFunction(p *Typed, d *ast.FuncDecl, used map[*ast.Comment]bool) {
	name := p.Info.Defs[d.Name].(*types.Func).FullName()
	if has(d.Doc, loopMarker, used) {
		c.marked[name] = true
	}
	if has(d.Doc, anyMarker, used) {
		c.any[name] = true
	}
}

// collectType marks the methods of a marked type, or the marked methods of an interface.
func (c *loopCheck) collectType(p *Typed, t *ast.TypeSpec, doc *ast.CommentGroup, used map[*ast.Comment]bool) {
	all := has(doc, loopMarker, used) || has(t.Doc, loopMarker, used)
	if named, ok := p.Info.Defs[t.Name].Type().(*types.Named); ok && all {
		for m := range named.Methods() {
			c.marked[m.FullName()] = true
		}
	}
	face, ok := t.Type.(*ast.InterfaceType)
	if !ok {
		return
	}
	for _, field := range face.Methods.List {
		marked, free := has(field.Doc, loopMarker, used), has(field.Doc, anyMarker, used)
		for _, name := range field.Names {
			if f, ok := p.Info.Defs[name].(*types.Func); ok && (marked || all && !free) {
				c.marked[f.FullName()] = true
			}
		}
	}
}

// has reports whether a comment has a marker as a line of its own.
func has(doc *ast.CommentGroup, marker string, used map[*ast.Comment]bool) bool {
	if doc == nil {
		return false
	}
	i := slices.IndexFunc(doc.List, func(m *ast.Comment) bool { return m.Text == marker })
	if i >= 0 {
		used[doc.List[i]] = true
	}
	return i >= 0
}

func (c *loopCheck) function(p *Typed, fn *ast.FuncDecl) {
	name := p.Info.Defs[fn.Name].(*types.Func).FullName()
	c.walk(p, fn.Body, fn.Name.Name, c.isMarked(name) || slices.Contains(c.loops.Enter, name))
}

func (c *loopCheck) isMarked(name string) bool {
	return c.marked[name] && !c.any[name] && !slices.Contains(c.loops.Enter, name)
}

// walk looks at the calls inside n, which is in the function caller; on says whether n runs on the loop.
func (c *loopCheck) walk(p *Typed, n ast.Node, caller string, on bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		inside, name := on, ""
		switch f := callee(p.Info, call); {
		case f != nil:
			name = f.Origin().FullName()
			if c.isMarked(name) && !on {
				c.report(p, call.Pos(), fmt.Sprintf("%s calls %s, which is marked %s", caller, f.Name(), loopMarker))
			}
		case slices.Contains(c.loops.Leave, typeName(p.Info, call.Fun)):
			inside = false
		}
		posts := slices.Contains(c.loops.Post, name)
		c.walk(p, call.Fun, caller, on)
		for _, x := range call.Args {
			if lit, ok := ast.Unparen(x).(*ast.FuncLit); ok {
				c.walk(p, lit.Body, caller, inside || posts)
				continue
			}
			c.walk(p, x, caller, on)
		}
		return false
	})
}

// callee is the function or method that a call names; nil: a variable, a conversion or a builtin.
func callee(info *types.Info, call *ast.CallExpr) *types.Func {
	fun := ast.Unparen(call.Fun)
	switch x := fun.(type) { // of an instance of a generic function
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	switch x := fun.(type) {
	case *ast.Ident:
		f, _ := info.Uses[x].(*types.Func)
		return f
	case *ast.SelectorExpr:
		f, _ := info.Uses[x.Sel].(*types.Func)
		return f
	}
	return nil
}

// typeName is the full name of the type that x is; "" if it is none.
func typeName(info *types.Info, x ast.Expr) string {
	var name *types.TypeName
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		name, _ = info.Uses[x].(*types.TypeName)
	case *ast.SelectorExpr:
		name, _ = info.Uses[x.Sel].(*types.TypeName)
	}
	if name == nil || name.Pkg() == nil {
		return ""
	}
	if named, ok := types.Unalias(name.Type()).(*types.Named); ok {
		name = named.Obj()
	}
	return name.Pkg().Path() + "." + name.Name()
}
