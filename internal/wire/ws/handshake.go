package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// acceptGUID is the constant every server appends to the client's key (RFC 6455 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// Accept is the Sec-WebSocket-Accept value that answers a Sec-WebSocket-Key (RFC 6455 4.2.2).
func Accept(key string) string { return string(AppendAccept(nil, key)) }

// AppendAccept appends what Accept returns.
func AppendAccept(dst []byte, key string) []byte {
	var buf [64]byte
	sum := sha1.Sum(append(append(buf[:0], key...), acceptGUID...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// ValidKey reports whether key is a Sec-WebSocket-Key: 16 bytes in base64 (RFC 6455 4.1).
func ValidKey(key string) bool {
	const size, encoded = 16, 24
	if len(key) != encoded {
		return false
	}
	var raw [18]byte // 24 characters of base64 decode to at most this
	n, err := base64.StdEncoding.Decode(raw[:], []byte(key))
	return err == nil && n == size
}

// HeaderHasToken reports whether one of the values of a header, each a comma-separated list, holds the token. Case is
// ignored, as for Connection: keep-alive, Upgrade (RFC 6455 4.2.1).
func HeaderHasToken(values []string, token string) bool {
	for _, list := range values {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// Subprotocol is the one to answer of those a client offers, each value a comma-separated list: the first, as a client
// that gets none it offered ends the connection (RFC 6455 4.1); "" if it is no token.
func Subprotocol(offers []string) string {
	if len(offers) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(offers[0], ",")
	first = strings.Trim(first, " \t")
	for i := range len(first) {
		if c := first[i]; c <= ' ' || c >= 0x7F || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return ""
		}
	}
	return first
}
