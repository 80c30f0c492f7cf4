package loadtest_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// faults are what a server does wrong.
type faults struct {
	dropEvery int           // leave out every nth message
	swap      int           // send message n after n+1, once
	twice     int           // send message n twice
	stall     time.Duration // at the beginning of each second, do nothing for so long
	forgets   time.Duration // take so long for each message, and forget those of a client that has left
	deaf      bool          // publishes are taken and go nowhere
	answers   string        // to subscribe; "" is {"ok":true}
}

// server is a small Socket.IO server: a topic is an event everybody gets, an event that asks is answered.
type server struct {
	t      *testing.T
	url    string
	faults faults
	feed   chan publication
	end    chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[*session]struct{}

	accepted atomic.Int64
}

// publication is a payload and whose it is; nil: the test's.
type publication struct {
	payload []byte
	from    *session
}

func (s *server) publish(payload []byte) { s.feed <- publication{payload: payload} }

// session is one client.
type session struct {
	server *server
	conn   net.Conn
	events bool // it has subscribed

	writing sync.Mutex
}

func serve(t *testing.T, f faults) *server { return serveOn(t, f, listen(t), "http") }

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serveTLS returns the server and what its clients have to trust.
func serveTLS(t *testing.T, f faults) (*server, *tls.Config) {
	t.Helper()
	helper := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(helper.Close)
	config := &tls.Config{Certificates: helper.TLS.Certificates}
	roots := helper.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return serveOn(t, f, tls.NewListener(listen(t), config), "https"), &tls.Config{RootCAs: roots}
}

func serveOn(t *testing.T, f faults, l net.Listener, scheme string) *server {
	s := &server{
		t: t, url: scheme + "://" + l.Addr().String(), faults: f,
		feed: make(chan publication, 1<<16), end: make(chan struct{}), conns: map[*session]struct{}{},
	}
	s.wg.Go(func() { s.accept(l) })
	s.wg.Go(s.broadcast)
	t.Cleanup(func() {
		close(s.end)
		_ = l.Close()
		s.cutAll()
		s.wg.Wait()
	})
	return s
}

func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.wg.Go(func() { s.talk(c) })
	}
}

// cutAll closes every connection without a word.
func (s *server) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.conn.Close()
	}
}

func (s *server) talk(c net.Conn) {
	defer c.Close() //nolint:errcheck // the client's test
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	p := &session{server: s, conn: c}
	s.mu.Lock()
	s.conns[p] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, p)
		s.mu.Unlock()
	}()
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		ws.Accept(r.Header.Get("Sec-WebSocket-Key")))
	p.send(`0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	decoder := ws.NewDecoder(1<<20, ws.Server)
	buf := make([]byte, 16<<10)
	for {
		n, err := in.Read(buf)
		if err == nil {
			err = decoder.Decode(buf[:n], p)
		}
		if err != nil {
			return
		}
	}
}

func (p *session) send(text string) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_, _ = p.conn.Write(ws.AppendFrame(nil, ws.Text, []byte(text))) // the reader sees the end
}

func (p *session) Control(op ws.Opcode, _ []byte) error {
	if op == ws.Close {
		return io.EOF
	}
	return nil
}

// Message takes a packet of the client.
func (p *session) Message(_ ws.Opcode, text []byte) error {
	if len(text) < 2 || text[0] != '4' {
		return nil
	}
	packet, err := sio.Parse(text[1:])
	if err != nil {
		return err
	}
	switch packet.Type {
	case sio.Connect:
		p.send(`40{"sid":"y"}`)
	case sio.Event:
		p.event(packet)
	case sio.Disconnect:
		return errors.New("bye")
	}
	return nil
}

func (p *session) event(packet sio.Packet) {
	args := sio.SplitArgs(packet.Data, nil)
	answer := `{"ok":true}`
	switch string(args[0]) {
	case `"subscribe"`:
		p.server.mu.Lock()
		p.events = true
		p.server.mu.Unlock()
		if p.server.faults.answers != "" {
			answer = p.server.faults.answers
		}
	case `"publish"`:
		payload := args[1][len(`{"topic":"tick","payload":`) : len(args[1])-1]
		p.server.feed <- publication{append([]byte(nil), payload...), p}
	}
	if packet.HasID {
		p.send(fmt.Sprintf("43%d[%s]", packet.ID, answer))
	}
}

// broadcast passes on what is published, with the faults.
func (s *server) broadcast() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var held []byte
	for n := 0; ; n++ {
		var next publication
		select {
		case next = <-s.feed:
		case <-s.end:
			return
		}
		payload := next.payload
		if s.faults.forgets > 0 {
			<-time.After(s.faults.forgets)
			if !s.has(next.from) {
				continue
			}
		}
		select {
		case <-second.C:
			<-time.After(s.faults.stall)
		default:
		}
		switch f := s.faults; {
		case f.deaf, f.dropEvery > 0 && n%f.dropEvery == f.dropEvery-1:
		case f.swap > 0 && n == f.swap:
			held = payload
		case f.twice > 0 && n == f.twice:
			s.toAll(payload, payload)
		case held != nil:
			s.toAll(payload, held)
			held = nil
		default:
			s.toAll(payload)
		}
	}
}

func (s *server) has(p *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.conns[p]
	return ok
}

func (s *server) toAll(payloads ...[]byte) {
	s.mu.Lock()
	var to []*session
	for p := range s.conns {
		if p.events {
			to = append(to, p)
		}
	}
	s.mu.Unlock()
	for _, payload := range payloads {
		for _, p := range to {
			p.send(`42["tick",` + string(payload) + `]`)
		}
	}
}
