package admin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/sio"
)

// maxFields is how many fields an object may have: more than any that the API knows.
const maxFields = 24

// object is one JSON object whose fields are taken out one by one. It is strict:
// a field twice, of another type, or left over at the end is an error that names
// it. The first error sticks. Its values are views of the body.
type object struct {
	name   string // of the field it came from, with a dot; "" for a body
	err    *base.Error
	n      int
	fields [maxFields]field
}

// field is one field of an object, with its name as it is meant, without escapes.
type field struct {
	name  []byte
	value []byte // nil: it was taken
}

// parseObject takes a JSON object apart. Values are views of data.
func parseObject(data []byte) (*object, *base.Error) {
	o := new(object)
	if err := o.parse(data); err != nil {
		return nil, err
	}
	return o, nil
}

// parse makes o the object that data is, whatever it was before.
func (o *object) parse(data []byte) *base.Error {
	o.name, o.err, o.n = "", nil, 0
	if !utf8.Valid(data) {
		return refuse(base.CodeInvalid, "the body is not valid UTF-8")
	}
	for members := sio.NewObject(data); ; {
		key, value, err := members.Next()
		switch {
		case err != nil:
			return malformed(data, err)
		case key == nil:
			return nil
		}
		if err := o.add(key, value); err != nil {
			return err
		}
	}
}

func (o *object) add(key, value []byte) *base.Error {
	name := key[1 : len(key)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		text, ok := sio.Unquote(key)
		if !ok {
			return refuse(base.CodeInvalid, "%s: no such field", excerpt(key))
		}
		name = []byte(text)
	}
	for i := range o.fields[:o.n] {
		if bytes.Equal(o.fields[i].name, name) {
			return refuse(base.CodeInvalid, "%s: given twice", strconv.Quote(string(name)))
		}
	}
	if o.n == maxFields {
		return refuse(base.CodeInvalid, "more than %d fields", maxFields)
	}
	o.fields[o.n] = field{name, value}
	o.n++
	return nil
}

// malformed says what is wrong with data, and where.
func malformed(data []byte, err error) *base.Error {
	var fault *sio.Error
	if !errors.As(err, &fault) {
		return refuse(base.CodeInvalid, "not JSON: %v", err)
	}
	rest := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case fault.Pos >= len(data):
		return refuse(base.CodeInvalid, "the JSON ends early")
	case fault.Pos == len(data)-len(rest): // its very first byte
		return notAnObject(rest, fault)
	}
	return refuse(base.CodeInvalid, "not JSON near byte %d: %s", fault.Pos, fault.Reason)
}

// notAnObject says what data, which does not begin as an object does, is instead.
func notAnObject(data []byte, fault *sio.Error) *base.Error {
	switch {
	case data[0] == '[':
		return refuse(base.CodeInvalid, "want a JSON object, not […]")
	case data[0] != '{' && sio.CheckJSON(data) == nil:
		return refuse(base.CodeInvalid, "want a JSON object, not %s", excerpt(data))
	}
	return refuse(base.CodeInvalid, "not JSON near byte %d: %s", fault.Pos, fault.Reason)
}

// excerpt shows the beginning of a value in an error.
func excerpt(s []byte) string {
	const most = 64
	if len(s) <= most {
		return string(s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return string(s[:cut]) + "…"
}

func (o *object) wrong(field, format string, args ...any) {
	if o.err == nil {
		e := refuse(base.CodeInvalid, format, args...)
		e.Reason = o.name + field + ": " + e.Reason
		o.err = e
	}
}

// take removes a field; null counts as given.
func (o *object) take(field string) ([]byte, bool) {
	f := o.find(field)
	if f == nil {
		return nil, false
	}
	v := f.value
	f.value = nil
	return v, true
}

// find returns a field that was not taken yet, nil if there is none.
func (o *object) find(name string) *field {
	for i := range o.fields[:o.n] {
		if f := &o.fields[i]; f.value != nil && string(f.name) == name {
			return f
		}
	}
	return nil
}

func (o *object) has(field string) bool { return o.find(field) != nil }

// into decodes a field if it is there. want names its type in errors.
func (o *object) into(field, want string, to any) bool {
	v, ok := o.take(field)
	if !ok {
		return false
	}
	if string(v) == "null" || json.Unmarshal(v, to) != nil {
		o.wrong(field, "want %s, not %s", want, excerpt(v))
	}
	return true
}

// text takes a string that must not be empty if it is there. Where it is last's, last
// is returned, which saves the string.
func (o *object) text(field string, last ...string) string {
	v, ok := o.take(field)
	if !ok {
		return ""
	}
	if v[0] != '"' {
		o.wrong(field, "want a string, not %s", excerpt(v))
		return ""
	}
	inner := v[1 : len(v)-1]
	for _, s := range last {
		if string(inner) == s && s != "" && bytes.IndexByte(inner, '\\') < 0 {
			return s
		}
	}
	s, ok := sio.Unquote(v)
	switch {
	case !ok:
		o.wrong(field, "half of a surrogate pair in %s", excerpt(v))
	case s == "":
		o.wrong(field, `must not be ""`)
	}
	return s
}

// required takes a string that must be there.
func (o *object) required(field string, last ...string) string {
	if !o.has(field) {
		o.wrong(field, "missing")
	}
	return o.text(field, last...)
}

// flag takes a boolean, with its value when it is left out.
func (o *object) flag(field string, otherwise bool) bool {
	v, ok := o.take(field)
	switch {
	case !ok:
		return otherwise
	case string(v) == "true":
		return true
	case string(v) != "false":
		o.wrong(field, "want true or false, not %s", excerpt(v))
	}
	return false
}

// count takes a whole number from 0 to most; 0 if it is left out.
func (o *object) count(field string, most int64) int64 {
	v, ok := o.take(field)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		o.wrong(field, "want a whole number, not %s", excerpt(v))
	case err != nil || n < 0 || n > most:
		o.wrong(field, "want 0 to %d, not %s", most, excerpt(v))
	}
	return n
}

// address takes an IP address, as clients' are written; "" if it is left out.
func (o *object) address(field string) string {
	v := o.text(field)
	if v == "" {
		return ""
	}
	addr, err := netip.ParseAddr(v)
	if err != nil {
		o.wrong(field, "want an IP address without a port, not %s", excerpt([]byte(v)))
		return ""
	}
	return addr.Unmap().String()
}

// texts takes a list of strings, none empty.
func (o *object) texts(field string) (list []string) {
	var values []json.RawMessage
	if !o.into(field, "a list of strings", &values) {
		return nil
	}
	list = make([]string, 0, len(values))
	for i, v := range values {
		text, ok := sio.Unquote(v)
		switch {
		case !ok && v[0] == '"':
			o.wrong(field, "entry %d: half of a surrogate pair in %s", i, excerpt(v))
			return nil
		case text == "":
			o.wrong(field, `entry %d: want a string that is not ""`, i)
			return nil
		}
		list = append(list, text)
	}
	return list
}

// base64 takes bytes in standard base64 with padding.
func (o *object) base64(field string) []byte {
	v, ok := o.take(field)
	if !ok || v[0] != '"' {
		o.wrong(field, "want a string, not %s", excerpt(v))
		return nil
	}
	s, _ := sio.Unquote(v) // "" if it has half of a character, which base64 has not
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		o.wrong(field, "want standard base64: %v", err)
	}
	return b
}

// object takes an object inside; nil if it is left out or wrong. Its end is told
// to close.
func (o *object) object(field string) *object {
	v, ok := o.take(field)
	if !ok {
		return nil
	}
	inner, err := parseObject(v)
	if err != nil {
		o.wrong(field, "%s", err.Reason)
		return nil
	}
	inner.name = o.name + field + "."
	return inner
}

// close ends an object inside o.
func (o *object) close(inner *object) {
	if err := inner.end(); err != nil && o.err == nil {
		o.err = err
	}
}

// end reports the first error; a field nobody took is one, and is named beside a
// field that is missing: it may be that one under another name.
func (o *object) end() *base.Error {
	var first []byte
	for i := range o.fields[:o.n] {
		if f := &o.fields[i]; f.value != nil && (first == nil || bytes.Compare(f.name, first) < 0) {
			first = f.name
		}
	}
	switch {
	case first == nil:
	case o.err == nil:
		o.wrong(strconv.Quote(string(first)), "no such field")
	default:
		o.err.Reason += "; " + o.name + strconv.Quote(string(first)) + ": no such field"
	}
	return o.err
}
