package lint

import (
	"fmt"
	"strings"
	"unicode/utf8"
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

// commentWidth ends lines that are a comment and nothing else at limit columns, a tab being four. Pictures, which are indented,
// and what examples print may be wider.
func commentWidth(limit int) Rule {
	return Rule{
		Name:   "comment width",
		Remedy: "wrap the paragraph at 120 columns",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				for _, group := range f.syntax.Comments {
					if strings.Contains(group.Text(), "Output:\n") || strings.Contains(group.Text(), "Output: ") {
						continue // of an example: its lines are those of the program
					}
					for _, c := range group.List {
						at := t.fset.Position(c.Pos())
						if n := columns(f.source[at.Offset-at.Column+1:at.Offset], c.Text); n > limit {
							report(c.Pos(), fmt.Sprintf("%d columns, limit %d", n, limit))
						}
					}
				}
			}
		},
	}
}

// columns is how wide the line of a comment is, 0 if it is a picture or stands behind code.
func columns(before, text string) int {
	if strings.Trim(before, "\t") != "" || strings.HasPrefix(text, "//\t") || strings.HasPrefix(text, "//    ") || !strings.HasPrefix(text, "// ") {
		return 0
	}
	return 4*len(before) + utf8.RuneCountInString(text)
}
