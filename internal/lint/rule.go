package lint

import (
	"fmt"
	"go/token"
)

// Rule is one rule of the house.
type Rule struct {
	Name   string // as it appears in failures
	Remedy string // what to do about a finding

	check func(*Tree, reporter)
}

// reporter books one fault at pos of a file.
type reporter func(pos token.Pos, fault string)

// Finding is one place that breaks a rule.
type Finding struct {
	File   string // slash-separated, from the module's root
	Line   int    // from 1
	Rule   string
	Fault  string
	Remedy string
}

// String renders a finding in one line that editors can jump to.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s: %s", f.File, f.Line, f.Rule, f.Fault, f.Remedy)
}

// Rules returns every rule of the house.
func Rules() []Rule {
	return []Rule{
		importTable(Table()),
		halves(),
		fileSize(600),
		commentWidth(132),
		goroutines(),
		rawSyscalls(),
		offsetCounts(),
		engineBytes(),
		printing(),
		contextTODO(),
		testAccess("inside.go"),
		sleeps(),
		skips(),
		corpora(),
		citations(),
		records(),
		mapped("docs/architecture.md", "CONTRIBUTING.md"),
		ways("docs/architecture.md"),
		words("docs/words.md"),
		verbs("docs/words.md"),
	}
}

// Check returns every place in t that breaks the rule, in file order.
func (r Rule) Check(t *Tree) []Finding {
	var found []Finding
	r.check(t, func(pos token.Pos, fault string) {
		p := t.fset.Position(pos)
		found = append(found, Finding{File: p.Filename, Line: p.Line, Rule: r.Name, Fault: fault, Remedy: r.Remedy})
	})
	return found
}
