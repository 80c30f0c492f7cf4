package transport

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// compressFrom is the size in bytes from which a response is compressed
// (protocol.md 1.12, httpCompression).
const compressFrom = 1024

const (
	gzipName    = "gzip"
	deflateName = "deflate"
)

// compressor is a gzip or zlib writer, which are 0.8 MB each: pooled.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	zlibWriters = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}
)

// Encoding is the content coding to use for a client: "gzip", else "deflate",
// or "" if it accepts neither (RFC 9110 12.5.3).
func Encoding(h http.Header) string {
	switch {
	case Accepts(h, gzipName):
		return gzipName
	case Accepts(h, deflateName):
		return deflateName
	}
	return ""
}

// Accepts reports whether a client takes a content coding.
func Accepts(h http.Header, coding string) bool {
	return quality(h.Values("Accept-Encoding"), coding) > 0
}

// quality is the weight a client gives a content coding by name, or else by "*".
func quality(lists []string, name string) float64 {
	rest := 0.0
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			coding, params, _ := strings.Cut(item, ";")
			coding = strings.TrimSpace(coding)
			switch {
			case strings.EqualFold(coding, name):
				return weight(params)
			case coding == "*":
				rest = weight(params)
			}
		}
	}
	return rest
}

// weight reads ";q=0.5"; what is malformed weighs nothing.
func weight(params string) float64 {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1
	}
	key, value, _ := strings.Cut(params, "=")
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !strings.EqualFold(strings.TrimSpace(key), "q") || err != nil {
		return 0
	}
	return q
}

// Compress returns body in a content coding returned by Encoding.
func Compress(encoding string, body []byte) []byte {
	pool := &gzipWriters
	if encoding == deflateName {
		pool = &zlibWriters // what HTTP calls deflate (RFC 9110 8.4.1.2)
	}
	c := pool.Get().(compressor)
	defer pool.Put(c)
	var out bytes.Buffer
	out.Grow(len(body) / 2)
	c.Reset(&out)
	_, _ = c.Write(body) // a bytes.Buffer does not fail
	_ = c.Close()
	return out.Bytes()
}
