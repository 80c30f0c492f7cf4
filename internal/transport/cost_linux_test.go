package transport_test

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
	"github.com/streamweir/weir/internal/wire/ws"
)

// idleBudget is this package's share, in bytes, of the 1.2 KB that an idle Socket.IO connection may cost in all
// packages together (architecture.md D4).
const idleBudget = 112

func TestIdleConnectionKeepsItsSize(t *testing.T) {
	socket, stream := unsafe.Sizeof(transport.WebSocket{}), transport.EpollConnSize
	if socket+stream > idleBudget {
		t.Errorf("WebSocket of %d bytes and stream of %d, together more than %d", socket, stream, idleBudget)
	}
}

// What came with the handshake, in pieces, and with a ping is forgotten when it is dealt with.
func TestIdleConnectionHoldsNothingOfItsPast(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	text := string(masked(ws.Text, "in two pieces"))
	conn := p.dial(upgradeHead("") + text[:9])
	e := <-p.ends
	bare := func() (is bool) {
		e.loop.Do(func() { is = e.socket.Bare() })
		return is
	}
	if bare() {
		t.Error("a message under way is held by nobody")
	}
	p.write(conn, text[9:])
	e.wantMessage("text", "in two pieces")
	if !bare() {
		t.Error("a message that has come is held")
	}
	p.write(conn, string(masked(ws.Ping, "still there?")))
	<-e.room
	e.loop.Do(func() {
		if _, err := e.socket.Write(e.socket.Control(nil)); err != nil {
			t.Error(err)
		}
	})
	if !bare() {
		t.Error("a ping that was answered is held")
	}
}

// deafEar is a receiver that keeps nothing.
type deafEar struct{}

func (deafEar) Message([]byte, bool) error { return nil }
func (deafEar) Writable()                  {}
func (deafEar) Closed(base.Cause, error)   {}

func TestWebSocketReadDoesNotAllocate(t *testing.T) {
	loop := looptest.NewPolling(t, realTime())
	server, client := tcpPair(t)
	w, err := transport.NewDriver().WebSocket(transport.Upgraded{Conn: server},
		&transport.WebSocketOptions{Loop: loop, Poller: loop.Poller, Now: realTime(), Limit: testLimit})
	if err != nil {
		t.Fatal(err)
	}
	frame := masked(ws.Text, `42["order",{"id":1}]`)
	batch := bytes.Repeat(frame, 16)
	loop.Do(func() {
		w.Start(deafEar{})
		buf := make([]byte, len(batch))
		if got := testing.AllocsPerRun(200, func() { w.Receive(buf[:copy(buf, batch)]) }); got != 0 {
			t.Errorf("%v allocations for a batch of %d messages", got, len(batch)/len(frame))
		}
		w.Abort()
	})
	newReader(client).wantEOF(t)
}
