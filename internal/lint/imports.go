package lint

import (
	"fmt"
	"slices"
	"strings"
)

// importTable holds every non-test file to its room's row. Tests are black-box and may import what they need.
func importTable(table []Room) Rule {
	return Rule{
		Name: "import table",
		Remedy: "move the code to a room that may, or let the giver declare an interface; " +
			"a row in internal/lint/table.go changes only with the design (docs/adr/0001-import-table.md)",
		check: func(t *Tree, report reporter) {
			missing := map[string]bool{}
			for _, f := range t.Files {
				if f.Test || missing[f.Room] {
					continue
				}
				room, ok := row(table, f.Room)
				if !ok {
					missing[f.Room] = true
					report(f.syntax.Package, fmt.Sprintf("package %s has no row in the import table", f.Room))
					continue
				}
				room.hold(t, f, report)
			}
		},
	}
}

// hold reports the imports of f that its row does not allow.
func (r Room) hold(t *Tree, f *File, report reporter) {
	for spec, importPath := range f.imports() {
		room, ours := t.room(importPath)
		switch {
		case ours && !r.allows(room):
			report(spec.Pos(), fmt.Sprintf("%s may not import %s", f.Room, room))
		case !ours && r.StdOnly && !standard(importPath):
			report(spec.Pos(), fmt.Sprintf("%s imports %s, but only the standard library is allowed here", f.Room, importPath))
		}
	}
}

// standard reports whether an import path is the standard library's: its first element has no dot. cgo's "C" is not
// part of it.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return importPath != "C" && !strings.Contains(first, ".")
}

// halves keeps the protocol half and the delivery half apart. The table says so too; this says why.
func halves() Rule {
	protocol := []string{"internal/transport", "internal/engineio", "internal/socketio"}
	delivery := []string{"internal/delivery", "internal/lane", "internal/journal"}
	return Rule{
		Name: "two halves",
		Remedy: "protocol and delivery meet only in the root, through an interface of one to four methods " +
			"declared by the giver (docs/architecture.md, Rooms)",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if f.Test {
					continue
				}
				reportCrossing(t, f, protocol, delivery, report)
				reportCrossing(t, f, delivery, protocol, report)
			}
		},
	}
}

// reportCrossing reports imports of any room in there by a file that lies in one of here.
func reportCrossing(t *Tree, f *File, here, there []string, report reporter) {
	if !slices.ContainsFunc(here, within(f.Room)) {
		return
	}
	for spec, importPath := range f.imports() {
		room, ours := t.room(importPath)
		if ours && slices.ContainsFunc(there, within(room)) {
			report(spec.Pos(), fmt.Sprintf("%s imports %s of the other half", f.Room, room))
		}
	}
}

// within returns a predicate: room is this directory or lies below it.
func within(room string) func(dir string) bool {
	return func(dir string) bool { return room == dir || strings.HasPrefix(room, dir+"/") }
}
