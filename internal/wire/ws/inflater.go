package ws

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"iter"
)

// How much an inflater does in one slice: bytes made, or bytes of the compressed message looked at. A few bytes can stand
// for a thousand, and a thousand of empty blocks for none, which cost as much.
const (
	sliceOut = 16 << 10
	sliceIn  = 2 << 10
)

// inflaterBytes is about what an inflater holds beside the message: flate's window and tables, and a stack.
const inflaterBytes = 48 << 10

var errDropped = errors.New("inflate: dropped")

// inflater makes the message that was compressed to packed, slice by slice. flate cannot stop in the middle of its input:
// so where there is more of that than one slice it runs as a coroutine, which stops wherever it asks for a byte too many.
type inflater struct {
	op    Opcode
	limit int
	out   []byte
	made  int // bytes, in the last slice
	cost  int // of it, as bytes made: those looked at count eight times, as a block's tables take as long
	err   error
	done  bool

	in     input
	reader io.ReadCloser
	next   func() (struct{}, bool) // of the coroutine; nil: there is none
	stop   func()
}

// input is the compressed message, and the tail that shows flate its end.
type input struct {
	packed []byte
	at     int         // of packed and tail
	room   int         // bytes left of this slice
	pause  func() bool // ends the slice; false: for good
}

func (in *input) more() error {
	if in.room > 0 {
		return nil
	}
	in.room = sliceIn
	if in.pause != nil && !in.pause() {
		return errDropped
	}
	return nil
}

// ReadByte implements io.ByteReader, without which flate would buffer.
func (in *input) ReadByte() (byte, error) {
	if err := in.more(); err != nil {
		return 0, err
	}
	var b byte
	switch n := len(in.packed); {
	case in.at < n:
		b = in.packed[in.at]
	case in.at < n+len(inflateTail):
		b = inflateTail[in.at-n]
	default:
		return 0, io.EOF
	}
	in.at++
	in.room--
	return b, nil
}

// Read implements io.Reader, for blocks that are stored.
func (in *input) Read(p []byte) (n int, err error) {
	if err := in.more(); err != nil {
		return 0, err
	}
	p = p[:min(len(p), in.room)]
	if in.at < len(in.packed) {
		n = copy(p, in.packed[in.at:])
	} else if n = copy(p, inflateTail[min(in.at-len(in.packed), len(inflateTail)):]); n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	in.at += n
	in.room -= n
	return n, nil
}

func newInflater(op Opcode, packed []byte, limit int) *inflater {
	z := &inflater{op: op, limit: limit, in: input{packed: packed, room: sliceIn}}
	z.reader = inflaters.Get().(io.ReadCloser)
	if err := z.reader.(flate.Resetter).Reset(&z.in, nil); err != nil {
		z.fail(err)
	}
	if len(packed) > sliceIn {
		z.next, z.stop = iter.Pull(z.run)
	}
	return z
}

// run is the coroutine: all slices, with a pause after each.
func (z *inflater) run(yield func(struct{}) bool) {
	dropped := false
	z.in.pause = func() bool {
		dropped = dropped || !yield(struct{}{})
		return !dropped
	}
	for !z.done {
		z.work()
		if !z.done && !z.in.pause() {
			return
		}
	}
}

// slice does a little more of the message.
func (z *inflater) slice() {
	before, from := len(z.out), z.in.at
	z.in.room = sliceIn
	if z.next == nil {
		z.work()
	} else if _, more := z.next(); !more {
		z.done = true
	}
	z.made = len(z.out) - before
	z.cost = max(z.made, 8*(z.in.at-from))
}

// work inflates up to sliceOut.
func (z *inflater) work() {
	if z.done {
		return
	}
	for most := len(z.out) + sliceOut; len(z.out) < most && !z.done; {
		if cap(z.out)-len(z.out) < 512 {
			z.grow()
		}
		n, err := z.reader.Read(z.out[len(z.out):min(cap(z.out), most)])
		z.out = z.out[:len(z.out)+n]
		switch {
		case len(z.out) > z.limit:
			z.err = &Error{Code: TooBig, Reason: fmt.Sprintf("compressed message of more than %d bytes", z.limit)}
			z.done = true
		case err == io.EOF:
			z.done = true
		case err != nil:
			z.fail(err)
		}
	}
}

// grow doubles the room, up to what the message may have.
func (z *inflater) grow() {
	n := max(2*cap(z.out), min(4*len(z.in.packed), sliceOut), 1024)
	z.out = append(make([]byte, 0, min(n, z.limit+1024)), z.out...)
}

func (z *inflater) fail(err error) {
	z.err = &Error{Code: InvalidPayload, Reason: fmt.Sprintf("compressed message: %v", err)}
	z.done = true
}

// drop ends an inflater, done or not. Idempotent.
func (z *inflater) drop() {
	if z.stop != nil {
		z.stop()
		z.next, z.stop = nil, nil
	}
	if z.reader != nil {
		inflaters.Put(z.reader)
		z.reader = nil
	}
}
