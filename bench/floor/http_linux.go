package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// serveBare is the least a server in Go does for a POST: net/http, a handler that reads the body and answers with a
// head and a body of p.answer bytes together. It says where it listens as Weir does. It has no timeouts, since each
// costs a call for every request, and serves until the process is ended.
func serveBare(p plan) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	sayReady(listener.Addr())
	return (&http.Server{Handler: bare(p.answer)}).Serve(listener) //nolint:gosec // no timeouts: see above
}

// bare answers everything in that many bytes, as far as a head is not longer than that.
func bare(size int) http.Handler {
	head := func(body int) int {
		return len("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n") + len("Date: "+http.TimeFormat+"\r\n") +
			len(fmt.Sprintf("Content-Length: %d\r\n", body))
	}
	body := max(size-head(1), 0)
	for body > 0 && head(body)+body > size { // the length has more digits than one
		body--
	}
	answer := []byte(strings.Repeat("a", body))
	kind := []string{"application/json"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a client that is gone gets no answer
		w.Header()["Content-Type"] = kind
		_, _ = w.Write(answer)
	})
}
