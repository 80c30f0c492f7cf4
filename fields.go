package weir

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/admin"
)

// field is one that a delivery event may hold.
type field struct {
	name   string
	kind   fieldKind
	needed bool
}

// fieldKind is what JSON a field's value is. null counts as left out: JavaScript clients
// write it for what they do not have.
type fieldKind uint8

const (
	anyJSON fieldKind = iota
	text
	flag
	whole
)

func (k fieldKind) String() string {
	return [...]string{"anything", "a string", "true or false", "a whole number"}[k]
}

// fields are those of each delivery event (protocol.md 4); an option more is a row more.
var fields = map[string][]field{
	"subscribe": {
		{"topic", text, true}, {"token", text, false}, {"shape", text, false}, {"notifyLoss", flag, false}, {"ack", text, false},
		{"snapshot", flag, false}, {"last", whole, false},
	},
	"unsubscribe": {{"topic", text, true}, {"token", text, false}}, // StreamFence's clients send a token with it
	"publish":     {{"topic", text, true}, {"payload", anyJSON, true}, {"token", text, false}},
	"history":     {{"topic", text, true}, {"from", whole, false}, {"limit", whole, false}, {"epoch", text, false}, {"token", text, false}},
	"join":        {{"room", text, true}},
	"leave":       {{"room", text, true}},
	"ack":         {{"topic", text, true}, {"messageId", text, true}},
}

// shapeOf is how an event looks when it is right: `subscribe {topic, token?, …}`.
func shapeOf(event string) string {
	names := make([]string, 0, len(fields[event]))
	for _, f := range fields[event] {
		name := f.name
		if !f.needed {
			name += "?"
		}
		names = append(names, name)
	}
	return event + " {" + strings.Join(names, ", ") + "}"
}

// checkShape refuses a request whose argument is no object, lacks a field, holds one of
// another type or twice, or one that nothing would obey.
func (r *request) checkShape() error {
	wrong := func(why string) error { return coded(ErrInvalid, why+": want "+shapeOf(r.name)) }
	if !r.arg.IsObject() {
		return wrong("the argument is not an object")
	}
	known, found, seen := fields[r.name], uint(0), uint(0)
	var err error
	r.arg.ForEach(func(key, value gjson.Result) bool {
		i := indexOfField(known, key.Str)
		switch {
		case i < 0:
			err = wrong("there is no field " + strconv.Quote(clipped(key.Str)))
		case seen&(1<<i) != 0:
			err = wrong(known[i].name + " is given twice")
		case value.Type == gjson.Null && known[i].kind != anyJSON:
		case !known[i].kind.takes(value):
			err = wrong(known[i].name + " is not " + known[i].kind.String())
		case known[i].kind == text && known[i].needed && value.Str == "":
		default:
			found |= 1 << i
		}
		if i >= 0 {
			seen |= 1 << i
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	for i, f := range known {
		if f.needed && found&(1<<i) == 0 {
			return wrong(f.name + " is missing or empty")
		}
	}
	return nil
}

func indexOfField(list []field, name string) int {
	for i := range list {
		if list[i].name == name {
			return i
		}
	}
	return -1
}

func (k fieldKind) takes(v gjson.Result) bool {
	switch k {
	case text:
		return v.Type == gjson.String
	case flag:
		return v.IsBool()
	case whole:
		n, err := strconv.ParseUint(v.Raw, 10, 64)
		return err == nil && n <= admin.MaxOffset
	default:
		return true
	}
}
