package peer_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/ws"
)

// patience bounds every wait of these tests; no test depends on how long one takes.
const patience = 30 * time.Second

// mount runs a Weir that owns no port until the test ends.
func mount(t *testing.T, o weir.Options, setup func(*weir.Server)) *weir.Server {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	o.Drain = weir.DrainOptions{ClientsPerSecond: 1 << 20, Timeout: time.Second}
	srv, err := weir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if setup != nil {
		setup(srv)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	return srv
}

func dial(t *testing.T, url, namespace string, o peer.Options) *peer.Conn {
	t.Helper()
	c, err := tryDial(t, url, namespace, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

func tryDial(t *testing.T, url, namespace string, o peer.Options) (*peer.Conn, error) {
	t.Helper()
	target, err := peer.ParseTarget(url, namespace)
	if err != nil {
		t.Fatal(err)
	}
	o.Timeout = patience
	return peer.Dial(t.Context(), target, o)
}

// scripted is a server for one client at a time, whose every step a test decides.
type scripted struct {
	t        *testing.T
	listener net.Listener
	serving  sync.WaitGroup
}

// script listens on a free loopback port and serves each connection with f until the test ends.
func script(t *testing.T, f func(*line)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{t: t, listener: l}
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(patience))
				f(&line{t: t, conn: conn, in: bufio.NewReader(conn), dec: ws.NewDecoder(1<<20, ws.Server)})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.serving.Wait()
	})
	return s
}

func (s *scripted) url() string { return "http://" + s.listener.Addr().String() }

// line is the server's end of one connection.
type line struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	dec  ws.Decoder
	got  []string
}

// Message implements ws.Handler.
func (l *line) Message(_ ws.Opcode, payload []byte) error {
	l.got = append(l.got, string(payload))
	return nil
}

// Control implements ws.Handler.
func (l *line) Control(op ws.Opcode, payload []byte) error {
	l.got = append(l.got, map[ws.Opcode]string{ws.Close: "close ", ws.Ping: "ping ", ws.Pong: "pong "}[op]+string(payload))
	return nil
}

// request reads the opening handshake and returns the answer that accepts it.
func (l *line) request() []byte {
	r, err := http.ReadRequest(l.in)
	if err != nil {
		l.t.Errorf("read the request: %v", err)
		return nil
	}
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		ws.Accept(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
}

// join takes the client up to its place in the root namespace.
func (l *line) join() {
	l.write(append(l.request(), frames(openPacket)...))
	l.expect("40")
	l.send(`40{"sid":"s1"}`)
}

func (l *line) send(texts ...string) { l.write(frames(texts...)) }

func (l *line) write(b []byte) {
	if _, err := l.conn.Write(b); err != nil {
		l.t.Errorf("write: %v", err)
	}
}

// next is the client's next message; "" at the end.
func (l *line) next() string {
	buf := make([]byte, 4096)
	for len(l.got) == 0 {
		n, err := l.in.Read(buf)
		if derr := l.dec.Decode(buf[:n], l); derr != nil {
			l.t.Errorf("the client's frames: %v", derr)
			return ""
		}
		if err != nil && len(l.got) == 0 {
			return ""
		}
	}
	first := l.got[0]
	l.got = l.got[1:]
	return first
}

func (l *line) expect(want string) {
	if got := l.next(); got != want {
		l.t.Errorf("the client said %q, want %q", got, want)
	}
}
