package schema

import (
	"cmp"
	"fmt"
)

// Numbers are compared exactly, as fractions: a number of ten characters could have a billion digits.
const (
	maxNumber   = 128 // characters of a number
	maxExponent = 400 // of ten: more than any float64
)

// check looks at JSON that is valid without making anything of it.
func (l *Limits) check(raw []byte) *Violation {
	most := cmp.Or(l.Bytes, DefaultBytes)
	if len(raw) > most {
		return &Violation{Rule: "maxBytes", Reason: fmt.Sprintf("%d bytes: want at most %d", len(raw), most)}
	}
	deepest, depth := cmp.Or(l.Depth, DefaultDepth), 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			i = textEnd(raw, i)
		case c == '[' || c == '{':
			if depth++; depth > deepest {
				return &Violation{Rule: "maxDepth", Reason: fmt.Sprintf("arrays and objects are nested deeper than %d", deepest)}
			}
		case c == ']' || c == '}':
			depth--
		case c == '-' || digit(c):
			end, ok := numberEnd(raw, i)
			if !ok {
				return &Violation{Rule: "number", Reason: fmt.Sprintf("a number of more than %d characters, or beyond 1e±%d", maxNumber, maxExponent)}
			}
			i = end - 1
		}
	}
	return nil
}

// textEnd is where the string ends that begins at i: its last quote.
func textEnd(raw []byte, i int) int {
	for i++; i < len(raw) && raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i
}

// numberEnd is behind the number that begins at i; false: it is not to be reckoned with.
func numberEnd(raw []byte, i int) (end int, ok bool) {
	begin, exponent, inExponent := i, 0, false
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == 'e' || c == 'E':
			inExponent = true
		case digit(c) && inExponent:
			exponent = min(10*exponent+int(c-'0'), 10*maxExponent)
		case !digit(c) && c != '.' && c != '-' && c != '+':
			return i, i-begin <= maxNumber && exponent <= maxExponent
		}
	}
	return i, i-begin <= maxNumber && exponent <= maxExponent
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
