// Package args turns Go values into the arguments of a Socket.IO packet: raw JSON,
// and the binary parts taken out of it (protocol.md 2.1). It is pure.
package args

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/sio"
)

// Binary is bytes that go out as a binary part wherever they stand in an argument:
// in a struct, a typed slice, behind a pointer. ([]byte itself is a binary part as
// an argument and inside map[string]any and []any; elsewhere encoding/json makes it
// a base64 string.) Received binary parts decode into it.
type Binary []byte

// quotedMark is how such a string begins in JSON.
var quotedMark = []byte(`"` + binaryMark)

// binaryMark begins the string a Binary becomes in JSON on its way to a placeholder;
// it is random, so that no other string can look like one.
var binaryMark = "weir-binary-" + rand.Text() + ":"

// MarshalJSON implements json.Marshaler.
func (b Binary) MarshalJSON() ([]byte, error) {
	out := append([]byte{'"'}, binaryMark...)
	out = base64.StdEncoding.AppendEncode(out, b)
	return append(out, '"'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Binary) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*[]byte)(b)) }

// encoder gathers the binary parts of one packet.
type encoder struct {
	attachments [][]byte
}

// Encode returns each value as JSON, with placeholders for the binary parts, and
// those in the order of their numbers. []byte becomes a binary part, also deep
// inside map[string]any and []any; so does Binary, anywhere; json.RawMessage goes
// out byte for byte; anything else as encoding/json makes it, without the escaping
// of <, > and &. It fails for what cannot be JSON, and for more than
// sio.MaxAttachments binary parts.
func Encode(values []any) (raw, attachments [][]byte, err error) {
	var e encoder
	raw = make([][]byte, len(values))
	for i, v := range values {
		if raw[i], err = e.value(v); err != nil {
			return nil, nil, fmt.Errorf("argument %d of type %T: %w", i, v, err)
		}
	}
	if n := len(e.attachments); n > sio.MaxAttachments {
		return nil, nil, tooManyParts(n)
	}
	return raw, e.attachments, nil
}

func tooManyParts(n int) error {
	return fmt.Errorf("%d binary parts: clients take at most %d", n, sio.MaxAttachments)
}

func (e *encoder) value(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return e.binary(v), nil
	case json.RawMessage:
		if err := CheckText(v); err != nil {
			return nil, err
		}
		return v, nil
	case map[string]any:
		if hasBinary(v) {
			return e.object(v)
		}
	case []any:
		if hasBinary(v) {
			return e.array(v)
		}
	}
	raw, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	return e.extract(raw)
}

// extract moves what Binary left in raw to attachments.
func (e *encoder) extract(raw []byte) ([]byte, error) {
	var out []byte
	for {
		before, rest, found := bytes.Cut(raw, quotedMark)
		if out == nil && !found {
			return raw, nil
		}
		out = append(out, before...)
		if !found {
			return out, nil
		}
		text, after, _ := bytes.Cut(rest, []byte(`"`))
		b, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil {
			return nil, err // cannot be: MarshalJSON made it
		}
		out = append(out, e.binary(b)...)
		raw = after
	}
}

func (e *encoder) binary(b []byte) []byte {
	e.attachments = append(e.attachments, b)
	return sio.AppendPlaceholder(nil, len(e.attachments)-1)
}

func (e *encoder) object(m map[string]any) ([]byte, error) {
	out := []byte{'{'}
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			out = append(out, ',')
		}
		raw, err := e.value(m[k])
		if err != nil {
			return nil, err
		}
		out = append(append(sio.AppendString(out, k), ':'), raw...)
	}
	return append(out, '}'), nil
}

func (e *encoder) array(a []any) ([]byte, error) {
	out := []byte{'['}
	for i, v := range a {
		if i > 0 {
			out = append(out, ',')
		}
		raw, err := e.value(v)
		if err != nil {
			return nil, err
		}
		out = append(out, raw...)
	}
	return append(out, ']'), nil
}

func hasBinary(v any) bool {
	switch v := v.(type) {
	case []byte:
		return true
	case map[string]any:
		for _, x := range v {
			if hasBinary(x) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasBinary)
	}
	return false
}

// errNotUTF8 is what a text cannot be: a client that is sent such a one ends its connection, as RFC 6455 (8.1) asks.
var errNotUTF8 = errors.New("not UTF-8")

// CheckText returns nil if raw is JSON that may be sent as text: see sio.CheckJSON, and UTF-8.
func CheckText(raw []byte) error {
	if !utf8.Valid(raw) {
		return errNotUTF8
	}
	return sio.CheckJSON(raw)
}

// Marshal is json.Marshal without the escaping of <, > and &, as JSON.stringify. It fails for what is not UTF-8, which
// only a json.Marshaler or a json.RawMessage inside of v can make it.
func Marshal(v any) ([]byte, error) {
	m := marshalers.Get().(*marshaler)
	defer m.giveBack()
	if err := m.encode(v); err != nil {
		return nil, err
	}
	return bytes.Clone(m.out.Bytes()), nil
}

// Array is values as a JSON array, in memory that is used again.
type Array struct {
	m           *marshaler
	attachments [][]byte
}

// EncodeArray is Encode for all values in one text, which need not be put together from parts (BenchmarkAck). Unless it fails,
// Release ends the use of what it returns.
func EncodeArray(values []any) (Array, error) {
	var e encoder
	m := marshalers.Get().(*marshaler) // if v panics it is lost
	m.out.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			m.out.WriteByte(',')
		}
		if err := e.appendTo(m, v); err != nil {
			m.giveBack()
			return Array{}, fmt.Errorf("argument %d of type %T: %w", i, v, err)
		}
	}
	m.out.WriteByte(']')
	if n := len(e.attachments); n > sio.MaxAttachments {
		m.giveBack()
		return Array{}, tooManyParts(n)
	}
	return Array{m, e.attachments}, nil
}

// JSON is the array, valid until Release.
func (a *Array) JSON() []byte { return a.m.out.Bytes() }

// Attachments are the binary parts, in the order of the numbers of their placeholders.
func (a *Array) Attachments() [][]byte { return a.attachments }

// Release ends the use of the array's memory.
func (a *Array) Release() { a.m.giveBack() }

// appendTo appends a value to the text of m.
func (e *encoder) appendTo(m *marshaler, v any) error {
	switch v.(type) {
	case []byte, json.RawMessage, map[string]any, []any: // what value looks into
		raw, err := e.value(v)
		m.out.Write(raw)
		return err
	}
	begin := m.out.Len()
	if err := m.encode(v); err != nil {
		return err
	}
	text := m.out.Bytes()[begin:]
	if !bytes.Contains(text, quotedMark) {
		return nil
	}
	raw, err := e.extract(bytes.Clone(text))
	m.out.Truncate(begin)
	m.out.Write(raw)
	return err
}

// marshaler is what Marshal needs anew each time but for its result.
type marshaler struct {
	out bytes.Buffer
	enc *json.Encoder
}

// keepMarshaled is how large a buffer is kept for the next value.
const keepMarshaled = 64 << 10

var marshalers = sync.Pool{New: func() any {
	m := new(marshaler)
	m.enc = json.NewEncoder(&m.out)
	m.enc.SetEscapeHTML(false)
	return m
}}

// encode appends v to out.
func (m *marshaler) encode(v any) error {
	begin := m.out.Len()
	if err := m.enc.Encode(v); err != nil {
		return err
	}
	m.out.Truncate(m.out.Len() - len("\n"))
	if !utf8.Valid(m.out.Bytes()[begin:]) {
		return errNotUTF8
	}
	return nil
}

func (m *marshaler) giveBack() {
	if m.out.Cap() > keepMarshaled {
		return
	}
	m.out.Reset()
	marshalers.Put(m)
}
