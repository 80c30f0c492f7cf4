package op

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An operation, and an outcome, is encoded as
//
//	version, kind, { tag, length, body } …
//
// Version, kind and tag are a byte each, a length and a number are unsigned varints. Tags ascend,
// and what is empty is left out, so that a value has one encoding. A list's body is { length,
// bytes } for each of its items. Who reads a version, kind or tag that it does not know refuses the
// whole: half of an operation is another operation.
const version = 1

// MaxLen is the most bytes of an encoded operation or outcome, and maxItems the most items in one
// of its lists.
const (
	MaxLen   = 32 << 20
	maxItems = 1 << 18
)

var (
	// ErrMalformed says that bytes are no encoded operation or outcome.
	ErrMalformed = errors.New("malformed operation")
	// ErrNotUnderstood says that they may be one that a newer node has made.
	ErrNotUnderstood = errors.New("operation not understood")
	// ErrTooLarge says that a value has more than MaxLen bytes encoded, or too long a list.
	ErrTooLarge = errors.New("operation too large")
)

// writer encodes. The zero writer appends to nothing.
type writer struct {
	b   []byte
	err error
}

func (w *writer) head(kind byte) { w.b = append(w.b, version, kind) }

// bytes writes a body unless it is empty.
func (w *writer) bytes(tag byte, body []byte) {
	if len(body) > 0 {
		w.b = append(w.b, tag)
		w.b = appendBytes(w.b, body)
	}
}

// text writes a text unless it is empty.
func (w *writer) text(tag byte, s string) {
	if s != "" {
		w.b = append(w.b, tag)
		w.b = appendBytes(w.b, s)
	}
}

// number writes a number unless it is 0.
func (w *writer) number(tag byte, n uint64) {
	if n != 0 {
		w.b = append(w.b, tag, byte(uvarintLen(n)))
		w.b = binary.AppendUvarint(w.b, n)
	}
}

// list writes a list unless it is nil, which is not the same as an empty one.
func list[S ~string | ~[]byte](w *writer, tag byte, items []S) {
	if items == nil {
		return
	}
	if len(items) > maxItems {
		w.err = fmt.Errorf("%w: a list of %d", ErrTooLarge, len(items))
		return
	}
	n := 0
	for _, s := range items {
		n += uvarintLen(uint64(len(s))) + len(s)
	}
	w.b = append(w.b, tag)
	w.b = binary.AppendUvarint(w.b, uint64(n))
	for _, s := range items {
		w.b = appendBytes(w.b, s)
	}
}

// some is a list of which nil and empty are the same.
func some[S ~string | ~[]byte](items []S) []S {
	if len(items) == 0 {
		return nil
	}
	return items
}

func appendBytes[S ~string | ~[]byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func uvarintLen(n uint64) (size int) {
	for size = 1; n >= 1<<7; n >>= 7 {
		size++
	}
	return size
}

// reader decodes: fields are asked for in the order of their tags.
type reader struct {
	b   []byte
	err error
}

// head reads version and kind.
func (r *reader) head() (kind byte) {
	switch {
	case len(r.b) > MaxLen:
		r.fail(ErrTooLarge, "%d bytes", len(r.b))
	case len(r.b) < 2:
		r.fail(ErrMalformed, "%d bytes", len(r.b))
	case r.b[0] != version:
		r.fail(ErrNotUnderstood, "version %d", r.b[0])
	default:
		kind, r.b = r.b[1], r.b[2:]
	}
	return kind
}

// field returns the body of a field if that is the next.
func (r *reader) field(tag byte) (body []byte, there bool) {
	if r.err != nil || len(r.b) == 0 || r.b[0] != tag {
		return nil, false
	}
	r.b = r.b[1:]
	body = r.item(&r.b)
	return body, r.err == nil
}

// item takes a length and so many bytes.
func (r *reader) item(from *[]byte) []byte {
	n := r.uvarint(from)
	if r.err == nil && n > uint64(len(*from)) {
		r.fail(ErrMalformed, "%d bytes of %d", len(*from), n)
	}
	if r.err != nil {
		return nil
	}
	body := (*from)[:n:n]
	*from = (*from)[n:]
	return body
}

// uvarint takes a number in its shortest form.
func (r *reader) uvarint(from *[]byte) uint64 {
	n, size := binary.Uvarint(*from)
	if size <= 0 || size != uvarintLen(n) {
		r.fail(ErrMalformed, "a number of %d bytes", size)
		return 0
	}
	*from = (*from)[size:]
	return n
}

// bytes reads a body that is not empty, "" if it is not there.
func (r *reader) bytes(tag byte) []byte {
	body, there := r.field(tag)
	if there && len(body) == 0 {
		r.fail(ErrMalformed, "field %d is empty", tag)
	}
	if len(body) == 0 {
		return nil
	}
	return body
}

func (r *reader) text(tag byte) string { return string(r.bytes(tag)) }

// number reads a number up to most, 0 if it is not there.
func (r *reader) number(tag byte, most uint64) uint64 {
	body, there := r.field(tag)
	if !there {
		return 0
	}
	n := r.uvarint(&body)
	if r.err == nil && (n == 0 || n > most || len(body) > 0) {
		r.fail(ErrMalformed, "field %d is %d", tag, n)
	}
	return n
}

// items reads a list, nil if it is not there. Unless it may be empty, that is malformed.
func (r *reader) items(tag byte, mayBeEmpty bool) [][]byte {
	body, there := r.field(tag)
	if !there {
		return nil
	}
	out := [][]byte{}
	for len(body) > 0 && r.err == nil {
		if out = append(out, r.item(&body)); len(out) > maxItems {
			r.fail(ErrTooLarge, "field %d: more than %d items", tag, maxItems)
		}
	}
	if len(out) == 0 && !mayBeEmpty {
		r.fail(ErrMalformed, "field %d is empty", tag)
	}
	return out
}

// texts is items as texts.
func (r *reader) texts(tag byte, mayBeEmpty bool) []string {
	items := r.items(tag, mayBeEmpty)
	if items == nil {
		return nil
	}
	out := make([]string, len(items))
	for i, s := range items {
		out[i] = string(s)
	}
	return out
}

// end is called when all fields that are known have been asked for.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail(ErrNotUnderstood, "field %d", r.b[0])
	}
	return r.err
}

// fail notes the first error.
func (r *reader) fail(kind error, format string, values ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{kind}, values...)...)
	}
}
