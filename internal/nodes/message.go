package nodes

import (
	"encoding/binary"
	"errors"
	"time"
)

// The form of a message: version, kind, id, name, each with its length, and when the node was started.
const (
	version = 1

	kindLives  = 1
	kindLeaves = 2

	maxText = 1024 // of an id or name
)

// errForm says that a message is not what a node of this version sends.
var errForm = errors.New("a node has sent another form")

func appendMessage(b []byte, kind byte, n *Node) []byte {
	b = append(b, version, kind)
	for _, s := range []string{n.ID, n.Name} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return binary.AppendVarint(b, n.Started.UnixNano())
}

func parse(b []byte) (n Node, kind byte, err error) {
	if len(b) < 2 || b[0] != version || (b[1] != kindLives && b[1] != kindLeaves) {
		return n, 0, errForm
	}
	kind, b = b[1], b[2:]
	for _, to := range []*string{&n.ID, &n.Name} {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > maxText || size > uint64(len(b)-used) {
			return n, 0, errForm
		}
		*to, b = string(b[used:used+int(size)]), b[used+int(size):]
	}
	at, used := binary.Varint(b)
	if used <= 0 || used != len(b) || n.ID == "" {
		return n, 0, errForm
	}
	n.Started = time.Unix(0, at)
	return n, kind, nil
}
