package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// wordless are the rooms whose types are not held to the page of words: they speak the language of a specification, a file
// or a machine, or stand at the client's side.
var wordless = []string{
	"internal/wire", "internal/vfs", "internal/config", "cmd/weir/internal", "internal/peer",
	"internal/loadtest", "internal/build", "internal/lint", "internal/redistest", "internal/enginetest",
}

// word is a row of the page of words.
type word struct {
	row   string // the words of its row, which mean the same
	means string
	rooms []string // whose types may have it in their names; nil: any room's
	say   string   // what is said instead of a word that no name may have; "": it is a word of the house
}

// The tables of the page of words, by the heading of their last column, which has the rooms.
const (
	ofTypes = "in types of"
	ofVerbs = "in functions and fields of"
)

// words holds the names of the server's types to a page of words: a word of the page is used in the rooms where it has its
// meaning, and one that the page refuses is used nowhere.
func words(name string) Rule {
	return spoken("words", name, ofTypes, "type", (*File).types)
}

// verbs does the same for functions, methods and fields, with a table of its own: there a word is mostly a verb.
func verbs(name string) Rule {
	return spoken("verbs", name, ofVerbs, "function or field", (*File).verbs)
}

// spoken is the rule that names of a kind keep to one table of a page.
func spoken(rule, name, table, kind string, names func(*File) iter.Seq[*ast.Ident]) Rule {
	return Rule{
		Name: rule,
		Remedy: "one word has one meaning, see " + name + ": give the " + kind + " another name; or, if it means exactly what the row of the " +
			"word says, add the room to the last column of the row",
		check: func(t *Tree, report reporter) {
			all := t.pages[name].words(table)
			stale := listed(all)
			for _, f := range t.Files {
				if f.Test || !serverRoom(f.Room) || slices.ContainsFunc(wordless, within(f.Room)) {
					continue
				}
				for id := range names(f) {
					for _, w := range wordsOf(id.Name, all) {
						delete(stale, all[w].row+" in "+f.Room)
						if fault := all[w].fault(w, f.Room); fault != "" {
							report(id.Pos(), fmt.Sprintf("%s %s: %s", kind, id.Name, fault))
						}
					}
				}
			}
			for _, row := range slices.Sorted(maps.Keys(stale)) {
				report(t.Files[0].syntax.Package, fmt.Sprintf("%s lists the word %s, where no %s has it", name, row, kind))
			}
		},
	}
}

// listed is what the rows of the page say of rooms: "entry in internal/lane".
func listed(all map[string]word) map[string]bool {
	rows := map[string]bool{}
	for _, w := range all {
		for _, room := range w.rooms {
			rows[w.row+" in "+room] = true
		}
	}
	return rows
}

// fault says why a name of a room may not have the word in its name; "" if it may.
func (w word) fault(name, room string) string {
	switch {
	case w.say != "":
		return fmt.Sprintf("%q says nothing: %s", name, w.say)
	case w.rooms == nil || slices.Contains(w.rooms, room):
		return ""
	}
	return fmt.Sprintf("%q means %s, which is of %s and not of %s", name, w.means, strings.Join(w.rooms, ", "), room)
}

// types yields the names of the types that f declares.
func (f *File) types() iter.Seq[*ast.Ident] {
	return func(yield func(*ast.Ident) bool) {
		for _, d := range f.syntax.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.TYPE {
				continue
			}
			for _, s := range group.Specs {
				if !yield(s.(*ast.TypeSpec).Name) {
					return
				}
			}
		}
	}
}

// verbs yields the names of the functions, methods and fields of structs that f declares.
func (f *File) verbs() iter.Seq[*ast.Ident] {
	return func(yield func(*ast.Ident) bool) {
		for n := range ast.Preorder(f.syntax) {
			var names []*ast.Ident
			switch n := n.(type) {
			case *ast.FuncDecl:
				names = []*ast.Ident{n.Name}
			case *ast.StructType:
				for _, field := range n.Fields.List {
					names = append(names, field.Names...)
				}
			}
			for _, id := range names {
				if !yield(id) {
					return
				}
			}
		}
	}
}

var (
	properNames = strings.NewReplacer("WebSocket", "Websocket", "SocketIO", "Socketio", "EngineIO", "Engineio", "StreamFence", "Streamfence", "streamFence", "streamfence", "OctetStream", "Octetstream")
	humps       = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)
)

// wordsOf returns the words of a page that stand in the name of a type: entry in both RefusalEntry and entries.
func wordsOf(name string, all map[string]word) (found []string) {
	for part := range strings.FieldsSeq(humps.ReplaceAllString(properNames.Replace(name), "$1$3 $2$4")) {
		part = strings.ToLower(part)
		forms := []string{part, strings.TrimSuffix(part, "s"), strings.TrimSuffix(part, "es")}
		if stem, ok := strings.CutSuffix(part, "ies"); ok {
			forms = append(forms, stem+"y")
		}
		for _, form := range forms {
			if _, ok := all[form]; ok {
				found = append(found, form)
				break
			}
		}
	}
	return found
}

var (
	wordInCell = regexp.MustCompile(`\*\*([a-z ]+)\*\*`)
	roomInCell = regexp.MustCompile("`([a-z0-9_/]+)`")
)

// words reads the tables of a page. Those whose last column has that heading have the words of the house, with the rooms
// below internal that use them; one whose columns are "not" and "because" has those that no name may have.
func (p page) words(table string) map[string]word {
	all := map[string]word{}
	var columns []string
	for line := range strings.Lines(string(p)) {
		cells := cellsOf(line)
		switch {
		case cells == nil:
			columns = nil
		case columns == nil:
			columns = cells
		case slices.Equal(columns, []string{"not", "because"}):
			for _, m := range wordInCell.FindAllStringSubmatch(cells[0], -1) {
				all[m[1]] = word{say: cells[1]}
			}
		case columns[0] == "word" && columns[len(columns)-1] == table && len(cells) == len(columns):
			for _, m := range wordInCell.FindAllStringSubmatch(cells[0], -1) {
				all[m[1]] = word{row: strings.ReplaceAll(cells[0], "*", ""), means: cells[1], rooms: roomsIn(cells[len(cells)-1])}
			}
		}
	}
	return all
}

// cellsOf returns the cells of a row of a table; nil: the line is none.
func cellsOf(line string) []string {
	inner, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
	if !ok {
		return nil
	}
	cells := strings.Split(strings.TrimSuffix(inner, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// roomsIn returns the rooms that a cell names, by their directories: `root` is the module's.
func roomsIn(cell string) (rooms []string) {
	for _, m := range roomInCell.FindAllStringSubmatch(cell, -1) {
		if m[1] == "root" {
			rooms = append(rooms, ".")
			continue
		}
		rooms = append(rooms, "internal/"+m[1])
	}
	return rooms
}
