package lint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// fileSize ends every file, tests included, at limit lines.
func fileSize(limit int) Rule {
	return Rule{
		Name:   "file size",
		Remedy: "a file is one noun: cut it by noun, never into _2.go",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if f.lines <= limit {
					continue
				}
				first := t.fset.File(f.syntax.Package).LineStart(limit + 1)
				report(first, fmt.Sprintf("%d lines, limit %d", f.lines, limit))
			}
		},
	}
}

// packageSize ends every package at limit lines, tests not counted. It reports at the package's longest file.
func packageSize(limit int) Rule {
	return Rule{
		Name:   "package size",
		Remedy: "take a noun with a contract of its own out into a room of its own",
		check: func(t *Tree, report reporter) {
			rooms := map[string][]*File{}
			for _, f := range t.Files {
				if !f.Test {
					rooms[f.Room] = append(rooms[f.Room], f)
				}
			}
			for _, room := range slices.Sorted(maps.Keys(rooms)) {
				total := 0
				for _, f := range rooms[room] {
					total += f.lines
				}
				if total <= limit {
					continue
				}
				longest := slices.MaxFunc(rooms[room], func(a, b *File) int { return cmp.Compare(a.lines, b.lines) })
				report(longest.syntax.Package, fmt.Sprintf("package %s has %d lines, limit %d", room, total, limit))
			}
		},
	}
}
