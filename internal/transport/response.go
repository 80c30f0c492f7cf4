package transport

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// writeChunk is what a client must take within Responder.Stall: a slow client
// is served as long as it makes that progress.
const writeChunk = 8 << 10

// Responder writes the answers of exchanges.
type Responder struct {
	Compress bool          // by Accept-Encoding, from 1024 bytes on
	Stall    time.Duration // longest time for a chunk of 8 KiB
}

// Respond writes a; the HTTP goroutine calls it. An error means that the client
// may not have got all of it.
func (o Responder) Respond(w http.ResponseWriter, r *http.Request, x *Exchange, a Answer) error {
	h := w.Header()
	body := a.Body
	if a.Type != "" {
		h.Set("Content-Type", a.Type)
		h.Set("Cache-Control", "no-store")
		if oldExplorer(r.UserAgent()) {
			h.Set("X-XSS-Protection", "0")
		}
	}
	if a.Packets && a.Packing == base.Packable && o.Compress && len(body) >= compressFrom {
		if encoding := Encoding(r.Header); encoding != "" {
			body = Compress(encoding, body)
			h.Set("Content-Encoding", encoding)
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w)
	if err := o.extend(rc); err != nil {
		return err
	}
	w.WriteHeader(a.Status)
	for len(body) > 0 {
		n, err := w.Write(body[:min(len(body), writeChunk)])
		x.written.Add(int64(n))
		if err != nil {
			return err
		}
		body = body[n:]
		if err := o.extend(rc); err != nil {
			return err
		}
	}
	return supported(rc.Flush())
}

// oldExplorer knows the browsers whose cross-site filter would mangle packets
// (protocol.md 1.4).
func oldExplorer(agent string) bool {
	return strings.Contains(agent, ";MSIE") || strings.Contains(agent, "Trident/")
}

func (o Responder) extend(rc *http.ResponseController) error {
	return supported(rc.SetWriteDeadline(time.Now().Add(o.Stall)))
}

// Patient lifts the server's own time-outs from a request that waits for
// packets: the heartbeat is what ends it. A body, which a GET should not have,
// keeps its time-out.
func Patient(w http.ResponseWriter, r *http.Request) error {
	rc := http.NewResponseController(w)
	if err := supported(rc.SetWriteDeadline(time.Time{})); err != nil || r.ContentLength != 0 {
		return err
	}
	return supported(rc.SetReadDeadline(time.Time{}))
}

// supported forgives a ResponseWriter that was wrapped without the method: the
// request is served, the server's own time-outs guard it.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
