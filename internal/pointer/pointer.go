// Package pointer finds values in JSON by RFC 6901 pointers.
package pointer

import (
	"strings"

	"github.com/tidwall/gjson"
)

// Key returns the function that finds the coalescing key of a JSON payload where a pointer says; nil for no pointer. Two
// payloads have the same key if their values there have the same type and value: 1, 1.0 and 1e0 are one key, the text "1"
// is another. A text that is no Unicode (a lone surrogate), an object and an array are known by how they are written. A
// payload without the value has no key, "".
//
// A text is its own key, so that a publisher who names the key means the same; the keys of other values begin with a NUL.
func Key(pointer string) func(payload []byte) string {
	if pointer == "" {
		return nil
	}
	path := gjsonPath(pointer)
	return func(payload []byte) string {
		v := gjson.GetBytes(payload, path)
		switch {
		case v.Raw == "":
			return ""
		case v.Type == gjson.Number:
			return "\x00" + canonical(v.Raw)
		case v.Type != gjson.String || v.Str == "" || v.Str[0] == 0 || strings.Contains(v.Str, "\uFFFD"):
			return "\x00" + v.Raw
		}
		return v.Str
	}
}

// gjsonPath writes a JSON pointer as a gjson path: "/a~1b/0" is "a/b.0". What has
// a meaning of its own in gjson is escaped.
func gjsonPath(pointer string) string {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, t := range tokens {
		t = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
		var b strings.Builder
		for _, c := range []byte(t) {
			if strings.IndexByte(`\.|#@*?!{}[]()=<>%"':,`, c) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		tokens[i] = b.String()
	}
	return strings.Join(tokens, ".")
}
