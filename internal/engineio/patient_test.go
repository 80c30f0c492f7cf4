package engineio_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"
)

// deadWriter is the ResponseWriter of a connection that has just been closed.
type deadWriter struct{ *httptest.ResponseRecorder }

func (deadWriter) SetWriteDeadline(time.Time) error {
	return errors.New("use of closed network connection")
}
func (deadWriter) SetReadDeadline(time.Time) error { return nil }

// A session that never came to be is not waited for.
func TestSessionOfADeadConnectionIsNotCounted(t *testing.T) {
	r := newRig(t, nil)
	r.server.ServeHTTP(deadWriter{httptest.NewRecorder()}, httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=polling", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := r.server.Close(ctx); err != nil {
		t.Errorf("Close of a server without sessions: %v", err)
	}
}
