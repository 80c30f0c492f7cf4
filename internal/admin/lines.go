package admin

import (
	"bytes"
	"errors"
	"io"
)

// lines cuts a body into lines.
type lines struct {
	body io.Reader
	most int    // bytes of a line without its end
	wait func() // called before a read, which may have to wait

	b        []byte // the buffer
	from, to int    // of it, what has come and is not cut yet
	ended    error  // of the body
}

var errLineTooLong = errors.New("line too long")

// next returns the next line without its end, and without white space around it: a view
// that holds until the next call. The error at the end is io.EOF.
func (l *lines) next() ([]byte, error) {
	for searched := 0; ; {
		fresh := l.b[l.from+searched : l.to]
		if i := bytes.IndexByte(fresh, '\n'); i >= 0 {
			return l.cut(searched+i, 1)
		}
		searched += len(fresh)
		if searched > l.most {
			return nil, errLineTooLong
		}
		if l.ended != nil {
			if searched > 0 && errors.Is(l.ended, io.EOF) { // the last line may lack its end
				return l.cut(searched, 0)
			}
			return nil, l.ended
		}
		l.read()
	}
}

// cut takes the next n bytes as a line, and skips its end.
func (l *lines) cut(n, end int) ([]byte, error) {
	if n > l.most {
		return nil, errLineTooLong
	}
	line := l.b[l.from : l.from+n]
	l.from += n + end
	return bytes.TrimSpace(line), nil
}

// read waits for more, in a larger buffer if there is no room.
func (l *lines) read() {
	l.wait()
	if l.from > 0 {
		l.to, l.from = copy(l.b, l.b[l.from:l.to]), 0
	}
	if l.to == len(l.b) {
		larger := make([]byte, min(2*len(l.b), l.most+2))
		copy(larger, l.b)
		l.b = larger
	}
	const tries = 100 // of a reader that returns nothing
	for range tries {
		n, err := l.body.Read(l.b[l.to:])
		l.to += n
		if l.ended = err; n > 0 || err != nil {
			return
		}
	}
	l.ended = io.ErrNoProgress
}

// first waits for the first byte that is no white space, and returns it; 0 if there is
// none.
func (l *lines) first() byte {
	for {
		rest := bytes.TrimLeft(l.b[l.from:l.to], " \t\r\n")
		l.from = l.to - len(rest)
		switch {
		case len(rest) > 0:
			return rest[0]
		case l.ended != nil:
			return 0
		}
		l.read()
	}
}
