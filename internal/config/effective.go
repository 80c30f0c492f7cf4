package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Setting is one value in force.
type Setting struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`  // bool, int64, float64, string or []string; secrets are ***
	Origin string `json:"origin"` // "default", "file:line", "environment variable NAME" or "flag"
}

// masked stands for every secret.
const masked = "***"

// shown is a value in force with its place in the file.
type shown struct {
	name   string // "" for items of a list
	path   string
	value  any // nil: below counts
	origin string
	raw    string // the value itself, secrets too: it is compared, and shown to nobody
	live   bool
	list   bool // below are items
	below  []*shown
}

// effective lists everything in force. Keys of features that this version does not have are left out; a topic shows
// what it says itself, the rest is its namespace's.
func (r *reader) effective(d *document) *shown {
	return r.show(table(), reflect.ValueOf(d).Elem(), "", "")
}

func (r *reader) show(k *key, v reflect.Value, name, path string) *shown {
	s := &shown{name: name, path: path, origin: r.places[path].String(), live: k.live}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	s.raw = fmt.Sprint(v.Interface()) + r.contents[path]
	switch {
	case k.kind == mappingKind && k.short != nil && k.short.name == "" && !v.FieldByIndex(k.short.index).Bool():
		s.value = false
	case k.kind == mappingKind:
		s.below = r.showMapping(k, v, path)
	case k.kind == tableKind:
		r.showTable(s, k, v)
	case k.kind == listKind && k.item.kind.scalar():
		words := make([]string, v.Len())
		for i := range words {
			words[i] = r.text(k.item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		s.value = words
	case k.kind == listKind:
		s.list = true
		for i := range v.Len() {
			s.below = append(s.below, r.show(k.item, v.Index(i), "", fmt.Sprintf("%s[%d]", path, i)))
		}
	default:
		s.value = r.value(k, v, path)
	}
	return s
}

func (r *reader) showMapping(k *key, v reflect.Value, path string) []*shown {
	var list []*shown
	for _, c := range k.keys {
		at := below(path, c.name)
		inherited := k == topicKey() && len(c.index) > 1 && !r.isSet(at)
		foreign := c.only != "" && (r.mode == weirMode || !r.isSet(at))
		unsaid := c.closes && !r.isSet(at) // shown, it would be an empty list, and close
		if !c.absent() && !inherited && !foreign && !unsaid {
			list = append(list, r.show(c, v.FieldByIndex(c.index), c.name, at))
		}
	}
	return list
}

func (r *reader) showTable(s *shown, k *key, v reflect.Value) {
	names := make([]string, 0, v.Len())
	for _, name := range v.MapKeys() {
		names = append(names, name.String())
	}
	slices.Sort(names)
	for _, name := range names {
		s.below = append(s.below, r.show(k.item, v.MapIndex(reflect.ValueOf(name)), name, below(s.path, name)))
	}
}

// value is what a scalar says, in the units of the file.
func (r *reader) value(k *key, v reflect.Value, path string) any {
	switch k.kind {
	case booleanKind:
		return v.Bool()
	case durationKind:
		return v.Int() / int64(time.Millisecond)
	case integerKind:
		return v.Int()
	case numberKind:
		return v.Float()
	default: // the other scalars are text
		return r.text(k, v, path)
	}
}

func (r *reader) text(k *key, v reflect.Value, path string) string {
	text := fmt.Sprint(v.Interface())
	switch {
	case text != "" && (k.secret || r.hidden[path]):
		return masked
	case k.kind == enumKind:
		return k.word(text)
	}
	return text
}

// word is the spelling of the file: slog prints its levels in capitals.
func (k *key) word(text string) string {
	for _, w := range k.enum {
		if strings.EqualFold(w, text) {
			return w
		}
	}
	return text
}

// Effective lists every value in force, in the order of the file, secrets masked.
func (c *Config) Effective() []Setting {
	var list []Setting
	c.tree.each(func(s *shown) {
		list = append(list, Setting{Path: s.path, Value: s.plain(), Origin: s.origin})
	})
	return list
}

// each calls f with every value, and with lists and tables that are empty.
func (s *shown) each(f func(*shown)) {
	if len(s.below) == 0 {
		f(s)
		return
	}
	for _, b := range s.below {
		b.each(f)
	}
}

func (s *shown) plain() any {
	if s.value == nil {
		return []string{}
	}
	return s.value
}

// Style says how WriteYAML writes.
type Style uint8

// The styles.
const (
	Plain       Style = iota // a file that Load reads again, but for its secrets
	WithOrigins              // the same with a comment that says where each value comes from
)

// WriteYAML writes every value in force, secrets masked.
func (c *Config) WriteYAML(w io.Writer, style Style) error {
	out := &yamlWriter{w: bufio.NewWriter(w), style: style}
	for _, s := range c.tree.below {
		out.entry(s, "", "")
	}
	return out.w.Flush()
}

type yamlWriter struct {
	w     *bufio.Writer // keeps the first error
	style Style
}

// entry writes "name: value". The first line begins with lead, the others with indent.
func (y *yamlWriter) entry(s *shown, lead, indent string) {
	head := lead + yamlText(s.name) + ":"
	switch {
	case s.value != nil || len(s.below) == 0:
		y.line(head+" "+yamlValue(s), s.origin)
	case s.list:
		y.line(head, "")
		for _, item := range s.below {
			y.item(item, indent+"  ")
		}
	default:
		y.line(head, "")
		for _, b := range s.below {
			y.entry(b, indent+"  ", indent+"  ")
		}
	}
}

func (y *yamlWriter) item(s *shown, indent string) {
	for i, b := range s.below {
		lead := indent + "  "
		if i == 0 {
			lead = indent + "- "
		}
		y.entry(b, lead, indent+"  ")
	}
}

func (y *yamlWriter) line(text, origin string) {
	if y.style == WithOrigins && origin != "" {
		text += "  # " + origin
	}
	_, _ = y.w.WriteString(text + "\n") // Flush reports it
}

func yamlValue(s *shown) string {
	switch v := s.value.(type) {
	case nil:
		if s.list {
			return "[]"
		}
		return "{}"
	case string:
		return yamlText(escape(v))
	case []string:
		words := make([]string, len(v))
		for i, word := range v {
			words[i] = yamlText(escape(word))
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	return fmt.Sprint(s.value)
}

// yamlText writes text so that every reader of YAML takes it for text.
func yamlText(text string) string {
	for i, r := range text {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || r == '/'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789_-./", r)) {
			return strconv.QuoteToASCII(text)
		}
	}
	switch strings.ToLower(text) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.QuoteToASCII(text)
	}
	return text
}
