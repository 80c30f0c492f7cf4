package socketio_test

import (
	"bytes"
	"testing"

	"github.com/streamweir/weir/internal/socketio"
)

// FuzzConn: whatever a client sends, nothing panics, no more than maxPacket bytes
// are kept, events have the attachments they announce, and who has left hears
// nothing. Messages are separated by newlines; one that begins with NUL is binary.
func FuzzConn(f *testing.F) {
	f.Add([]byte("0\n2[\"foo\",1]\n31[2]\n1\n0"))
	f.Add([]byte("0/a,{\"t\":1}\n51-/a,7[\"foo\"," + placeholder + "]\n\x00data\n1/a,"))
	f.Add([]byte("0\n62-1[" + placeholder + ",{\"_placeholder\":true,\"num\":1}]\n\x00one\n\x00"))
	f.Add([]byte("0/late\n2/late,[\"x\"]"))
	f.Add([]byte("0\n51-[\"foo\"," + placeholder + "]\n2[\"bar\"]"))
	f.Add([]byte("4{\"message\":\"x\"}"))
	f.Fuzz(func(t *testing.T, script []byte) {
		h := &host{t: t, in: make(map[string]bool)}
		for m := range bytes.SplitSeq(script, []byte("\n")) {
			data, isBinary := bytes.CutPrefix(m, []byte{0})
			err := h.conn.Message(h, data, isBinary)
			if held := h.conn.Held(); held > maxHeld || held < 0 {
				t.Fatalf("%d bytes held, the limit is %d", held, maxHeld)
			}
			if err != nil {
				if err.Error() == "" {
					t.Fatal("a fault without a reason")
				}
				return // the session is closed
			}
		}
	})
}

// host lets clients into all namespaces but those with an "x" in their name, and
// leaves those with a "y" undecided.
type host struct {
	t    *testing.T
	conn socketio.Conn
	in   map[string]bool
}

func (h *host) Connect(namespace string, auth []byte) {
	if h.in[namespace] || (len(auth) > 0 && auth[0] != '{') {
		h.t.Fatalf("connect to %q with %q", namespace, auth)
	}
	switch {
	case bytes.Contains([]byte(namespace), []byte("x")):
		h.conn.Leave(namespace)
	case bytes.Contains([]byte(namespace), []byte("y")):
	default:
		h.in[namespace] = true
		if !h.conn.Accept(namespace, member{h, namespace}) {
			h.t.Fatalf("the request for %q is gone while it is made", namespace)
		}
	}
}

// maxHeld is the longest packet a host takes.
const maxHeld = 64

func (h *host) MaxPacket() int { return maxHeld }

type member struct {
	*host
	namespace string
}

func (m member) check(args []byte) {
	if !m.in[m.namespace] || len(args) == 0 || args[0] != '[' {
		m.t.Fatalf("%q hears %q", m.namespace, args)
	}
}

func (m member) Event(e socketio.Incoming) {
	m.check(e.Args)
	if len(e.Attachments) > 10 {
		m.t.Fatalf("%d attachments", len(e.Attachments))
	}
	switch e.Name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		m.t.Fatalf("reserved event %q", e.Name)
	}
}

func (m member) Answered(_ uint64, args []byte, _ [][]byte) { m.check(args) }

func (m member) Left() {
	if !m.in[m.namespace] {
		m.t.Fatalf("%q left twice", m.namespace)
	}
	m.in[m.namespace] = false
}
