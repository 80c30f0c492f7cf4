package admin_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/admin"
)

const tick = `{"namespace":"/feed","topic":"prices","payload":{"symbol":"AAPL","bid":187.23,"ask":187.25,"size":[100,200],"at":1732905600123}}`

// quiet is a fixture whose backend remembers nothing.
func quiet(b *testing.B) *fixture {
	return setUp(b, func(o *admin.Options) { o.Publisher = forgetful{o.Publisher.(*backend)} })
}

// BenchmarkPublishBatch is a line of a batch that nobody has subscribed to.
func BenchmarkPublishBatch(b *testing.B) {
	const lines = 1000
	f := quiet(b)
	body := bytes.Repeat([]byte(tick+"\n"), lines)
	b.ReportAllocs()
	for n := 0; n < b.N; n += lines {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/publish/batch", bytes.NewReader(body))
		f.handler.ServeHTTP(&discard{header: http.Header{}}, r)
	}
}

// BenchmarkPublish is one publish without net/http.
func BenchmarkPublish(b *testing.B) {
	f := quiet(b)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	body := strings.NewReader(tick)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/publish", body)
	closer := io.NopCloser(body)
	for b.Loop() {
		body.Reset(tick)
		r.Body = closer
		f.handler.ServeHTTP(w, r)
	}
}

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}
