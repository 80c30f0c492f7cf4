package peer_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/ws"
)

// FuzzMachineReceive: whatever a server sends, in place of its answer or after a good one, and however it is cut, a
// Machine does not panic, says the same, and holds little more than it was given.
func FuzzMachineReceive(f *testing.F) {
	good := frames(openPacket, `40/feed,{"sid":"s"}`, "2", `42/feed,["a",1]`, `451-/feed,["b",{"_placeholder":true,"num":0}]`)
	f.Add(true, uint16(1), good)
	f.Add(true, uint16(7), ws.AppendClose(slices.Clone(good), ws.GoingAway, "x"))
	f.Add(true, uint16(3), frames(openPacket, `44/feed,{"message":"no"}`))
	f.Add(true, uint16(100), frames(openPacket, `40/feed,{"sid":"s"}`, "41/feed,"))
	f.Add(false, uint16(5), []byte("HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add(false, uint16(5), []byte("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: x\r\n\r\n"))
	f.Add(false, uint16(2), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, accepted bool, size uint16, b []byte) {
		whole, inWhole := run(t, accepted, b, len(b)+1<<10)
		cut, inPieces := run(t, accepted, b, int(size)+1)
		if inWhole != inPieces {
			t.Errorf("whole: %q, in pieces of %d: %q", inWhole, size+1, inPieces)
		}
		if !slices.Equal(whole.lines, cut.lines) {
			t.Errorf("whole: %q, in pieces of %d: %q", whole.lines, size+1, cut.lines)
		}
	})
}

// run feeds a new Machine to the end and returns what it said and how it ended.
func run(t *testing.T, accepted bool, b []byte, size int) (*journal, string) {
	m, answer := begin(t, "/feed")
	if accepted {
		b = append(answer, b...)
	}
	j := &journal{}
	err := feed(m, j, b, size)
	if held, most := m.Held(), 2*len(b)+2*ws.MaxControlPayload+64; held > most {
		t.Errorf("%d bytes held of %d", held, len(b))
	}
	if err == nil {
		err = m.End()
	}
	var refused *peer.StatusError
	if !accepted && !errors.As(err, &refused) {
		return j, "no answer" // the text quotes what had come, and the key, which is another each time
	}
	return j, err.Error()
}
