package peer

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
)

// DefaultMaxMessage is the longest message a client accepts, in bytes, unless told otherwise.
const DefaultMaxMessage = 1 << 20

// Script is what every client of one Target says, prepared once. It is immutable: any number of Machines share it.
type Script struct {
	namespace  string
	opening    []byte // the opening handshake up to the value of Sec-WebSocket-Key
	connect    []byte // the text of the CONNECT packet
	maxMessage int
}

// Script prepares what clients of the target say. They accept messages of at most maxMessage bytes; 0 is
// DefaultMaxMessage.
func (t Target) Script(maxMessage int) (*Script, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	s := &Script{namespace: t.Namespace, maxMessage: maxMessage}
	if s.namespace == "" {
		s.namespace = "/"
	}
	if maxMessage == 0 {
		s.maxMessage = DefaultMaxMessage
	}
	s.connect = sio.AppendHeader([]byte{byte(eio.Message)}, sio.Connect, sio.EventHeader{Namespace: s.namespace})
	s.connect = append(s.connect, t.Auth...)
	s.opening = t.opening()
	return s, nil
}

// Namespace is the one the clients join.
func (s *Script) Namespace() string { return s.namespace }

// opening is the request of RFC 6455 4.1 with the query of 1.1. The key comes last, as it differs by client.
func (t Target) opening() []byte {
	u := *t.URL
	query := u.Query()
	query.Set("EIO", "4")
	query.Set("transport", "websocket")
	u.RawQuery = query.Encode()

	var b strings.Builder
	b.WriteString("GET " + u.RequestURI() + " HTTP/1.1\r\n")
	h := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}}
	for name, values := range t.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if h.Get("Host") == "" {
		h.Set("Host", u.Host)
	}
	h.Del(keyHeader)
	_ = h.Write(&b) // a Builder does not fail
	b.WriteString(keyHeader + ": ")
	return []byte(b.String())
}

const keyHeader = "Sec-Websocket-Key"

// keySize is the length of a Sec-WebSocket-Key, 16 bytes in base64.
const keySize = 24

// A key is one random number of the process and a count: nobody outside can foresee it, and it costs no system call
// per client. RFC 6455 asks for no more than that a cache cannot have the answer (10.3).
var (
	processKey [16]byte
	keyCount   atomic.Uint64
)

func init() {
	_, _ = rand.Read(processKey[:]) // never fails
}

// appendKey appends the Sec-WebSocket-Key of the count.
func appendKey(dst []byte, count uint64) []byte {
	key := processKey
	binary.LittleEndian.PutUint64(key[8:], binary.LittleEndian.Uint64(key[8:])^count)
	return base64.StdEncoding.AppendEncode(dst, key[:])
}
