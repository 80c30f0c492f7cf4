package lint_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/lint"
)

// The table obeys the sentences of the design that it is made from.
func TestTableKeepsTheDesign(t *testing.T) {
	rows := map[string]lint.Room{}
	for _, r := range lint.Table() {
		if _, twice := rows[r.Path]; twice {
			t.Errorf("%s has two rows", r.Path)
		}
		rows[r.Path] = r
	}
	for _, r := range rows {
		for _, may := range r.May {
			if _, ok := rows[may]; !ok && !rowBelow(rows, may) {
				t.Errorf("%s may import %s, which has no row", r.Path, may)
			}
			if may == r.Path {
				t.Errorf("%s lists itself", r.Path)
			}
		}
	}
	for _, pure := range []string{"internal/base", "internal/wire/*", "internal/wheel", "internal/vfs", "cluster"} {
		may := 0
		if pure == "internal/base" {
			may = 1 // wire/ws: docs/adr/0005-canonical-frame.md
		}
		if r, ok := rows[pure]; !ok || !r.StdOnly || len(r.May) > may {
			t.Errorf("%s must import the standard library only; its row is %+v", pure, r)
		}
	}
	if r := rows["internal/lane"]; !r.StdOnly {
		t.Error("internal/lane is pure: the standard library and base only")
	}
}

// rowBelow reports whether a room that a prefix row covers is meant.
func rowBelow(rows map[string]lint.Room, room string) bool {
	parent := room[:strings.LastIndex(room, "/")+1]
	_, ok := rows[parent+"*"]
	return ok
}

// Two rooms that import each other would not compile; a table that lets them is wrong before anybody tries.
func TestTableHasNoCircle(t *testing.T) {
	rows := map[string][]string{}
	for _, r := range lint.Table() {
		rows[r.Path] = r.May
	}
	var visit func(room string, way []string)
	visit = func(room string, way []string) {
		for i, seen := range way {
			if seen == room {
				t.Fatalf("circle: %s", strings.Join(append(way[i:], room), " -> "))
			}
		}
		for _, next := range rows[room] {
			visit(next, append(way, room))
		}
	}
	for room := range rows {
		visit(room, nil)
	}
}
