package config

import (
	"bytes"
	"fmt"
	"strings"
)

const starterHead = `## Weir's configuration. Commented lines show the defaults: remove "# " to change one.
## Durations (…Ms) are in milliseconds, sizes (…Bytes) in bytes. Values may hold ${NAME} and ${file:/run/secrets/x}.
## Check it with: weir check FILE. The environment overrides it: weir config env lists the names.

`

// Init returns a starter file: one server with one topic in force, every other key with its default as a comment.
func Init() []byte {
	w := &starterWriter{}
	w.b.WriteString(starterHead)
	w.mapping(table(), margin{})
	return w.b.Bytes()
}

type starterWriter struct {
	b bytes.Buffer
}

// margin is what lines begin with: before a comment sign, "# " below a commented key, and inside of it.
type margin struct {
	outer, sign, inner string
}

func (m margin) deeper() margin {
	if m.sign == "" {
		m.outer += "  "
	} else {
		m.inner += "  "
	}
	return m
}

func (m margin) commented() margin {
	m.sign = "# "
	return m
}

func (m margin) String() string { return m.outer + m.sign + m.inner }

func (w *starterWriter) mapping(k *key, m margin) {
	for _, c := range k.keys {
		if c.absent() || c.only != "" {
			continue
		}
		if c.example == "" && !c.required {
			w.key(c, m.commented())
		} else {
			w.key(c, m)
		}
		if k.parent == nil {
			w.b.WriteByte('\n')
		}
	}
}

func (w *starterWriter) key(k *key, m margin) {
	switch {
	case k.kind == mappingKind && k.short != nil:
		w.line(m, k, k.short.def[weirMode])
	case k.kind == mappingKind:
		w.line(m, k, "")
		w.mapping(k, m.deeper())
	case k.kind == tableKind && k.required:
		w.line(m, k, "")
		fmt.Fprintf(&w.b, "%s  %s:\n", m, k.example)
		w.mapping(k.item, m.deeper().deeper())
	case k.kind == tableKind:
		w.line(m, k, "{}")
	case k.kind == listKind && k.item.kind == mappingKind && k.required:
		w.line(m, k, "")
		w.item(k.item, m.deeper())
	case k.kind == listKind && k.example != "":
		w.line(m, k, "")
		fmt.Fprintf(&w.b, "%s  - %s\n", m, k.example)
	case k.kind == listKind:
		w.line(m, k, "["+strings.Join(k.defaultWords(), ", ")+"]")
	default:
		value := k.def[weirMode]
		if k.example != "" {
			value = k.example
		}
		if k.kind == textKind {
			value = yamlText(value)
		}
		w.line(m, k, value)
	}
}

// item writes a list of one mapping: its first key, which has an example, after the dash.
func (w *starterWriter) item(k *key, m margin) {
	first := *k
	first.keys = k.keys[1:]
	fmt.Fprintf(&w.b, "%s- %s: %s\n", m, k.keys[0].name, k.keys[0].example)
	w.mapping(&first, m.deeper())
}

func (w *starterWriter) line(m margin, k *key, value string) {
	text := fmt.Sprintf("%s%s:", m, k.name)
	if value != "" {
		text += " " + value
	}
	note := k.doc
	if k.kind == enumKind {
		note = strings.Join(k.choices(), ", ") + "; " + note
	}
	fmt.Fprintf(&w.b, "%-52s # %s\n", text, note)
}
