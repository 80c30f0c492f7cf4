package lint

import "fmt"

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
