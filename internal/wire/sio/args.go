package sio

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// SplitArgs appends to dst views of the elements of data, the raw JSON array of an event or ack that [Parse] accepted:
// for an event the first is the name, see [EventName]. The views have no white space around them.
func SplitArgs(data []byte, dst [][]byte) [][]byte {
	if at(data, 0) != '[' {
		return dst
	}
	i := skipSpace(data, 1)
	for i < len(data) && data[i] != ']' {
		end, err := scanValue(data, i)
		if err != nil {
			return dst // not reached with data Parse has accepted
		}
		dst = append(dst, data[i:end:end])
		i = skipSpace(data, end)
		if at(data, i) == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return dst
}

// FirstArg is the first of the views of [SplitArgs]; nil if there is none.
func FirstArg(data []byte) []byte {
	if at(data, 0) != '[' {
		return nil
	}
	i := skipSpace(data, 1)
	if end, err := scanValue(data, i); err == nil {
		return data[i:end:end]
	}
	return nil
}

// ValueEnd is where the JSON value ends that begins at data[i]; ok is false if there is none.
func ValueEnd(data []byte, i int) (end int, ok bool) {
	end, err := scanValue(data, i)
	return end, err == nil
}

// TextFields returns the strings that are the members of two names of an object, the second element of args: the raw JSON
// array of an event that [Parse] has accepted. Of members with one name the first counts; a name is one that JSON need not
// escape. ok is false unless both are there. It reads no further than it has to, once, and allocates nothing: a text is a view
// of args, unless it was written with escapes.
func TextFields(args []byte, names [2]string) (texts [2][]byte, ok bool) {
	i := secondArg(args)
	if at(args, i) != '{' {
		return texts, false
	}
	for i = skipSpace(args, i+1); at(args, i) == '"'; i = skipSpace(args, i+1) {
		which, value := fieldAt(args, i, &names)
		if which >= 0 && texts[which] == nil {
			texts[which], i, ok = textAt(args, value)
		} else {
			i, ok = ValueEnd(args, value)
		}
		if !ok || (texts[0] != nil && texts[1] != nil) {
			return texts, ok
		}
		i = skipSpace(args, i) // the comma, or the end
	}
	return texts, false
}

// fieldAt says which of the names the member has that begins at args[i], -1 for none, and where its value begins.
func fieldAt(args []byte, i int, names *[2]string) (which, value int) {
	which = -1
	for k := range names {
		if spells(args, i, names[k]) {
			which, i = k, i+len(names[k])+2
			break
		}
	}
	if which < 0 {
		end, err := scanString(args, i)
		if err != nil {
			return -1, len(args)
		}
		which, i = slices.IndexFunc(names[:], func(name string) bool { return isNamed(args[i:end], name) }), end
	}
	return which, skipSpace(args, skipSpace(args, i)+1) // behind the colon
}

// spells reports whether the JSON string at b[i] is name, written as it is.
func spells(b []byte, i int, name string) bool {
	end := i + 1 + len(name)
	return end < len(b) && b[end] == '"' && string(b[i+1:end]) == name
}

// secondArg is where the second element of args begins; len(args) if there is none.
func secondArg(args []byte) int {
	if at(args, 0) != '[' {
		return len(args)
	}
	end, err := scanMember(args, skipSpace(args, 1))
	if err != nil {
		return len(args)
	}
	if end = skipSpace(args, end); at(args, end) != ',' {
		return len(args)
	}
	return skipSpace(args, end+1)
}

// textAt is the text of the JSON string that begins at b[i], never nil, and where it ends: a view of it, unless it has escapes.
func textAt(b []byte, i int) (text []byte, end int, ok bool) {
	if at(b, i) != '"' {
		return nil, 0, false
	}
	if end = skipPlain(b, i+1); at(b, end) == '"' {
		return b[i+1 : end : end], end + 1, true
	}
	end, err := scanString(b, i)
	if err != nil {
		return nil, 0, false
	}
	s, ok := unquote(b[i:end])
	return []byte(s), end, ok
}

// isNamed reports whether the JSON string raw is name.
func isNamed(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == name
	}
	key, ok := unquote(raw)
	return ok && key == name
}

// NameOf is EventName of the first argument of args, which [Parse] has accepted.
func NameOf(args []byte) (string, error) {
	if at(args, 0) == '[' && at(args, 1) == '"' {
		if n := bytes.IndexByte(args[2:], '"'); n >= 0 && isPlain(args[2:2+n]) {
			return string(args[2 : 2+n]), nil
		}
	}
	return EventName(FirstArg(args))
}

// EventName decodes the first argument of an event: a JSON string as encoding/json does, or a number as JavaScript
// writes it, since clients in JavaScript cannot tell the event 1 from the event "1". Anything else is an *[Error].
func EventName(raw []byte) (string, error) {
	c := at(raw, 0)
	if c == '"' {
		name, ok := unquote(raw)
		if !ok {
			return "", errorAt(0, "event name is not a JSON string")
		}
		return name, nil
	}
	if end, err := scanValue(raw, 0); (c != '-' && !isDigit(c)) || err != nil || end != len(raw) {
		return "", errorAt(0, "event name is neither a string nor a number")
	}
	return numberString(raw), nil
}

// unquote decodes a JSON string.
func unquote(raw []byte) (string, bool) {
	end, err := scanString(raw, 0)
	if err != nil || end != len(raw) {
		return "", false
	}
	inner := raw[1 : end-1]
	if isPlain(inner) {
		return string(inner), true
	}
	var s string
	ok := json.Unmarshal(raw, &s) == nil
	return s, ok
}

// isPlain reports whether the inside of a JSON string is ASCII without escapes and so means itself.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// numberString is what String(number) gives in JavaScript for the valid JSON number raw.
func numberString(raw []byte) string {
	f, _ := strconv.ParseFloat(string(raw), 64) // out of range: infinite, as in JavaScript
	switch {
	case f == 0:
		return "0"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	text, err := json.Marshal(f) // formats as ECMAScript does
	if err != nil {
		return string(raw) // not reached: f is finite
	}
	return string(text)
}

const (
	maxReserved   = len("removeListener")
	maxEscapeSize = len(`\u0000`)
)

// reservedString is Reserved for a JSON string. Names that cannot be reserved are told by their length.
func reservedString(raw []byte) bool {
	if len(raw) > maxReserved*maxEscapeSize+2 {
		return false
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		name, ok := unquote(raw)
		return ok && Reserved(name)
	}
	return len(raw) <= maxReserved+2 && Reserved(string(raw[1:len(raw)-1]))
}
