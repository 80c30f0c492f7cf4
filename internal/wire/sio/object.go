package sio

import (
	"bytes"
	"encoding/json"
)

// Object reads the members of one JSON object of RFC 8259, white space around it allowed, one after another and in a
// single pass. It accepts what [CheckJSON] accepts of each value, and hands out views of what it reads: it allocates
// nothing. Rules about names (twice, unknown) are the caller's.
type Object struct {
	b    []byte
	i    int
	open bool
}

// NewObject returns a reader of data, which must not change meanwhile.
func NewObject(data []byte) Object { return Object{b: data} }

// Next returns the next member: its key is a JSON string with its quotes, see [Unquote], its value any JSON value
// without white space around it. Key is nil behind the last one, when all of the data has been read. An error is an
// *[Error] at the offending byte, and ends the reading.
func (o *Object) Next() (key, value []byte, err error) {
	var fault *Error
	if !o.open {
		o.i, fault = o.enter()
	} else {
		o.i, fault = o.follow()
	}
	if fault != nil {
		return nil, nil, fault
	}
	if o.i == len(o.b) {
		return nil, nil, nil
	}
	start := o.i
	keyEnd, fault := scanString(o.b, start)
	if fault != nil {
		return nil, nil, fault
	}
	colon := skipSpace(o.b, keyEnd)
	if at(o.b, colon) != ':' {
		return nil, nil, unexpected(o.b, colon, "a colon")
	}
	from := skipSpace(o.b, colon+1)
	if o.i, fault = scanMember(o.b, from); fault != nil {
		return nil, nil, fault
	}
	return o.b[start:keyEnd:keyEnd], o.b[from:o.i:o.i], nil
}

// scanMember is scanValue that needs no stack for what is not nested.
func scanMember(b []byte, i int) (int, *Error) {
	if c := at(b, i); c != '{' && c != '[' {
		return scanScalar(b, i)
	}
	return scanValue(b, i)
}

// enter reads the brace that opens the object and returns the start of its first key, or the end of the data.
func (o *Object) enter() (int, *Error) {
	i := skipSpace(o.b, 0)
	if at(o.b, i) != '{' {
		return 0, unexpected(o.b, i, "a JSON object")
	}
	o.open = true
	if i = skipSpace(o.b, i+1); at(o.b, i) == '}' {
		return o.end(i)
	}
	return o.key(i)
}

// follow reads the comma behind a member, and returns the start of the next key; or it reads to the end of the data.
func (o *Object) follow() (int, *Error) {
	i := skipSpace(o.b, o.i)
	switch at(o.b, i) {
	case ',':
		return o.key(skipSpace(o.b, i+1))
	case '}':
		return o.end(i)
	}
	return 0, unexpected(o.b, i, "a comma or the end of the object")
}

func (o *Object) key(i int) (int, *Error) {
	if at(o.b, i) != '"' {
		return 0, unexpected(o.b, i, "a key")
	}
	return i, nil
}

// end reads the brace at i and what follows it, which may be white space.
func (o *Object) end(i int) (int, *Error) {
	if i = skipSpace(o.b, i+1); i < len(o.b) {
		return 0, errorAt(i, "data after the object")
	}
	return i, nil
}

// Unquote returns what a JSON string without faults means, as encoding/json has it but for half of a surrogate pair: that
// is no character, and would be the same as any other half. It allocates the string only, if that has no escapes; text is
// taken to be UTF-8.
func Unquote(raw []byte) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	if halfSurrogate(inner) {
		return "", false
	}
	ok = json.Unmarshal(raw, &text) == nil
	return text, ok
}

// halfSurrogate reports whether the inside of a JSON string has an escape that is half of a surrogate pair.
func halfSurrogate(b []byte) bool {
	const half, pair = 6, 12 // bytes
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if at(b, i+1) != 'u' {
			i++
			continue
		}
		switch unit := hex4(b[i+2:]); {
		case unit < 0xd800 || unit > 0xdfff:
			i += half - 1
		case unit < 0xdc00 && at(b, i+half) == '\\' && at(b, i+half+1) == 'u' && hex4(b[i+half+2:])&0xfc00 == 0xdc00:
			i += pair - 1
		default:
			return true
		}
	}
	return false
}

// hex4 is the number that four hexadecimal digits are.
func hex4(b []byte) (n int) {
	for k := range 4 {
		switch c := at(b, k); {
		case isDigit(c):
			n = n<<4 | int(c-'0')
		default:
			n = n<<4 | int(c|0x20-'a'+10)
		}
	}
	return n
}
