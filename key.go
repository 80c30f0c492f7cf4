package weir

import (
	"strings"

	"github.com/tidwall/gjson"
)

// keyPointer is the coalescing key of a JSON payload as an RFC 6901 pointer names
// it; nil for no pointer. A string is its own key, any other value its raw JSON; a
// payload without the value has no key.
func keyPointer(pointer string) func(payload []byte) string {
	if pointer == "" {
		return nil
	}
	path := gjsonPath(pointer)
	return func(payload []byte) string { return gjson.GetBytes(payload, path).String() }
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
