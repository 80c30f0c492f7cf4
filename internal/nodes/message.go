package nodes

import (
	"encoding/binary"
	"errors"
	"math"
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

// letter is a question or an answer: version, kind, who sends it, the number of the question, the milliseconds that its
// asker waits, the most bytes of an answer, the rest. Of an answer the last two numbers are 0.
type letter struct {
	from   string
	number uint64
	left   time.Duration // at most Patience
	most   int           // at most maxAnswer
	data   []byte
}

const kindQuestion = 3

func (l *letter) append(b []byte) []byte {
	b = append(b, version, kindQuestion)
	b = append(binary.AppendUvarint(b, uint64(len(l.from))), l.from...)
	b = binary.AppendUvarint(b, l.number)
	b = binary.AppendUvarint(b, uint64(l.left.Milliseconds())) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(l.most))                //nolint:gosec // not negative
	return append(b, l.data...)
}

// parseLetter reads a letter; its data is a view into b.
func parseLetter(b []byte) (l letter, err error) {
	if len(b) < 2 || b[0] != version || b[1] != kindQuestion {
		return l, errForm
	}
	b = b[2:]
	size, used := binary.Uvarint(b)
	if used <= 0 || size > maxText || size > uint64(len(b)-used) {
		return l, errForm
	}
	l.from, b = string(b[used:used+int(size)]), b[used+int(size):]
	var numbers [3]uint64
	for i, most := range [3]uint64{math.MaxUint64, uint64(Patience.Milliseconds()), maxAnswer} {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > most {
			return l, errForm
		}
		numbers[i], b = n, b[used:]
	}
	l.number, l.left, l.most = numbers[0], time.Duration(numbers[1])*time.Millisecond, int(numbers[2]) //nolint:gosec // bounded above
	l.data = b
	return l, nil
}
