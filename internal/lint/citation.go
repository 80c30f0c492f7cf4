package lint

import (
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// cited is a page of docs/ with what stands behind its name in a citation: "protocol.md 2.1", "architecture.md D3",
// "docs/adr/0001-import-table.md".
var cited = regexp.MustCompile("([a-z0-9/-]+\\.md)\\b`?(?:,? (D[0-9]+|P[0-9]+|[WJS][0-9]+|[0-9]+(?:\\.[0-9]+)*)\\b)?")

// record is a decision cited by its number: "ADR 0004".
var record = regexp.MustCompile(`\bADR ([0-9]{4})\b`)

// design is a citation of a page that the repository does not have: it was the plan.
var design = regexp.MustCompile(`\bdesign (?:[DP][0-9]+|[0-9]+\.[0-9]+)\b`)

// citations wants every page and section that a comment cites to be in docs/.
func citations() Rule {
	return Rule{
		Name:   "citations",
		Remedy: "cite a page of docs/ and a section of it, as in protocol.md 2.1 or architecture.md D3",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				for _, group := range f.syntax.Comments {
					for _, c := range group.List {
						t.checkCitations(c, report)
					}
				}
			}
		},
	}
}

func (t *Tree) checkCitations(c *ast.Comment, report reporter) {
	at := func(offset int) token.Pos { return c.Pos() + token.Pos(offset) }
	for _, m := range design.FindAllStringIndex(c.Text, -1) {
		report(at(m[0]), c.Text[m[0]:m[1]]+" is not in the repository")
	}
	for _, m := range record.FindAllStringSubmatchIndex(c.Text, -1) {
		if !t.hasRecord(c.Text[m[2]:m[3]]) {
			report(at(m[0]), c.Text[m[0]:m[1]]+" is not in docs/adr")
		}
	}
	for _, m := range cited.FindAllStringSubmatchIndex(c.Text, -1) {
		page, ok := t.page(c.Text[m[2]:m[3]])
		switch {
		case !ok:
			report(at(m[0]), c.Text[m[2]:m[3]]+" is not in docs/")
		case m[4] >= 0 && !page.has(c.Text[m[4]:m[5]]):
			report(at(m[0]), c.Text[m[2]:m[3]]+" has no section "+c.Text[m[4]:m[5]])
		}
	}
}

// page is the text of a Markdown file.
type page string

// has reports whether a page has a section of that number, as a heading ("## 2.1 Packets"), the bold beginning of a
// paragraph ("**D3 One …"), or the first cell of a row of a table ("| P4 |").
func (p page) has(section string) bool {
	for line := range strings.Lines(string(p)) {
		line = strings.TrimLeft(line, "#*| ")
		for strings.HasPrefix(line, "<a ") {
			_, line, _ = strings.Cut(line, "</a>")
			line = strings.TrimLeft(line, "*")
		}
		head, _, _ := strings.Cut(line, " |") // a cell may hold several
		for name := range strings.SplitSeq(head, ", ") {
			rest, ok := strings.CutPrefix(name, section)
			if rest = strings.TrimPrefix(rest, "."); ok && (rest == "" || strings.ContainsRune(" \t\n:|", rune(rest[0]))) {
				return true
			}
		}
	}
	return false
}

// page finds a page by the end of its path: "clients.md" and "guide/clients.md" are the same.
func (t *Tree) page(name string) (page, bool) {
	for file, text := range t.pages {
		if file == name || strings.HasSuffix(file, "/"+name) {
			return text, true
		}
	}
	return "", false
}

func (t *Tree) hasRecord(number string) bool {
	for file := range t.pages {
		if strings.HasPrefix(file, "docs/adr/"+number+"-") {
			return true
		}
	}
	return false
}

// records wants every decision to have a number of its own: a citation names it.
func records() Rule {
	return Rule{
		Name:   "records",
		Remedy: "take the next free number of docs/adr",
		check: func(t *Tree, report reporter) {
			first := map[string]string{}
			for _, file := range slices.Sorted(maps.Keys(t.pages)) {
				name, ok := strings.CutPrefix(file, "docs/adr/")
				if !ok {
					continue
				}
				number, _, _ := strings.Cut(name, "-")
				if other, taken := first[number]; taken {
					report(t.Files[0].syntax.Package, file+" has the number of "+other)
				}
				first[number] = file
			}
		},
	}
}

// addPage keeps a page of the module for citations to be looked up in.
func (t *Tree) addPage(fsys fs.FS, name string) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	t.pages[path.Clean(name)] = page(text)
	return nil
}
