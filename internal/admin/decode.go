package admin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/base"
)

// object is one JSON object whose fields are taken out one by one. It is strict:
// a field twice, of another type, or left over at the end is an error that names
// it. The first error sticks.
type object struct {
	name   string // of the field it came from, with a dot; "" for a body
	fields map[string]json.RawMessage
	err    *base.Error
}

// bodyTimeout is how long a body may take to arrive.
const bodyTimeout = 30 * time.Second

// readBody reads a request's body of at most MaxBody bytes.
func (a *api) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	// Not every ResponseWriter can do this; then the server's own time-outs decide.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.MaxBody))
	_ = control.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(base.CodeTooLarge, "the body is longer than %d bytes", a.MaxBody)
	case err != nil:
		return nil, refuse(base.CodeInvalid, "read body: %v", err)
	}
	return body, nil
}

// readObject reads a request's body as an object.
func (a *api) readObject(w http.ResponseWriter, r *http.Request) (*object, error) {
	body, err := a.readBody(w, r)
	if err != nil {
		return nil, err
	}
	o, malformed := parseObject(body)
	if malformed != nil {
		return nil, malformed
	}
	return o, nil
}

// parseObject takes a JSON object apart. Values are views into copies of data.
func parseObject(data []byte) (*object, *base.Error) {
	if !utf8.Valid(data) { // encoding/json would mend it in silence
		return nil, refuse(base.CodeInvalid, "the body is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	fields, err := members(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse(base.CodeInvalid, "data after the object, at byte %d", d.InputOffset())
	}
	return &object{fields: fields}, nil
}

func members(d *json.Decoder) (map[string]json.RawMessage, *base.Error) {
	open, err := d.Token()
	if err != nil {
		return nil, malformed(d, err)
	}
	if open != json.Delim('{') {
		return nil, refuse(base.CodeInvalid, "want a JSON object, not %s", excerpt(open))
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, malformed(d, err)
		}
		name, _ := key.(string) // the decoder takes nothing else here
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, malformed(d, err)
		}
		if _, twice := fields[name]; twice {
			return nil, refuse(base.CodeInvalid, "%s: given twice", strconv.Quote(name))
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed(d, err)
	}
	return fields, nil
}

func malformed(d *json.Decoder, err error) *base.Error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(base.CodeInvalid, "the JSON ends early")
	}
	return refuse(base.CodeInvalid, "not JSON near byte %d: %v", d.InputOffset(), err)
}

// excerpt shows the beginning of a value in an error.
func excerpt(v any) string {
	const most = 64
	s, ok := v.(json.RawMessage)
	if !ok {
		s, _ = json.Marshal(v) // a token always marshals, a delimiter as its number
		if delim, is := v.(json.Delim); is {
			s = json.RawMessage(delim.String())
		}
	}
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
func (o *object) take(field string) (json.RawMessage, bool) {
	v, ok := o.fields[field]
	delete(o.fields, field)
	return v, ok
}

func (o *object) has(field string) bool { return o.fields[field] != nil }

// into decodes a field if it is there. want names its type in errors.
func (o *object) into(field, want string, to any) bool {
	v, ok := o.take(field)
	if !ok {
		return false
	}
	if bytes.Equal(v, []byte("null")) || json.Unmarshal(v, to) != nil {
		o.wrong(field, "want %s, not %s", want, excerpt(v))
	}
	return true
}

// text takes a string that must not be empty if it is there.
func (o *object) text(field string) (s string) {
	if o.into(field, "a string", &s) && s == "" {
		o.wrong(field, `must not be ""`)
	}
	return s
}

// required takes a string that must be there.
func (o *object) required(field string) string {
	if !o.has(field) {
		o.wrong(field, "missing")
	}
	return o.text(field)
}

// flag takes a boolean, with its value when it is left out.
func (o *object) flag(field string, otherwise bool) bool {
	v := otherwise
	o.into(field, "true or false", &v)
	return v
}

// count takes a whole number from 0 to most; 0 if it is left out.
func (o *object) count(field string, most int64) (n int64) {
	v := o.fields[field]
	if o.into(field, "a whole number", &n) && (n < 0 || n > most) {
		o.wrong(field, "want 0 to %d, not %s", most, excerpt(v))
	}
	return n
}

// texts takes a list of strings, none empty.
func (o *object) texts(field string) (list []string) {
	var values []*string // a null is not a string
	if !o.into(field, "a list of strings", &values) {
		return nil
	}
	list = make([]string, 0, len(values))
	for i, v := range values {
		if v == nil || *v == "" {
			o.wrong(field, `entry %d: want a string that is not ""`, i)
			return nil
		}
		list = append(list, *v)
	}
	return list
}

// base64 takes bytes in standard base64 with padding.
func (o *object) base64(field string) []byte {
	var s string
	o.into(field, "a string", &s)
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

// end reports the first error; a field nobody took is one.
func (o *object) end() *base.Error {
	first := ""
	for field := range o.fields {
		if first == "" || field < first {
			first = field
		}
	}
	if len(o.fields) > 0 {
		o.wrong(strconv.Quote(first), "no such field")
	}
	return o.err
}
