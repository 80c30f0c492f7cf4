// Package pointer finds values in JSON by RFC 6901 pointers.
package pointer

import (
	"strings"

	"github.com/tidwall/gjson"
)

// Key returns the function that finds the coalescing key of a JSON payload where a
// pointer says; nil for no pointer. A string is its own key, any other value its raw JSON; a
// payload without the value has no key.
func Key(pointer string) func(payload []byte) string {
	if pointer == "" {
		return nil
	}
	path := gjsonPath(pointer)
	return func(payload []byte) string {
		v := gjson.GetBytes(payload, path)
		if v.Type == gjson.String {
			return v.Str
		}
		return v.Raw
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
