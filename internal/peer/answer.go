package peer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/wire/ws"
)

const (
	maxHead    = 16 << 10 // bytes of an answer's header
	maxRefusal = 200      // bytes kept of a refusal's body
)

var (
	headEnd      = []byte("\r\n\r\n")
	switching    = []byte("HTTP/1.1 101")
	acceptHeader = []byte("sec-websocket-accept")
	errNotHTTP   = errors.New("the answer to the websocket handshake is not HTTP")
)

// answer takes bytes of the server's answer to the opening handshake (RFC 6455 4.2.2). When they complete a 101 the
// phase is opening and rest is what follows it. A 101 is read in place: a swarm reads thousands a second.
func (m *Machine) answer(b []byte) (rest []byte, err error) {
	seen := max(0, len(m.head)-len(headEnd)+1)
	head := b
	if m.head != nil {
		m.head = append(m.head, b...)
		head = m.head
	}
	size := len(head) // of the header, as far as it has come
	end := bytes.Index(head[seen:], headEnd)
	if end >= 0 {
		size = seen + end + len(headEnd)
	}
	switch n := min(len(head), len("HTTP/")); {
	case !bytes.HasPrefix(switching, head[:n]):
		return nil, fmt.Errorf("%w: %.100q", errNotHTTP, head)
	case size > maxHead:
		return nil, fmt.Errorf("%w: a header of more than %d bytes", errNotHTTP, maxHead)
	case end >= 0 && bytes.HasPrefix(head, switching):
		m.head, m.phase = nil, opening
		return head[size:], m.checkAccept(head[:size])
	}
	if refusal := parseRefusal(head, unfinished); refusal != nil {
		return nil, refusal
	}
	if m.head == nil {
		m.head = bytes.Clone(b)
	}
	return nil, nil
}

// checkAccept looks for the proof that the server has understood (RFC 6455 1.3).
func (m *Machine) checkAccept(head []byte) error {
	var key [keySize]byte
	want := ws.Accept(string(appendKey(key[:0], m.key)))
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		if !bytes.EqualFold(name, acceptHeader) {
			continue
		}
		if got := string(bytes.TrimSpace(value)); got != want {
			return fmt.Errorf("websocket handshake: Sec-WebSocket-Accept is %q, want %q", got, want)
		}
		return nil
	}
	return errors.New("websocket handshake: the 101 has no Sec-WebSocket-Accept")
}

// progress says whether more of an answer may come.
type progress uint8

const (
	unfinished progress = iota
	ended
)

// parseRefusal reads an answer other than 101; nil while its header, or as much of its body as is kept, is not there
// and may still come.
func parseRefusal(head []byte, p progress) error {
	if !bytes.Contains(head, headEnd) || bytes.HasPrefix(head, switching) {
		return nil
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotHTTP, err)
	}
	defer func() { _ = answer.Body.Close() }() // in memory
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	if whole := err == nil && (len(body) == maxRefusal || !untilEnd(answer)); !whole && p == unfinished {
		return nil
	}
	return &StatusError{Status: answer.StatusCode, RetryAfter: retryAfter(answer.Header), Body: string(body)}
}

// untilEnd reports whether the body ends with the connection only (RFC 9112 6.3).
func untilEnd(a *http.Response) bool { return a.ContentLength < 0 && len(a.TransferEncoding) == 0 }

// retryAfter reads the seconds of a Retry-After (RFC 9110 10.2.3); dates count as none.
func retryAfter(h http.Header) time.Duration {
	const most = 365 * 24 * 3600
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, most)) * time.Second
}
