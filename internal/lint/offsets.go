package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// offsetRooms are where offsets of topics are dealt with.
var offsetRooms = []string{".", "internal/admin", "internal/cursor", "internal/delivery", "internal/sharedlog", "internal/survey", "internal/topiclog"}

// offsetNames are what offsets are called there.
var offsetNames = []string{"offset", "previous", "lostafter", "first", "last", "next", "floor", "live", "upto", "chain", "from", "after", "before", "at", "since"}

// offsetFiles may subtract one offset from another, with why.
var offsetFiles = []string{
	"internal/topiclog/log.go",    // Span.Between, which knows whether that is a count
	"internal/topiclog/newest.go", // how far back to look next: no count comes of it
	"internal/delivery/errand.go", // which read will bring what a lane waits for: a guess, and who waited in vain asks again
	"internal/cursor/encode.go",   // gaps and runs as they are written down, which are added up again
}

// offsetCounts refuses the difference of two offsets: in a topic whose log a broker keeps it is no count of records.
func offsetCounts() Rule {
	return Rule{
		Name:   "counts by offsets",
		Remedy: "ask topiclog.Span.Between, which says whether it is known; a new file is listed with its reason in internal/lint/offsets.go",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if f.Test || !offsetRoom(f.Room) || slices.Contains(offsetFiles, f.Path) {
					continue
				}
				for n := range ast.Preorder(f.syntax) {
					if fault := offsetDifference(n); fault != "" {
						report(n.Pos(), fault)
					}
				}
			}
		},
	}
}

// offsetRoom reports whether offsets are dealt with in a room, or one within it.
func offsetRoom(room string) bool {
	return slices.ContainsFunc(offsetRooms, func(r string) bool { return room == r || (r != "." && strings.HasPrefix(room, r+"/")) })
}

// offsetDifference is what is wrong with a node; "": nothing. One less than an offset is a place, not a count.
func offsetDifference(n ast.Node) string {
	var x, y ast.Expr
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op != token.SUB {
			return ""
		}
		x, y = n.X, n.Y
	case *ast.AssignStmt:
		if n.Tok != token.SUB_ASSIGN {
			return ""
		}
		x, y = n.Lhs[0], n.Rhs[0]
	default:
		return ""
	}
	left, right := lastName(x), lastName(y)
	if !slices.Contains(offsetNames, strings.ToLower(left)) || !slices.Contains(offsetNames, strings.ToLower(right)) {
		return ""
	}
	return fmt.Sprintf("%s is subtracted from %s", right, left)
}

// lastName is the name of what an expression selects, calls or is; "": it has none.
func lastName(x ast.Expr) string {
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.BinaryExpr: // of an offset and a number: the offset
		if _, number := x.Y.(*ast.BasicLit); number {
			return lastName(x.X)
		}
	case *ast.CallExpr: // of the largest or smallest: the first that has an offset's name
		if f, ok := x.Fun.(*ast.Ident); ok && (f.Name == "min" || f.Name == "max") {
			for _, a := range x.Args {
				if name := lastName(a); slices.Contains(offsetNames, strings.ToLower(name)) {
					return name
				}
			}
		}
	}
	return ""
}
