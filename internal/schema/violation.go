package schema

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Violation is what is wrong with a value.
type Violation struct {
	Path   string // of what is wrong in it, an RFC 6901 JSON pointer; "" is the value itself
	Rule   string // the keyword of the schema; or json, maxBytes, maxDepth, number, binary, effort, false
	Reason string // in words; at most maxText bytes, as is Path
}

// maxText bounds what is said of a violation: the value is a stranger's.
const maxText = 200

// Error implements error.
func (v *Violation) Error() string {
	if v.Path == "" {
		return v.Rule + ": " + v.Reason
	}
	return v.Path + ": " + v.Rule + ": " + v.Reason
}

// newViolation is the first of all that is wrong, in the order of paths, so that the same value always has the same one.
func newViolation(e *jsonschema.ValidationError) *Violation {
	var first *Violation
	var where *jsonschema.ValidationError
	each(e, func(leaf *jsonschema.ValidationError) {
		v := &Violation{Path: pointer(leaf.InstanceLocation), Rule: rule(leaf.ErrorKind)}
		if first == nil || cmp.Or(cmp.Compare(v.Path, first.Path), cmp.Compare(v.Rule, first.Rule)) < 0 {
			first, where = v, leaf
		}
	})
	if first == nil { // not reached: an error has at least itself
		return &Violation{Rule: "schema", Reason: "the value is not as the schema says"}
	}
	first.Path = clip(first.Path)
	first.Reason = clip(strings.TrimPrefix(words(where.ErrorKind), first.Rule+": ")) // the library says some twice
	return first
}

// each calls f for whatever is wrong, and not for what only leads there. Of alternatives it is that none fits.
func each(e *jsonschema.ValidationError, f func(*jsonschema.ValidationError)) {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, c := range e.Causes {
			each(c, f)
		}
	default:
		f(e)
	}
}

func rule(k jsonschema.ErrorKind) string {
	switch k.(type) {
	case *kind.InvalidJsonValue:
		return "binary"
	case *kind.FalseSchema:
		return "false"
	}
	if p := k.KeywordPath(); len(p) > 0 {
		return p[0]
	}
	return "schema"
}

var english = message.NewPrinter(language.English)

func words(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.InvalidJsonValue:
		return "a binary part, where the schema wants JSON"
	case *kind.FalseSchema:
		return "nothing may stand here"
	case *kind.Pattern:
		return "does not match the pattern " + k.Want
	default:
		return k.LocalizedString(english)
	}
}

// pointer is a path as an RFC 6901 JSON pointer.
func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}

func clip(s string) string {
	if len(s) <= maxText {
		return strings.ToValidUTF8(s, "�")
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.ToValidUTF8(s[:end], "�") + "…"
}
