package lint

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
)

// step of a way through the code: a file, and the names to look for in it: "`client.go` (`Message`)".
var step = regexp.MustCompile("`([a-z0-9_/]+\\.go)`(?: \\(((?:`[A-Za-z]+`(?:, )?)+)\\))?")

// mostOpens is how many files a question may cost a reader, the page that answers it included.
const mostOpens = 6

// ways wants the answers of a page's section "Where is …?" to lead where they say: each file is there, declares what is to be
// looked for in it, and the last of them is one of the first six.
func ways(name string) Rule {
	return Rule{
		Name:   "ways",
		Remedy: "correct the row in " + name + ", Where is …?",
		check: func(t *Tree, report reporter) {
			_, section, _ := strings.Cut(string(t.pages[name]), "\n## Where is")
			section, _, _ = strings.Cut(section, "\n## ")
			for line := range strings.Lines(section) {
				if opens := 1 + len(strings.Split(line, "→")); strings.HasPrefix(line, "| …") && opens > mostOpens {
					report(t.Files[0].syntax.Package, fmt.Sprintf("%d opens: %s", opens, line))
				}
				for _, m := range step.FindAllStringSubmatch(line, -1) {
					t.checkStep(m[1], m[2], report)
				}
			}
		},
	}
}

// checkStep looks for a file, and in it for a list of names in backquotes.
func (t *Tree) checkStep(file, names string, report reporter) {
	f := t.file(file)
	if f == nil {
		report(t.Files[0].syntax.Package, file+" is not there")
		return
	}
	declared := f.declared()
	for i, name := range strings.Split(names, "`") {
		if i%2 == 1 && !declared[name] {
			report(f.syntax.Package, file+" does not declare "+name)
		}
	}
}

func (t *Tree) file(name string) *File {
	for _, f := range t.Files {
		if f.Path == name {
			return f
		}
	}
	return nil
}

// declared is what the file declares, methods by their own names.
func (f *File) declared() map[string]bool {
	all := map[string]bool{}
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			all[d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					all[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range s.Names {
						all[n.Name] = true
					}
				}
			}
		}
	}
	return all
}
