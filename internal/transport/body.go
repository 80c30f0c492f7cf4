package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// ErrBodyTimeout is returned for a body that did not arrive in time.
var ErrBodyTimeout = errors.New("transport: request body took too long")

// ErrBodyTooLarge is returned for a body longer than its limit.
var ErrBodyTooLarge = errors.New("transport: request body too large")

// bodyStart caps what a declared length alone makes ReadBody allocate.
const bodyStart = 32 << 10

// ReadBody reads the body of a POST, at most limit bytes, which have to arrive
// within timeout, else ErrBodyTimeout: a client that trickles holds one small
// buffer until then. A longer body is ErrBodyTooLarge, before it is read if its
// length is declared. hold is told of every piece read; nil: nobody asks.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int, timeout time.Duration, hold func(int)) ([]byte, error) {
	rc := http.NewResponseController(w)
	if err := supported(rc.SetReadDeadline(time.Now().Add(timeout))); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if r.ContentLength > int64(limit) {
		return nil, ErrBodyTooLarge
	}
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), bodyStart)) + bytes.MinRead)
	n, err := body.ReadFrom(told{io.LimitReader(r.Body, int64(limit)+1), hold})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ErrBodyTimeout
	case err != nil:
		return nil, fmt.Errorf("read body: %w", err)
	case n > int64(limit):
		return nil, ErrBodyTooLarge
	}
	if err := supported(rc.SetReadDeadline(time.Time{})); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return body.Bytes(), nil
}

// told is a reader that tells how much was read.
type told struct {
	io.Reader
	hold func(int)
}

func (t told) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if t.hold != nil && n > 0 {
		t.hold(n)
	}
	return n, err
}
