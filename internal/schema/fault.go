package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Fault is why a schema cannot be used, and where.
type Fault struct {
	File         string
	Line, Column int // from 1; 0: of the file as a whole
	Reason       string
}

// Error is "file:line:column: reason".
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Reason
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Reason)
}

// fault is a Fault at an offset in a file; a negative one is not known.
func (s *sources) fault(name string, offset int, reason string) *Fault {
	f := &Fault{File: s.file(name), Reason: reason}
	if text := s.texts[name]; offset >= 0 && offset <= len(text) {
		before := text[:offset]
		f.Line = bytes.Count(before, []byte("\n")) + 1
		f.Column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	}
	return f
}

// explain says what the library found wrong, where in the files, and in fewer words.
func (s *sources) explain(err error) error {
	var own *Fault
	var invalid *jsonschema.SchemaValidationError
	var violation *jsonschema.ValidationError
	var load *jsonschema.LoadURLError
	var regex *jsonschema.InvalidRegexError
	var format *unknownFormat
	switch {
	case errors.As(err, &load) && !errors.As(load.Err, &own):
		return s.atReference(load.URL, fmt.Sprintf("$ref to %s: %v", shown(load.URL), load.Err))
	case errors.As(err, &own):
		return own
	case errors.As(err, &invalid) && errors.As(invalid.Err, &violation):
		v := newViolation(violation)
		name, up := s.split(invalid.URL)
		return s.fault(name, find(s.texts[name], up+v.Path), fmt.Sprintf("%s: %s", v.Rule, v.Reason))
	case errors.As(err, &regex):
		name, up := s.split(regex.URL)
		return s.fault(name, find(s.texts[name], up), fmt.Sprintf("the regular expression %q: %v; they are Go's (RE2)", regex.Regex, regex.Err))
	case errors.As(err, &format):
		name, at := s.locate("format", func(v string) bool { return v == format.name })
		return s.fault(name, at, format.Error())
	}
	var pointer *jsonschema.JSONPointerNotFoundError
	var anchor *jsonschema.AnchorNotFoundError
	switch {
	case errors.As(err, &pointer):
		return s.atReference(pointer.URL, fmt.Sprintf("$ref to %s: nothing is there", shown(pointer.URL)))
	case errors.As(err, &anchor):
		return s.atReference(anchor.Reference, fmt.Sprintf("$ref to %s: there is no such anchor", shown(anchor.Reference)))
	}
	return &Fault{File: s.file(s.name), Reason: strings.ReplaceAll(err.Error(), base, "")}
}

// shown is a reference without what only the library knows.
func shown(u string) string { return strings.TrimPrefix(u, base) }

// split is the file and the pointer of a place as the library names it.
func (s *sources) split(u string) (name, up string) {
	u, fragment, _ := strings.Cut(strings.TrimPrefix(u, base), "#")
	name, _ = url.PathUnescape(u)
	up, _ = url.PathUnescape(fragment)
	return name, up
}

// atReference is a Fault at the reference that leads to u.
func (s *sources) atReference(u, reason string) *Fault {
	name, at := s.locate("$ref", func(v string) bool { return v != "" && strings.HasSuffix(u, strings.TrimPrefix(v, "./")) })
	if at < 0 {
		name, at = s.locate("$ref", func(v string) bool { // a pointer into it, or ../
			file, _, _ := strings.Cut(v, "#")
			return file != "" && strings.HasSuffix(u, strings.TrimLeft(file, "./"))
		})
	}
	return s.fault(name, at, reason)
}

// locate is where the first member of that name, with a text that fits, stands: its value. -1: nowhere.
func (s *sources) locate(member string, fits func(string) bool) (name string, at int) {
	for file, text := range s.texts {
		found := -1
		walk(text, func(pointer string, begin int, value any) bool {
			v, isText := value.(string)
			if isText && strings.HasSuffix(pointer, "/"+member) && fits(v) {
				found = begin
			}
			return found < 0
		})
		if found >= 0 {
			return file, found
		}
	}
	return s.name, -1
}

// find is where the value that a JSON pointer means begins in a text, or else the innermost one around it.
func find(text []byte, pointer string) int {
	at, best := -1, -1
	walk(text, func(p string, begin int, _ any) bool {
		if (pointer == p || strings.HasPrefix(pointer, p+"/")) && len(p) > best {
			at, best = begin, len(p)
		}
		return true
	})
	return at
}

// walk calls f for each value of a JSON text, with its pointer and where it begins, until f says false. value is its token.
func walk(text []byte, f func(pointer string, begin int, value any) bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	w := walker{d: d, text: text, f: f}
	w.value("")
}

type walker struct {
	d    *json.Decoder
	text []byte
	f    func(string, int, any) bool
	over bool
}

// value walks over the next value.
func (w *walker) value(pointer string) {
	begin := int(w.d.InputOffset())
	for begin < len(w.text) && strings.IndexByte(" \t\r\n,:", w.text[begin]) >= 0 {
		begin++
	}
	token, err := w.d.Token()
	if err != nil || w.over || !w.f(pointer, begin, token) {
		w.over = true
		return
	}
	switch token {
	case json.Delim('{'):
		for w.d.More() && !w.over {
			key, err := w.d.Token()
			if err != nil {
				w.over = true
				return
			}
			name, _ := key.(string)
			w.value(pointer + pointerOf(name))
		}
		_, _ = w.d.Token()
	case json.Delim('['):
		for i := 0; w.d.More() && !w.over; i++ {
			w.value(pointer + "/" + strconv.Itoa(i))
		}
		_, _ = w.d.Token()
	}
}

func pointerOf(name string) string { return pointer([]string{name}) }

// errorOffset is where decoding has failed.
func errorOffset(err error, length int) int {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return max(int(syntax.Offset)-1, 0)
	}
	return length
}

// reasonOf is an error of a file system without the name of the file, which is said already.
func reasonOf(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}
