package transport_test

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/ws"
)

func option(t *testing.T, conn net.Conn, name int) (value int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	control := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name) })
	if control != nil || err != nil {
		t.Fatal(control, err)
	}
	return value
}

func TestListenerTunesConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &transport.Listener{Listener: inner, Options: transport.TCPOptions{NotSentLowat: 4096, UserTimeout: 45 * time.Second}}
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	for name, want := range map[int]int{unix.TCP_NOTSENT_LOWAT: 4096, unix.TCP_USER_TIMEOUT: 45_000, unix.TCP_NODELAY: 1} {
		if got := option(t, server, name); got != want {
			t.Errorf("option %d is %d, want %d", name, got, want)
		}
	}
}

func TestTuneReachesTheConnectionInsideTLS(t *testing.T) {
	server, client := tlsPair(t)
	defer func() { _ = client.Close() }()
	defer func() { _ = server.Close() }()
	if err := (transport.TCPOptions{NotSentLowat: 5000}).Tune(server); err != nil {
		t.Fatal(err)
	}
	inner := server.(interface{ NetConn() net.Conn }).NetConn()
	if got := option(t, inner, unix.TCP_NOTSENT_LOWAT); got != 5000 {
		t.Errorf("TCP_NOTSENT_LOWAT %d", got)
	}
}

// Promise P2: a peer that does not read leaves little in the kernel, and all of
// what was given is in the figures.
func TestKernelHoldsLittleForAPeerThatDoesNotRead(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		if err := (transport.TCPOptions{NotSentLowat: 4096}).Tune(server); err != nil {
			t.Fatal(err)
		}
		e := d.connect(t, server, client)
		frame := ws.AppendFrame(nil, ws.Binary, bytes.Repeat([]byte("k"), 1000))
		given := 0
		fill := func() {
			for e.socket.Window() > 0 {
				n, err := e.socket.Write(frame)
				if err != nil {
					t.Fatal(err)
				}
				given += n
			}
		}
		var p transport.Progress
		for calm := false; !calm; { // until the peer's buffer is full too
			e.loop.Do(func() {
				before := given
				fill()
				p = e.socket.Progress()
				calm = given == before && p.Left == p.Taken && p.Left < p.Given
			})
		}
		if p.Given != int64(given) || p.Given-p.Left > 68<<10 {
			t.Errorf("progress %+v of %d bytes given", p, given)
		}
		e.loop.Do(func() {
			if k, ok := e.socket.Kernel(); !ok || k.Unsent > 68<<10 || k.NotSent > k.Unsent || k.RTT <= 0 {
				t.Errorf("kernel %+v, %v", k, ok)
			}
		})
	})
}

func TestProgressIsCompleteWhenThePeersKernelHasEverything(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		e := d.connect(t, server, client)
		frame := ws.AppendFrame(nil, ws.Text, []byte("2"))
		e.write(frame)
		want := transport.Progress{Given: int64(len(frame)), Left: int64(len(frame)), Taken: int64(len(frame))}
		for got := (transport.Progress{}); got != want; {
			e.loop.Do(func() { got = e.socket.Progress() })
			if got.Given != want.Given {
				t.Fatalf("progress %+v, want %+v", got, want)
			}
		}
	})
}
