package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// parseJSON reads one JSON value with the position of each token, and nothing that only YAML allows.
func parseJSON(in *input, text string) *node {
	r := jsonReader{in: in, text: text, decoder: json.NewDecoder(strings.NewReader(text)), line: 1, column: 1}
	r.decoder.UseNumber()
	root, err := r.value(0)
	if err == nil {
		err = r.end()
	}
	switch {
	case errors.Is(err, io.EOF) && strings.TrimSpace(text) == "":
		in.fault(1, 1, "the file is empty: want at least servers; `weir config init` prints a starter")
	case err != nil:
		r.fault(err)
	default:
		return root
	}
	return nil
}

type jsonReader struct {
	in      *input
	text    string
	decoder *json.Decoder
	// offset is a place in text already counted: line and column, from 1.
	offset, line, column int
}

var errDepth = fmt.Errorf("nested deeper than %d levels", maxDepth)

// token returns the next token and where it begins.
func (r *jsonReader) token() (json.Token, place, error) {
	begin := int(r.decoder.InputOffset())
	begin += len(r.text[begin:]) - len(strings.TrimLeft(r.text[begin:], " \t\r\n,:"))
	t, err := r.decoder.Token()
	return t, r.place(begin), err
}

// place counts lines and characters up to offset, which never goes back.
func (r *jsonReader) place(offset int) place {
	passed := r.text[r.offset:offset]
	if i := strings.LastIndexByte(passed, '\n'); i >= 0 {
		r.line += strings.Count(passed, "\n")
		r.column = 1
		passed = passed[i+1:]
	}
	r.column += utf8.RuneCountInString(passed)
	r.offset = offset
	return r.in.place(r.line, r.column)
}

func (r *jsonReader) value(depth int) (*node, error) {
	t, at, err := r.token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errDepth
	}
	n := &node{kind: textNode, at: at}
	switch v := t.(type) {
	case nil:
		n.kind = nullNode
	case bool:
		n.kind, n.text = booleanNode, fmt.Sprint(v)
	case json.Number:
		n.kind, n.text = numberNode, v.String()
	case string:
		n.text = v
	case json.Delim:
		if v == '[' {
			return n, r.list(n, depth)
		}
		return n, r.mapping(n, depth)
	}
	return n, nil
}

func (r *jsonReader) list(n *node, depth int) error {
	n.kind = listNode
	for r.decoder.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.token()
	return err
}

func (r *jsonReader) mapping(n *node, depth int) error {
	n.kind = mappingNode
	for r.decoder.More() {
		t, at, err := r.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("a key must be text in quotes")
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.entries = append(n.entries, entry{name, at, value})
	}
	_, _, err := r.token()
	return err
}

// end refuses what follows the value.
func (r *jsonReader) end() error {
	if _, _, err := r.token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func (r *jsonReader) fault(err error) {
	at := r.in.place(r.line, r.column)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		at = r.placeOf(int(syntax.Offset) - 1)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at = r.placeOf(len(strings.TrimRight(r.text, " \t\r\n")))
		err = errors.New("the file ends too early")
	}
	r.in.fault(at.line, at.column, "not JSON: "+err.Error())
}

func (r *jsonReader) placeOf(offset int) place {
	before := []byte(r.text[:min(max(offset, 0), len(r.text))])
	line := bytes.Count(before, []byte("\n")) + 1
	return r.in.place(line, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])+1)
}
