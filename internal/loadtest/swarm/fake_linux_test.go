package swarm_test

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/wire/ws"
)

// fake is a server that does what a test says, right or wrong. By default it lets everybody into /feed and answers
// every subscribe request, and every other event with an ack id, with {"ok":true}.
type fake struct {
	t        testing.TB
	listener *net.TCPListener
	serving  sync.WaitGroup

	refuse  func(c *fakeConn) string           // answer to a handshake instead of 101; "" for none
	connect string                             // answer to CONNECT instead of the usual; "" for none
	answer  func(c *fakeConn, id, name string) // to an event instead of {"ok":true}

	overhear func(text string) // every text of every client

	mu       sync.Mutex
	attempts int
	members  []*fakeConn // ready ones, also those gone
	heard    []string    // texts that are neither pongs nor requests
	most     int         // of them in one read
	resets   int         // connections that ended with a RST
}

// fakeConn is the server's end of one connection.
type fakeConn struct {
	conn    *net.TCPConn
	dec     ws.Decoder
	server  *fake
	attempt int        // from 0
	mu      sync.Mutex // writes
}

// listen serves on a free loopback port until the test ends.
func listen(t testing.TB) *fake {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, listener: l}
	t.Cleanup(func() {
		_ = l.Close()
		f.serving.Wait()
	})
	return f
}

// serve accepts connections. It is called when the fields are set.
func (f *fake) serve() *fake {
	f.serving.Go(func() {
		for {
			conn, err := f.listener.AcceptTCP()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.attempts++
			c := &fakeConn{conn: conn, dec: ws.NewDecoder(1<<20, ws.Server), server: f, attempt: f.attempts - 1}
			f.mu.Unlock()
			f.serving.Go(c.run)
		}
	})
	return f
}

func (f *fake) url() string { return "http://" + f.listener.Addr().String() }

func (c *fakeConn) run() {
	defer func() { _ = c.conn.Close() }()
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(c.conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if c.server.refuse != nil {
		if answer := c.server.refuse(c); answer != "" {
			_, _ = c.conn.Write([]byte(answer))
			return
		}
	}
	c.write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		ws.Accept(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n"))
	c.say(`0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	for buf := make([]byte, 4096); ; {
		n, err := in.Read(buf)
		before, _ := c.server.said()
		if c.dec.Decode(buf[:n], c) != nil || err != nil {
			c.server.ended(err)
			return
		}
		c.server.heardAtOnce(len(before))
	}
}

// Control implements ws.Handler.
func (c *fakeConn) Control(op ws.Opcode, _ []byte) error {
	if op == ws.Close {
		return net.ErrClosed
	}
	return nil
}

// Message implements ws.Handler.
func (c *fakeConn) Message(_ ws.Opcode, payload []byte) error {
	text := string(payload)
	if c.server.overhear != nil {
		c.server.overhear(text)
	}
	rest, isEvent := strings.CutPrefix(text, "42/feed,")
	id, request, asks := strings.Cut(rest, `["`)
	name, _, _ := strings.Cut(request, `"`)
	switch {
	case strings.HasPrefix(text, "40/feed,"):
		c.join()
	case isEvent && asks && id != "":
		if name == "subscribe" {
			c.server.enter(c)
		}
		if c.server.answer != nil {
			c.server.answer(c, id, name)
			return nil
		}
		c.say("43/feed," + id + `[{"ok":true}]`)
	case text != "3":
		c.server.mu.Lock()
		c.server.heard = append(c.server.heard, text)
		c.server.mu.Unlock()
	}
	return nil
}

func (c *fakeConn) join() {
	answer := `40/feed,{"sid":"s"}`
	if c.server.connect != "" {
		answer = c.server.connect
	}
	c.say(answer)
}

func (f *fake) enter(c *fakeConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, c)
}

// say sends texts in one write.
func (c *fakeConn) say(texts ...string) {
	var b []byte
	for _, text := range texts {
		b = ws.AppendFrame(b, ws.Text, []byte(text))
	}
	c.write(b)
}

func (c *fakeConn) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.conn.Write(b) // who is gone is gone
}

// each calls f for everybody who has subscribed.
func (f *fake) each(do func(*fakeConn)) {
	f.mu.Lock()
	members := f.members
	f.mu.Unlock()
	for _, c := range members {
		do(c)
	}
}

// deliver sends the numbers to everybody.
func (f *fake) deliver(numbers ...int) {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = `42/feed,["load",` + string(message(n)) + `]`
	}
	f.each(func(c *fakeConn) { c.say(texts...) })
}

// heardAtOnce notes what one read has brought; before is how much was heard before it.
func (f *fake) heardAtOnce(before int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most = max(f.most, len(f.heard)-before)
}

func (f *fake) ended(err error) {
	if !errors.Is(err, unix.ECONNRESET) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resets++
}

// said is what clients have said so far, and how many have begun.
func (f *fake) said() (texts []string, attempts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.heard...), f.attempts
}
