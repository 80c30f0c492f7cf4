package sio

import (
	"encoding/binary"
	"math/bits"
)

// MaxDepth is the deepest nesting of arrays and objects accepted, the arguments array included.
const MaxDepth = 512

// CheckJSON returns nil if data is one JSON value of RFC 8259, white space around it allowed, nested no deeper than
// [MaxDepth]; else an *[Error] at the offending byte. Like encoding/json.Valid it accepts duplicate keys and lone
// surrogate escapes, and it does not look at UTF-8: the transports refuse text that is not UTF-8 before it comes here.
// It does not allocate unless it fails.
func CheckJSON(data []byte) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	return nil
}

func checkJSON(data []byte) *Error {
	end, err := scanValue(data, skipSpace(data, 0))
	if err != nil {
		return err
	}
	if end = skipSpace(data, end); end != len(data) {
		return errorAt(end, "unexpected %q after the JSON value", data[end])
	}
	return nil
}

// scanValue returns the end of the JSON value that starts at b[i], without white space before it. The stack it needs
// is in the scanner, so nested input does not grow the goroutine's.
func scanValue(b []byte, i int) (int, *Error) {
	s := scanner{b: b, i: i}
	for {
		whole, err := s.value()
		if err != nil {
			return 0, err
		}
		if !whole {
			continue
		}
		more, err := s.next()
		if err != nil {
			return 0, err
		}
		if !more {
			return s.i, nil
		}
	}
}

// scanner walks a JSON text. open is the stack of open arrays and objects, one bit each, set for an object.
type scanner struct {
	b     []byte
	i     int
	depth int
	open  [MaxDepth / bits.UintSize]uint
}

// value reads a scalar or an empty container whole, or enters a container and stops at its first element's value.
func (s *scanner) value() (whole bool, err *Error) {
	c := at(s.b, s.i)
	switch c {
	case '{', '[':
	case '"':
		s.i, err = scanString(s.b, s.i)
		return true, err
	default:
		s.i, err = scanScalar(s.b, s.i)
		return true, err
	}
	if s.depth == MaxDepth {
		return false, errorAt(s.i, "JSON nested deeper than %d", MaxDepth)
	}
	start := s.i
	s.i = skipSpace(s.b, start+1)
	if at(s.b, s.i) == c+2 { // '[' and ']', '{' and '}' are two apart
		s.i++
		return true, nil
	}
	word, bit := s.depth/bits.UintSize, uint(1)<<(s.depth%bits.UintSize)
	s.depth++
	if c == '[' {
		s.open[word] &^= bit
		return false, nil
	}
	s.open[word] |= bit
	s.i, err = scanKey(s.b, s.i)
	return false, err
}

// next follows a whole value: it closes the containers that end there and stops at the next element's value. It
// returns false when the outermost value has ended.
func (s *scanner) next() (more bool, err *Error) {
	for s.depth > 0 {
		top := s.depth - 1
		inObject := s.open[top/bits.UintSize]>>(top%bits.UintSize)&1 != 0
		s.i = skipSpace(s.b, s.i)
		c := at(s.b, s.i)
		if c == ',' {
			s.i = skipSpace(s.b, s.i+1)
			if inObject {
				s.i, err = scanKey(s.b, s.i)
			}
			return true, err
		}
		if (inObject && c != '}') || (!inObject && c != ']') {
			return false, unexpected(s.b, s.i, "a comma or the end of an array or object")
		}
		s.i++
		s.depth--
	}
	return false, nil
}

// at is b[i], or 0, which JSON allows nowhere, at the end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

func unexpected(b []byte, i int, wanted string) *Error {
	if i >= len(b) {
		return errorAt(i, "JSON ends where %s should be", wanted)
	}
	return errorAt(i, "%q where %s should be", b[i], wanted)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// scanKey reads a key and its colon and returns the start of the value.
func scanKey(b []byte, i int) (int, *Error) {
	if at(b, i) != '"' {
		return 0, unexpected(b, i, "a key")
	}
	i, err := scanString(b, i)
	if err != nil {
		return 0, err
	}
	i = skipSpace(b, i)
	if at(b, i) != ':' {
		return 0, unexpected(b, i, "a colon")
	}
	return skipSpace(b, i+1), nil
}

func scanScalar(b []byte, i int) (int, *Error) {
	switch c := at(b, i); {
	case c == '"':
		return scanString(b, i)
	case c == '-' || isDigit(c):
		return scanNumber(b, i)
	case c == 't':
		return scanWord(b, i, "true")
	case c == 'f':
		return scanWord(b, i, "false")
	case c == 'n':
		return scanWord(b, i, "null")
	}
	return 0, unexpected(b, i, "a value")
}

func scanWord(b []byte, i int, word string) (int, *Error) {
	end := i + len(word)
	if end > len(b) || string(b[i:end]) != word {
		return 0, errorAt(i, "%s misspelt", word)
	}
	return end, nil
}

// scanString returns the end of the string that starts with the quote b[i].
func scanString(b []byte, i int) (int, *Error) {
	for j := skipPlain(b, i+1); j < len(b); j = skipPlain(b, j) {
		switch c := b[j]; {
		case c == '"':
			return j + 1, nil
		case c < 0x20:
			return 0, errorAt(j, "control character 0x%02x in a string", c)
		}
		n := escapeLen(b[j:])
		if n == 0 {
			return 0, errorAt(j, "bad escape in a string")
		}
		j += n
	}
	return 0, errorAt(i, "string without an end")
}

// skipPlain passes over what a string may hold as it is, eight bytes a step (BenchmarkParse): it returns the index of the
// first quote, backslash or control character from i on, or len(b).
func skipPlain(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^('"'*ones), x^('\\'*ones)
		// Each term has a byte's top bit set if that byte is what is looked for, or a lower one is: the lowest is right.
		if hit := ((quote-ones)&^quote | (slash-ones)&^slash | (x-0x20*ones)&^x) & tops; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= 0x20 {
		i++
	}
	return i
}

// escapeLen is the length of the escape at the start of b, 0 if it is not one.
func escapeLen(b []byte) int {
	switch at(b, 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		for k := 2; k < 6; k++ {
			if !isHex(at(b, k)) {
				return 0
			}
		}
		return 6
	}
	return 0
}

func scanNumber(b []byte, i int) (int, *Error) {
	if b[i] == '-' {
		i++
	}
	var err *Error
	if at(b, i) == '0' {
		i++
	} else if i, err = scanDigits(b, i); err != nil {
		return 0, err
	}
	if at(b, i) == '.' {
		if i, err = scanDigits(b, i+1); err != nil {
			return 0, err
		}
	}
	if c := at(b, i); c == 'e' || c == 'E' {
		i++
		if c := at(b, i); c == '+' || c == '-' {
			i++
		}
		return scanDigits(b, i)
	}
	return i, nil
}

// scanDigits reads at least one digit.
func scanDigits(b []byte, i int) (int, *Error) {
	if !isDigit(at(b, i)) {
		return 0, unexpected(b, i, "a digit")
	}
	for isDigit(at(b, i)) {
		i++
	}
	return i, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') }
