package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// printing keeps the library silent: it writes where it is told to (an io.Writer, a slog.Logger), and only what is
// an application prints. Testable examples print by nature.
func printing() Rule {
	applications := []string{"cmd", "conformance", "bench", "examples"}
	return Rule{
		Name:   "printing",
		Remedy: "take a *slog.Logger or an io.Writer from the caller; in a test use t.Log",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if slices.ContainsFunc(applications, within(f.Room)) {
					continue
				}
				for _, decl := range f.syntax.Decls {
					if !example(f, decl) {
						reportPrints(f, decl, report)
					}
				}
			}
		},
	}
}

func example(f *File, decl ast.Decl) bool {
	fn, ok := decl.(*ast.FuncDecl)
	return ok && f.Test && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example")
}

func reportPrints(f *File, decl ast.Decl, report reporter) {
	for sel := range f.uses(decl, "fmt") {
		if strings.HasPrefix(sel.Sel.Name, "Print") {
			report(sel.Pos(), "fmt."+sel.Sel.Name)
		}
	}
	for sel := range f.uses(decl, "log") {
		if hasAnyPrefix(sel.Sel.Name, "Print", "Fatal", "Panic") {
			report(sel.Pos(), "log."+sel.Sel.Name)
		}
	}
	for n := range ast.Preorder(decl) {
		call, ok := n.(*ast.CallExpr)
		if ok && (isPackage(call.Fun, "print") || isPackage(call.Fun, "println")) {
			report(call.Pos(), "the builtin print")
		}
	}
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// contextTODO refuses contexts that nobody ends, in tests too.
func contextTODO() Rule {
	return Rule{
		Name:   "context.TODO",
		Remedy: "take the context from the caller; a test has t.Context()",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				for sel := range f.uses(f.syntax, "context") {
					if sel.Sel.Name == "TODO" {
						report(sel.Pos(), "a context that nobody ends")
					}
				}
			}
		},
	}
}

// testAccess keeps what the tests of the whole may do to a server (attach.Tests) to tests: the root fills it in, in one file,
// and no code that ships uses it.
func testAccess(filled string) Rule {
	return Rule{
		Name:   "test access",
		Remedy: "use what the package offers, or say in " + filled + " what one more test needs",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if f.Test || t.fset.Position(f.syntax.Package).Filename == filled {
					continue
				}
				for sel := range f.uses(f.syntax, path.Join(t.Module, "internal/attach")) {
					if sel.Sel.Name == "Tests" || sel.Sel.Name == "Inside" {
						report(sel.Pos(), "attach."+sel.Sel.Name+" is for tests")
					}
				}
			}
		},
	}
}

// sleeps refuses time.Sleep in tests, except in files that use testing/synctest, where it costs nothing and proves
// something.
func sleeps() Rule {
	return Rule{
		Name:   "sleeping tests",
		Remedy: "wait for the event itself, or run in a testing/synctest bubble",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if !f.Test || f.localName("testing/synctest") != "" {
					continue
				}
				for sel := range f.uses(f.syntax, "time") {
					if sel.Sel.Name == "Sleep" {
						report(sel.Pos(), "time.Sleep in a test")
					}
				}
			}
		},
	}
}

// skips wants every skipped test to say why. A literal reason may not be blank; a computed one is believed.
func skips() Rule {
	return Rule{
		Name:   "silent skips",
		Remedy: "give t.Skip the reason as a sentence, or better: make the test run",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				for n := range ast.Preorder(f.syntax) {
					if call, ok := n.(*ast.CallExpr); ok {
						reportSilentSkip(f, call, report)
					}
				}
			}
		},
	}
}

func reportSilentSkip(f *File, call *ast.CallExpr, report reporter) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !ofTesting(f, sel.X) {
		return
	}
	switch sel.Sel.Name {
	case "SkipNow":
		report(call.Pos(), "SkipNow gives no reason")
	case "Skip", "Skipf":
		if len(call.Args) == 0 || blank(call.Args[0]) {
			report(call.Pos(), fmt.Sprintf("%s without a reason", sel.Sel.Name))
		}
	}
}

// ofTesting reports whether x is a parameter or variable declared with a type of package testing, *testing.T say.
func ofTesting(f *File, x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	if !ok || id.Obj == nil {
		return false
	}
	var declared ast.Expr
	switch d := id.Obj.Decl.(type) {
	case *ast.Field:
		declared = d.Type
	case *ast.ValueSpec:
		declared = d.Type
	}
	if star, ok := declared.(*ast.StarExpr); ok {
		declared = star.X
	}
	sel, ok := declared.(*ast.SelectorExpr)
	return ok && isPackage(sel.X, f.localName("testing"))
}

func blank(x ast.Expr) bool {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	text, err := strconv.Unquote(lit.Value)
	return err == nil && strings.TrimSpace(text) == ""
}
