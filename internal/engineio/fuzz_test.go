package engineio_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/engineio"
)

// Whatever a request is, it is answered, and the session it hit still ends in
// order.
func FuzzServeHTTP(f *testing.F) {
	f.Add("GET", "EIO=4&transport=polling", "")
	f.Add("GET", "EIO=4&transport=polling&sid=SID", "")
	f.Add("POST", "EIO=4&transport=polling&sid=SID", "4hello\x1ebAQID\x1e3")
	f.Add("POST", "EIO=4&transport=polling&sid=SID", "1")
	f.Add("OPTIONS", "EIO=4&transport=polling&sid=SID", "")
	f.Add("GET", "EIO=4&transport=websocket&sid=SID", "")
	f.Add("PUT", "EIO=3&transport=polling&sid=%zz&j=1", "\xff")
	f.Fuzz(func(t *testing.T, method, query, body string) {
		r := newRig(t, func(o *engineio.Options) { o.MaxHTTPBufferSize = 1000 })
		h, _ := r.pollingSession()
		h.send("waits") // so that a GET is answered at once
		req, err := http.NewRequest(method, r.http.URL+"/socket.io/", strings.NewReader(body))
		if err != nil {
			return // not a request any client can make
		}
		req.URL.RawQuery = strings.ReplaceAll(query, "SID", h.s.ID())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		r.server.ServeHTTP(w, req.WithContext(ctx))
		if ctx.Err() != nil {
			t.Fatalf("%s %q was not answered", method, query)
		}
		switch w.Code {
		case 200, 400, 403, 413, 500:
		default:
			t.Errorf("%s %q answered %d", method, query, w.Code)
		}
	})
}
