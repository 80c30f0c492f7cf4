package lint

import (
	"go/ast"
	"strings"
)

// goroutines wants every goroutine of the server to have a name: a run or loop whose comment says what ends it, and
// that shows in a stack dump as more than func1. For wg.Go a literal that is nothing but the call of a named
// function is taken as one: there is no other way to pass an argument.
func goroutines() Rule {
	return Rule{
		Name:   "goroutines",
		Remedy: "start a named method (run, loop) on its owner's WaitGroup; its comment says what ends it",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if f.Test || !serverRoom(f.Room) {
					continue
				}
				for n := range ast.Preorder(f.syntax) {
					if nameless(n) {
						report(n.Pos(), "a goroutine runs an anonymous function")
					}
				}
			}
		},
	}
}

// serverRoom reports whether a room is the root or internal.
func serverRoom(room string) bool { return room == "." || strings.HasPrefix(room, "internal/") }

// nameless reports whether n starts a goroutine on an anonymous function: `go func…` or `x.Go(func…)`.
func nameless(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		_, ok := ast.Unparen(n.Call.Fun).(*ast.FuncLit)
		return ok
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Go" || len(n.Args) != 1 {
			return false
		}
		lit, ok := ast.Unparen(n.Args[0]).(*ast.FuncLit)
		return ok && !onlyCalls(lit.Body)
	}
	return false
}

// onlyCalls reports whether a body is one call of something named, its result returned or not.
func onlyCalls(body *ast.BlockStmt) bool {
	if len(body.List) != 1 {
		return false
	}
	var x ast.Expr
	switch s := body.List[0].(type) {
	case *ast.ExprStmt:
		x = s.X
	case *ast.ReturnStmt:
		if len(s.Results) != 1 {
			return false
		}
		x = s.Results[0]
	}
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	_, anonymous := ast.Unparen(call.Fun).(*ast.FuncLit)
	return !anonymous
}
