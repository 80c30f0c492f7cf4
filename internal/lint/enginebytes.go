package lint

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// engineBytes keeps the bytes of Engine.IO in the codecs: what a packet's first byte is depends on what the client speaks, so
// nobody else writes one (docs/adr/0017-dialects.md). The clients' side of the wire, for tools and tests, is free.
func engineBytes() Rule {
	free := []string{
		"internal/wire", "internal/packet", "internal/lint",
		"internal/peer", "internal/loadtest", "cmd/weir/internal",
	}
	return Rule{
		Name:   "engine.io bytes",
		Remedy: "let internal/wire/eio or internal/packet write it: PacketType.Text, AppendPacket, NewFrame",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if f.Test || !serverRoom(f.Room) || slices.ContainsFunc(free, within(f.Room)) {
					continue
				}
				for n := range ast.Preorder(f.syntax) {
					reportEngineByte(t, f, n, report)
				}
			}
		},
	}
}

func reportEngineByte(t *Tree, f *File, n ast.Node, report reporter) {
	switch n := n.(type) {
	case *ast.CallExpr:
		for _, x := range n.Args {
			switch {
			case isPackage(n.Fun, "append") && (engineRune(x) || engineText(x)):
				report(x.Pos(), "a packet type of Engine.IO is appended")
			case conversion(n.Fun) && packetType(t, f, x):
				report(x.Pos(), "a packet type of Engine.IO is made a byte")
			case byteSlice(n.Fun) && engineText(x):
				report(x.Pos(), "the text of an Engine.IO packet is written out")
			}
		}
	case *ast.CompositeLit:
		if !byteSlice(n.Type) {
			return
		}
		for _, x := range n.Elts {
			if engineRune(x) {
				report(x.Pos(), "a packet type of Engine.IO is a byte of a slice")
			}
		}
	}
}

// engineTexts are literals that begin with a packet type and go on as packets do: "2", "3probe", "42[…", "0{…".
var engineTexts = regexp.MustCompile(`^[0-6]($|probe|[0-6]|[{\["/])`)

func engineText(x ast.Expr) bool {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	text, err := strconv.Unquote(lit.Value)
	return err == nil && engineTexts.MatchString(text)
}

// engineRune reports whether x is a literal '0' to '6', or 'b', which marks base64.
func engineRune(x ast.Expr) bool {
	lit, ok := x.(*ast.BasicLit)
	return ok && lit.Kind == token.CHAR && slices.Contains([]string{"'0'", "'1'", "'2'", "'3'", "'4'", "'5'", "'6'", "'b'"}, lit.Value)
}

// conversion reports whether fun is a type that a packet type is converted to as a byte.
func conversion(fun ast.Expr) bool {
	return isPackage(fun, "byte") || isPackage(fun, "uint8") || isPackage(fun, "rune") || isPackage(fun, "string")
}

func byteSlice(x ast.Expr) bool {
	a, ok := x.(*ast.ArrayType)
	return ok && a.Len == nil && isPackage(a.Elt, "byte")
}

// packetTypes are the constants of package eio.
var packetTypes = []string{"Open", "Close", "Ping", "Pong", "Message", "Upgrade", "Noop"}

// packetType reports whether x is a packet type: a constant of package eio, or something declared as an eio.PacketType.
func packetType(t *Tree, f *File, x ast.Expr) bool {
	local := f.localName(path.Join(t.Module, "internal/wire/eio"))
	if local == "" {
		return false
	}
	switch x := x.(type) {
	case *ast.SelectorExpr:
		return isPackage(x.X, local) && slices.Contains(packetTypes, x.Sel.Name)
	case *ast.Ident:
		if x.Obj == nil {
			return false
		}
		field, ok := x.Obj.Decl.(*ast.Field)
		if !ok {
			return false
		}
		sel, ok := field.Type.(*ast.SelectorExpr)
		return ok && isPackage(sel.X, local) && sel.Sel.Name == "PacketType"
	}
	return false
}
