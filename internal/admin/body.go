package admin

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// bodyTimeout is how long a body may take to arrive.
const bodyTimeout = 30 * time.Second

// The bytes that are kept to read bodies into: as many as a batch reads at once.
const bufferSize = 64 << 10

// buffers are of bufferSize or more. What is read into one is not kept by anybody
// when it is given back.
var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// readBody reads a request's body of at most MaxBody bytes.
func (a *api) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return a.readInto(nil, w, r)
}

// readInto is readBody into b, if the body fits.
func (a *api) readInto(b []byte, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	// Not every ResponseWriter can do this; then the server's own time-outs decide.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := a.readAll(b, w, r)
	_ = control.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(base.CodeTooLarge, "the body is longer than %d bytes", a.MaxBody)
	case err != nil:
		return nil, refuse(base.CodeInvalid, "read body: %v", err)
	}
	return body, nil
}

// readAll reads a body to its end: one of known length that fits without asking how
// far it may go.
func (a *api) readAll(b []byte, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if want := r.ContentLength; want >= 0 && want < int64(len(b)) && want <= a.MaxBody {
		n, err := io.ReadFull(r.Body, b[:want+1]) // and its end
		if int64(n) == want && (err == io.EOF || err == io.ErrUnexpectedEOF) {
			err = nil
		}
		return b[:n], err
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, a.MaxBody))
}

// readObject reads a request's body as an object.
func (a *api) readObject(w http.ResponseWriter, r *http.Request) (*object, error) {
	body, err := a.readBody(w, r)
	if err != nil {
		return nil, err
	}
	o, malformed := parseObject(body)
	if malformed != nil {
		return nil, malformed
	}
	return o, nil
}
