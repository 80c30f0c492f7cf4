package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

const (
	nodeLen  = 2  // characters that name the node
	loopLen  = 2  // characters that name the loop
	idLen    = 20 // random characters: 120 bits
	maxLoops = 64 * 64

	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// sid is a session id without what all ids of a shard have in common: 120 random bits, unguessable. It stands for 24
// characters of base64url that name the session's node and loop too (architecture.md D3):
//
//	| node, 2 | loop, 2 | random, 20 |
type sid [idLen * 6 / 8]byte

func newSID() (id sid) {
	rand.Read(id[:]) // never fails: crypto/rand
	return id
}

// spell is the id as clients know it.
func (id sid) spell(node string, loop int) string {
	text := make([]byte, 0, nodeLen+loopLen+idLen)
	text = append(text, node...)
	text = append(text, alphabet[loop/64], alphabet[loop%64])
	return string(base64.RawURLEncoding.AppendEncode(text, id[:]))
}

// parseSID returns an id and the loop it names; ok is false if it is not one of this node.
func parseSID(text, node string) (id sid, loop int, ok bool) {
	if len(text) != nodeLen+loopLen+idLen || !strings.HasPrefix(text, node) || !isText(text) {
		return sid{}, 0, false
	}
	high, low := strings.IndexByte(alphabet, text[nodeLen]), strings.IndexByte(alphabet, text[nodeLen+1])
	_, err := base64.RawURLEncoding.Decode(id[:], []byte(text[nodeLen+loopLen:]))
	return id, high*64 + low, err == nil
}

// randomText is n random characters, six bits each.
func randomText(n int) string {
	raw := make([]byte, (n*6+7)/8)
	rand.Read(raw) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(raw)[:n]
}

func isText(s string) bool { return strings.Trim(s, alphabet) == "" }
