package engineio_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/engineio"
)

const friend = "http://friend.example"

func corsRig(t *testing.T) *rig {
	return newRig(t, func(o *engineio.Options) {
		o.ClientFiles = engineio.ClientFiles()
		o.CORS = engineio.CORS{Credentials: true, ExposedHeaders: []string{"X-A", "X-B"}, MaxAge: time.Minute}
		o.CheckOrigin = func(r *http.Request) engineio.Origin {
			switch r.Header.Get("Origin") {
			case "":
				return engineio.OriginPlain
			case friend:
				return engineio.OriginAllowed
			}
			return engineio.OriginRefused
		}
	})
}

func TestCORSHeadersAreOnEveryResponse(t *testing.T) {
	r := corsRig(t)
	for _, query := range []string{newPolling, "?EIO=4&transport=tobi", newPolling + "&sid=unknown", "socket.io.min.js"} {
		res := r.request("GET", query, "", "Origin", friend)
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":      friend,
			"Access-Control-Allow-Credentials": "true",
			"Access-Control-Expose-Headers":    "X-A,X-B",
		} {
			if got := res.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", query, name, got, want)
			}
		}
		if !strings.Contains(res.header.Get("Vary"), "Origin") {
			t.Errorf("%s: Vary %q", query, res.header.Get("Vary"))
		}
		if got := r.request("GET", query, "").header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s without an origin: allowed %q", query, got)
		}
	}
}

func TestCORSPreflight(t *testing.T) {
	r := corsRig(t)
	res := r.request("OPTIONS", newPolling+"&sid=x", "", "Origin", friend,
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-token")
	res.want(t, http.StatusNoContent, "")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  friend,
		"Access-Control-Allow-Methods": "GET,POST",
		"Access-Control-Allow-Headers": "x-token",
		"Access-Control-Max-Age":       "60",
		"Vary":                         "Origin, Access-Control-Request-Headers",
	} {
		if got := res.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	r.request("OPTIONS", newPolling, "", "Origin", "http://evil").want(t, 403, `{"code":4,"message":"Forbidden"}`)
}

func TestRefusedOriginCannotUpgrade(t *testing.T) {
	r := corsRig(t)
	r.dialRaw(newWebSocket, upgradeHeaders+"Origin: http://evil\r\n").want(t, 400, "Forbidden")
}

func TestClientFilesAreServed(t *testing.T) {
	r := corsRig(t)
	files := engineio.ClientFiles()
	for name, contentType := range map[string]string{
		"socket.io.js":             "application/javascript; charset=utf-8",
		"socket.io.js.map":         "application/json; charset=utf-8",
		"socket.io.min.js":         "application/javascript; charset=utf-8",
		"socket.io.esm.min.js":     "application/javascript; charset=utf-8",
		"socket.io.msgpack.min.js": "application/javascript; charset=utf-8",
	} {
		want, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second from the cache
			res := r.request("GET", name, "", "Accept-Encoding", "gzip")
			if got := res.header.Get("Content-Type"); got != contentType {
				t.Errorf("%s: Content-Type %q", name, got)
			}
			if res.header.Get("ETag") != `"4.8.4"` || res.header.Get("Cache-Control") != "public, max-age=0" {
				t.Errorf("%s: headers %v", name, res.header)
			}
			plain, err := gzip.NewReader(strings.NewReader(res.body))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := io.ReadAll(plain); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
			}
		}
	}
	for _, etag := range []string{`"4.8.4"`, `W/"4.8.4"`} {
		r.request("GET", "socket.io.js", "", "If-None-Match", etag).want(t, http.StatusNotModified, "")
	}
	for _, name := range []string{"socket.io.other.js", "LICENSE", "socket.io.js/../LICENSE"} {
		if res := r.request("GET", name, ""); res.status == http.StatusOK {
			t.Errorf("%s is served", name)
		}
	}
	res := newRig(t, nil).request("GET", "socket.io.js", "")
	res.want(t, 400, `{"code":0,"message":"Transport unknown"}`)
}
