package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// room in a page: `internal/lane`, `cmd/weir`.
var roomInPage = regexp.MustCompile("`((?:internal|cmd)/[a-z0-9_/]+?)/?`")

// mapped wants the pages that show the rooms to show all that there are, and no others.
func mapped(pages ...string) Rule {
	return Rule{
		Name:   "map",
		Remedy: "a room has a paragraph with its invariant in docs/architecture.md and a row in CONTRIBUTING.md",
		check: func(t *Tree, report reporter) {
			rooms, all := map[string]*File{}, map[string]bool{}
			for _, f := range t.Files {
				all[f.Room] = true
				if inside := strings.HasPrefix(f.Room, "internal/"); inside && !f.Test && rooms[f.Room] == nil {
					rooms[f.Room] = f
				}
			}
			for _, name := range pages {
				text, ok := t.pages[name]
				if !ok {
					continue
				}
				shown := map[string]bool{}
				for _, m := range roomInPage.FindAllStringSubmatch(string(text), -1) {
					shown[m[1]] = true
				}
				for _, room := range slices.Sorted(maps.Keys(rooms)) {
					if !shown[room] {
						report(rooms[room].syntax.Package, fmt.Sprintf("%s does not show %s", name, room))
					}
				}
				for _, room := range slices.Sorted(maps.Keys(shown)) {
					if !all[room] {
						report(t.Files[0].syntax.Package, fmt.Sprintf("%s shows %s, which is not there", name, room))
					}
				}
			}
		},
	}
}
