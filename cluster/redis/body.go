package redis

import (
	"errors"
	"strconv"
	"strings"
	"unsafe"
)

// A body is what is sent or appended in one piece: the lengths of its parts in decimal, separated by commas, a line feed, and
// the parts.

// errAnswer says that what has come from the engine was not understood.
var errAnswer = errors.New("redis has answered what was not asked")

// appendLength appends the length of one more part to the lengths there are.
func appendLength(lengths []byte, n int) []byte {
	if len(lengths) > 0 {
		lengths = append(lengths, ',')
	}
	return strconv.AppendInt(lengths, int64(n), 10)
}

// joinBody is a body of parts, whose lengths are written already.
func joinBody(lengths []byte, parts ...[]byte) string {
	n := len(lengths) + 1
	for _, p := range parts {
		n += len(p)
	}
	b := make([]byte, 0, n)
	b = append(append(b, lengths...), '\n')
	for _, p := range parts {
		b = append(b, p...)
	}
	return unsafe.String(unsafe.SliceData(b), len(b)) // nobody else has b
}

// bodyOf is a body of parts.
func bodyOf(parts [][]byte) string {
	lengths := make([]byte, 0, 8*len(parts))
	for _, p := range parts {
		lengths = appendLength(lengths, len(p))
	}
	return joinBody(lengths, parts...)
}

// splitBody gives each part of a body, with its number from 0; the part has its bytes for itself, so that one may be kept without
// the others.
//
// Errors: errAnswer, before any part is given.
func splitBody(body string, give func(i int, part []byte)) error {
	lengths, data, ok := strings.Cut(body, "\n")
	if !ok {
		return errAnswer
	}
	rest := len(data)
	if err := eachLength(lengths, func(_, n int) bool { rest -= min(n, rest+1); return rest >= 0 }); err != nil || rest != 0 {
		return errAnswer
	}
	return eachLength(lengths, func(i, n int) bool {
		part := []byte(data[:n])
		data = data[n:]
		give(i, part)
		return true
	})
}

// eachLength reads lengths one after the other, until use returns false.
func eachLength(lengths string, use func(i, n int) bool) error {
	for i := 0; ; i++ {
		first, rest, more := strings.Cut(lengths, ",")
		n, err := strconv.ParseUint(first, 10, 31)
		if err != nil {
			return errAnswer
		}
		if !use(i, int(n)) { //nolint:gosec // of 31 bits
			return errAnswer
		}
		if !more {
			return nil
		}
		lengths = rest
	}
}
