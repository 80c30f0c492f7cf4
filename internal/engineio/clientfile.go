package engineio

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/streamweir/weir/internal/transport"
)

// ClientVersion is the version of the files in ClientFiles, and the ETag of
// every file served as Options.ClientFiles.
const ClientVersion = "4.8.4"

//go:embed client/*.js client/*.map client/*.br client/LICENSE
var clientDist embed.FS

// ClientFiles are the browser builds of socket.io-client, as npm's socket.io
// has them in client-dist, with their licence (MIT), and beside each the same
// compressed with brotli (scripts/clientfiles makes those).
func ClientFiles() fs.FS {
	files, err := fs.Sub(clientDist, "client")
	if err != nil {
		panic(err) // not reached: the directory is embedded
	}
	return files
}

const clientETag = `"` + ClientVersion + `"`

// clientFiles serves the client (protocol.md 2.11). HTTP goroutines call it
// concurrently.
type clientFiles struct {
	files    fs.FS // nil: none
	compress bool

	// encoded is the content by encoding + ":" + name, made on first use: at most
	// three times the files.
	encoded sync.Map
}

// serve answers the request if name is a file, and reports whether it is.
func (c *clientFiles) serve(w http.ResponseWriter, r *http.Request, name string) bool {
	contentType := clientType(name)
	if c.files == nil || contentType == "" || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		return false
	}
	encoding := ""
	if c.compress {
		encoding = c.encoding(name, r.Header)
	}
	body, err := c.content(name, encoding)
	if err != nil {
		return false
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=0")
	h.Set("ETag", clientETag)
	h.Set("Vary", "Origin, Accept-Encoding")
	if match := r.Header.Get("If-None-Match"); match == clientETag || match == "W/"+clientETag {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client left; nobody else needs to know
	}
	return true
}

const brotli = "br"

// encoding is brotli where the client takes it and the file is there, else what
// can be made here.
func (c *clientFiles) encoding(name string, h http.Header) string {
	if transport.Accepts(h, brotli) {
		if _, err := fs.Stat(c.files, name+"."+brotli); err == nil {
			return brotli
		}
	}
	return transport.Encoding(h)
}

func (c *clientFiles) content(name, encoding string) ([]byte, error) {
	if encoding == brotli {
		return fs.ReadFile(c.files, name+"."+brotli)
	}
	key := encoding + ":" + name
	if body, ok := c.encoded.Load(key); ok {
		return body.([]byte), nil
	}
	body, err := fs.ReadFile(c.files, name)
	if err != nil {
		return nil, err
	}
	if encoding != "" {
		body = transport.Compress(encoding, body)
	}
	c.encoded.Store(key, body)
	return body, nil
}

// clientType is the Content-Type of a client file, "" if the name is none.
func clientType(name string) string {
	switch {
	case !strings.HasPrefix(name, "socket.io.") || strings.Contains(name, "/"):
		return ""
	case path.Ext(name) == ".js":
		return "application/javascript; charset=utf-8"
	case path.Ext(name) == ".map":
		return "application/json; charset=utf-8"
	}
	return ""
}
