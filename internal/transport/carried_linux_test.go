package transport_test

import (
	"net"
	"testing"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
)

// What is on its way to a loop that ends first has an owner too: the loop's poller.
func TestDescriptorsOnTheirWayToALoopThatHasEndedAreClosed(t *testing.T) {
	before := descriptors(t)
	first := looptest.NewPolling(t, realTime())
	gone := nowhere{make(chan struct{})}
	second := transport.NewPoller(realTime())
	if err := second.Open(gone); err != nil {
		t.Fatal(err)
	}
	moved := make(chan struct{}, 2)
	in, err := transport.NewIntake(listen(t, "127.0.0.1:0"), []*transport.Poller{first.Poller, second}, transport.IntakeOptions{
		HeadTimeout: headTimeout,
		Arrive: func(a *transport.Arrival) {
			a.Move(1, func(*transport.Arrival) { t.Error("a task ran on no loop") })
			moved <- struct{}{}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Start()
	underway := speak(t, in.Addr().String(), upgradeHead(""))
	<-moved
	server, adopted := tcpPair(t)
	o := &transport.WebSocketOptions{Loop: gone, Now: realTime(), Limit: testLimit, Poller: second}
	if _, err := transport.NewDriver().WebSocket(transport.Upgraded{Conn: server}, o); err != nil {
		t.Fatal(err)
	}

	close(gone.done)
	second.Close()
	wantGone(t, underway)
	wantGone(t, adopted)
	late := speak(t, in.Addr().String(), upgradeHead("")) // moves when there is no poller any more
	<-moved
	wantGone(t, late)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	_, _, _ = underway.Close(), adopted.Close(), late.Close()
	wantNoMoreDescriptors(t, before)
}

// speak connects and writes.
func speak(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return conn
}
