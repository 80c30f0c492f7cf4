package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/wire/ws"
)

// Namespace is the one the benchmarks' servers serve.
const Namespace = "/feed"

const (
	setupTimeout = 20 * time.Second // for each step until a client is subscribed
	maxMessage   = 1 << 20          // bytes
	subscribeID  = 7                // Socket.IO ack id of a subscribe request
)

// nonce is every client's Sec-WebSocket-Key: loopback has no cache to fool (RFC 6455 1.3).
const nonce = "c3RyZWFtd2Vpci1iZW5jaA=="

// The Engine.IO packets a client meets after the handshake (protocol.md 1.3), and Socket.IO's answers by their
// beginnings.
var (
	ping       = []byte("2")
	pong       = []byte("3")
	opened     = []byte("0{")
	connected  = []byte("40" + Namespace + ",")
	subscribed = fmt.Appendf(nil, "43%s,%d[", Namespace, subscribeID)
	accepted   = []byte(`"ok":true`)
)

// Options shape a client's connection.
type Options struct {
	ReceiveBuffer int // SO_RCVBUF in bytes; 0 = the kernel's
	ReadBytes     int // largest read; 0 = 4 KiB
	ReadRate      int // bytes a second the client reads at most; 0 = as fast as they come
}

// Client is one connection that has joined Namespace. One goroutine may read (Subscribe, Read) while others write (Emit,
// Write). Close may be called at any time.
type Client struct {
	conn net.Conn
	opts Options
	dec  ws.Decoder
	buf  []byte
	on   func(text []byte) error

	mu  sync.Mutex // writes
	out []byte
}

// Dial connects to a server's address and joins the namespace.
func Dial(address string, o Options) (*Client, error) {
	conn, err := net.DialTimeout("tcp", address, setupTimeout)
	if err != nil {
		return nil, err
	}
	if o.ReadBytes == 0 {
		o.ReadBytes = 4 << 10
	}
	c := &Client{conn: conn, opts: o, dec: ws.NewDecoder(maxMessage, ws.Client), buf: make([]byte, o.ReadBytes)}
	if err := c.join(address); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *Client) join(address string) error {
	if c.opts.ReceiveBuffer > 0 {
		if err := c.conn.(*net.TCPConn).SetReadBuffer(c.opts.ReceiveBuffer); err != nil {
			return err
		}
	}
	if err := c.upgrade(address); err != nil {
		return err
	}
	if err := c.await("open packet", opened); err != nil {
		return err
	}
	if err := c.Write(connected); err != nil {
		return err
	}
	return c.await("CONNECT", connected)
}

// upgrade is the opening handshake. The answer's header is read byte by byte: what follows it is the decoder's.
func (c *Client) upgrade(address string) error {
	_, err := fmt.Fprintf(c.conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", address, nonce)
	if err != nil {
		return fmt.Errorf("send websocket handshake: %w", err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(setupTimeout)); err != nil {
		return err
	}
	var answer []byte
	for one := make([]byte, 1); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); answer = append(answer, one[0]) {
		if _, err := io.ReadFull(c.conn, one); err != nil {
			return fmt.Errorf("read websocket handshake: %w", err)
		}
	}
	want := fmt.Sprintf("HTTP/1.1 %d", http.StatusSwitchingProtocols)
	if !bytes.HasPrefix(answer, []byte(want)) || !bytes.Contains(answer, []byte(ws.Accept(nonce))) {
		return fmt.Errorf("websocket handshake answered %.200q", answer)
	}
	return nil
}

// Subscribe asks for a topic and waits for the answer. Messages of topics asked for before are lost to Read meanwhile:
// subscribe before anything is published.
func (c *Client) Subscribe(topic string) error {
	if err := c.Write(fmt.Appendf(nil, `42%s,%d["subscribe",{"topic":%q}]`, Namespace, subscribeID, topic)); err != nil {
		return err
	}
	return c.await("subscribe "+topic, subscribed, accepted)
}

// await reads until a message that begins with prefix, and checks that it contains each of want.
func (c *Client) await(what string, prefix []byte, want ...[]byte) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(setupTimeout)); err != nil {
		return err
	}
	found := false
	c.on = func(text []byte) error {
		if found || !bytes.HasPrefix(text, prefix) {
			return nil
		}
		found = true
		for _, w := range want {
			if !bytes.Contains(text, w) {
				return fmt.Errorf("answered %.200q", text)
			}
		}
		return nil
	}
	for !found {
		if _, err := c.step(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return c.conn.SetReadDeadline(time.Time{})
}

// Read calls on for every text message until the connection ends, on returns an error, or Close is called, which is no
// error. Pings are answered on the way. text is valid during the call only.
func (c *Client) Read(on func(text []byte) error) error {
	c.on = on
	p := newPace(c.opts.ReadRate)
	for {
		n, err := c.step()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		p.took(n)
	}
}

// step is one read of the socket.
func (c *Client) step() (int, error) {
	n, err := c.conn.Read(c.buf)
	if derr := c.dec.Decode(c.buf[:n], c); derr != nil {
		return n, derr
	}
	return n, err
}

// Message implements ws.Handler.
func (c *Client) Message(op ws.Opcode, payload []byte) error {
	switch {
	case op != ws.Text:
		return fmt.Errorf("a binary message of %d bytes, which no benchmark publishes", len(payload))
	case bytes.Equal(payload, ping):
		return c.Write(pong)
	}
	return c.on(payload)
}

// Control implements ws.Handler.
func (c *Client) Control(op ws.Opcode, payload []byte) error {
	if op == ws.Close {
		return fmt.Errorf("the server closed the connection: close frame %q", payload)
	}
	return nil
}

// Write sends text messages in one write.
func (c *Client) Write(texts ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = c.out[:0]
	for _, t := range texts {
		c.out = ws.AppendMasked(c.out, ws.Text, [4]byte{1, 2, 3, 4}, t)
	}
	_, err := c.conn.Write(c.out)
	return err
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
