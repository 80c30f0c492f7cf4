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

// newSID is an unguessable session id that names its node and loop (design D3, "Ownership"):
//
//	| node, 2 | loop, 2 | random, 20 |   characters of base64url
func newSID(node string, loop int) string {
	return node + string([]byte{alphabet[loop/64], alphabet[loop%64]}) + randomText(idLen)
}

// loopOf is the loop a session id names, or false if the id is not one of this node.
func loopOf(sid, node string) (int, bool) {
	if len(sid) != nodeLen+loopLen+idLen || !strings.HasPrefix(sid, node) || !isText(sid) {
		return 0, false
	}
	high, low := strings.IndexByte(alphabet, sid[nodeLen]), strings.IndexByte(alphabet, sid[nodeLen+1])
	return high*64 + low, true
}

// randomText is n random characters, six bits each.
func randomText(n int) string {
	raw := make([]byte, (n*6+7)/8)
	rand.Read(raw) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(raw)[:n]
}

func isText(s string) bool { return strings.Trim(s, alphabet) == "" }
