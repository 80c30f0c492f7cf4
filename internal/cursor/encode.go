package cursor

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The written form, whose numbers are uvarints as encoding/binary has them:
//
//	version    one byte, 1
//	topic      its length, then its bytes
//	epoch      likewise
//	floor      a number
//	spans      how many, then for each of them, ascending: how many offsets before it are not done, counted from the
//	           floor or the span before, and how many offsets it has; both are at least 1
//
// Nothing follows. There is no checksum: the store of cursors adds one.
const version = 1

// The bounds of a written cursor. MaxEncoded is the length of the longest, in bytes.
const (
	maxName    = 1024 // bytes of a topic's name or an epoch's
	maxNumber  = binary.MaxVarintLen64
	MaxEncoded = 1 + 2*(maxNumber+maxName) + 2*maxNumber + MaxSpans*2*maxNumber
)

// ErrMalformed says that bytes are not a cursor.
var ErrMalformed = errors.New("not a cursor")

// Append appends the written form. With names of some ten bytes, and offsets within some thousands of the floor, it is 40
// bytes and at most four for each span.
func (c *Cursor) Append(dst []byte) []byte {
	dst = append(dst, version)
	dst = append(binary.AppendUvarint(dst, uint64(len(c.Topic))), c.Topic...)
	dst = append(binary.AppendUvarint(dst, uint64(len(c.Epoch))), c.Epoch...)
	dst = binary.AppendUvarint(dst, c.Floor)
	dst = binary.AppendUvarint(dst, uint64(len(c.spans)))
	at := c.Floor
	for _, s := range c.spans {
		dst = binary.AppendUvarint(dst, s.first-at-1)
		dst = binary.AppendUvarint(dst, s.last-s.first+1)
		at = s.last
	}
	return dst
}

// Decode reads what Append has written; what it takes is a cursor that keeps all bounds.
//
// Errors: ErrMalformed, wrapped with what is wrong.
func Decode(b []byte) (Cursor, error) {
	d := decoder{rest: b}
	if v := d.byte(); v != version && d.wrong == "" {
		d.fail(fmt.Sprintf("version %d, want %d", v, version))
	}
	c := Cursor{Topic: d.name(), Epoch: d.name(), Floor: d.number()}
	n := d.number()
	if n > MaxSpans || c.Floor > MaxOffset {
		d.fail("more than a cursor has")
	}
	at := c.Floor
	for ; n > 0 && d.wrong == ""; n-- {
		gap, run := d.number(), d.number()
		if gap-1 >= MaxOffset || run-1 >= MaxOffset || at > MaxOffset-gap || at+gap > MaxOffset-run {
			d.fail("a span that is none")
		}
		first, last := at+gap+1, at+gap+run
		c.spans = append(c.spans, span{first, last})
		at = last
	}
	if len(d.rest) > 0 {
		d.fail("more behind it")
	}
	if d.wrong != "" {
		return Cursor{}, fmt.Errorf("%w: %s", ErrMalformed, d.wrong)
	}
	return c, nil
}

// decoder reads; after the first mistake it reads nothing more.
type decoder struct {
	rest  []byte
	wrong string
}

func (d *decoder) fail(wrong string) {
	if d.wrong == "" {
		d.wrong = wrong
	}
	d.rest = nil
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("it ends early")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) number() uint64 {
	x, n := binary.Uvarint(d.rest)
	if n <= 0 || (n > 1 && d.rest[n-1] == 0) { // a number has one form
		d.fail("a number that is none")
		return 0
	}
	d.rest = d.rest[n:]
	return x
}

func (d *decoder) name() string {
	n := d.number()
	if n > maxName || n > uint64(len(d.rest)) {
		d.fail("a name that is too long")
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}
