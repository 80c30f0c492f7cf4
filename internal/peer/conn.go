package peer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// Stalled is the read rate of a client that does not read at all.
const Stalled = -1

const (
	defaultTimeout = 10 * time.Second
	farewell       = time.Second // for the last write of Close
	readSize       = 16 << 10    // bytes of one read
)

// Options shape a [Conn]. The zero value is a client like any other.
type Options struct {
	ReceiveBuffer int           // SO_RCVBUF in bytes, set before the connection is made; 0: the kernel's
	Source        netip.Addr    // address to come from; none, or one the system cannot connect from: the system's choice
	ReadRate      int           // bytes a second, once in the namespace; 0: as they come; Stalled: never
	TLS           *tls.Config   // for https and wss; nil: verified by the system's roots
	Timeout       time.Duration // from connecting until in the namespace, and for each write; 0: 10 s
	MaxMessage    int           // longest message accepted in bytes; 0: DefaultMaxMessage

	// Dial connects instead of TCP, for which ReceiveBuffer and Source are; tests use it.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Conn is a blocking client in a namespace. It has no goroutine of its own: whoever is in Read reads for all, and as
// long as nobody is, whoever is in Ask. A client that does neither answers no pings and is closed by the server.
//
// Any goroutine may call any method. Emit, Ask and Answer are sent in the order they get hold of the connection. After
// the first error of the connection, which Read returns, everything fails.
type Conn struct {
	script  *Script
	timeout time.Duration
	wire    *paced
	conn    net.Conn // wire, or TLS on it

	turn    chan struct{} // capacity 1: full while somebody reads
	machine Machine       // the reader's, with all up to the blank line
	buf     []byte
	sid     string
	name    string // of the last event: most are of one name
	on      func(Event) error
	stop    error  // of on
	kept    []kept // events nobody has read, in order

	writing sync.Mutex // held over writes
	out     []byte

	mu     sync.Mutex
	lastID uint64
	asked  map[uint64]chan json.RawMessage
	err    error         // why it is over
	over   chan struct{} // closed with err
}

// Dial connects to a target and joins its namespace. ctx bounds that, as Options.Timeout does. The error says what the
// server answered: see [Machine.Receive].
func Dial(ctx context.Context, t Target, o Options) (*Conn, error) {
	script, err := t.Script(o.MaxMessage)
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	raw, err := o.connect(ctx, t.Address())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &Conn{
		script: script, timeout: o.Timeout, wire: newPaced(raw), machine: NewMachine(script), buf: make([]byte, readSize),
		turn: make(chan struct{}, 1), asked: map[uint64]chan json.RawMessage{}, over: make(chan struct{}),
	}
	c.conn = c.wire
	if err := c.join(ctx, t, o.TLS); err != nil {
		_ = raw.Close() // the error that counts is err
		return nil, fmt.Errorf("join %s at %s: %w", script.namespace, t.Address(), err)
	}
	c.wire.setRate(o.ReadRate)
	return c, nil
}

func (o *Options) connect(ctx context.Context, address string) (net.Conn, error) {
	if o.Dial != nil {
		return o.Dial(ctx, address)
	}
	plain := net.Dialer{Control: receiveBuffer(o.ReceiveBuffer)}
	if o.Source.IsValid() {
		from := plain
		from.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Source, 0))
		if conn, err := from.DialContext(ctx, "tcp", address); err == nil {
			return conn, nil
		}
	}
	return plain.DialContext(ctx, "tcp", address)
}

// join runs the handshakes of TLS, websocket, Engine.IO and Socket.IO.
func (c *Conn) join(ctx context.Context, t Target, config *tls.Config) error {
	if t.Secure() {
		config = config.Clone()
		if config == nil {
			config = &tls.Config{}
		}
		if config.ServerName == "" {
			config.ServerName = t.URL.Hostname()
		}
		secure := tls.Client(c.wire, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.conn = secure
	}
	if err := c.write(c.machine.Begin(nil)); err != nil {
		return err
	}
	return c.readUntil(ctx, c.machine.Ready)
}

// SID is the id of the client's socket, by which the server knows it.
func (c *Conn) SID() string { return c.sid }

// Emit sends an event. The arguments are JSON.
func (c *Conn) Emit(event string, args ...json.RawMessage) error {
	return c.sendEvent(sio.EventHeader{Namespace: c.script.namespace}, event, args)
}

// Ask sends an event and returns the arguments of the server's answer, a JSON array. Events that come while it is the
// one who reads are kept for Read; when a thousand are kept, or 1 MiB, it fails rather than keep more.
func (c *Conn) Ask(ctx context.Context, event string, args ...json.RawMessage) (json.RawMessage, error) {
	id, answer := c.expect()
	defer c.forget(id)
	if err := c.sendEvent(sio.EventHeader{Namespace: c.script.namespace, ID: id, HasID: true}, event, args); err != nil {
		return nil, err
	}
	raw, err := c.await(ctx, answer)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", event, err)
	}
	return raw, nil
}

func (c *Conn) expect() (uint64, chan json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	answer := make(chan json.RawMessage, 1)
	c.asked[c.lastID] = answer
	return c.lastID, answer
}

func (c *Conn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, id)
}

// await waits for an answer, reading if nobody else does.
func (c *Conn) await(ctx context.Context, answer <-chan json.RawMessage) (json.RawMessage, error) {
	for {
		select {
		case raw := <-answer:
			return raw, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.over:
			select {
			case raw := <-answer: // it came before the end
				return raw, nil
			default:
				return nil, c.cause()
			}
		case c.turn <- struct{}{}:
			err := c.readUntil(ctx, func() bool { return len(answer) > 0 })
			<-c.turn
			if err != nil && len(answer) == 0 {
				return nil, err
			}
		}
	}
}

// Answer answers an event that asks. The arguments are JSON.
func (c *Conn) Answer(e Event, args ...json.RawMessage) error {
	if !e.Asks {
		return fmt.Errorf("the event %s asks for no answer", e.Name)
	}
	h := sio.EventHeader{Namespace: c.script.namespace, ID: e.ID, HasID: true}
	return c.sendText(sio.AppendAck([]byte{byte(eio.Message)}, h, raw(args)...))
}

// SetReadRate changes how fast the connection is read: bytes a second, 0 as they come, Stalled not at all. No event is
// given to anybody that comes after a stall has begun.
func (c *Conn) SetReadRate(bytesPerSecond int) { c.wire.setRate(max(bytesPerSecond, Stalled)) }

// Close leaves the namespace and closes the connection, without waiting for the server. Whoever reads returns without
// an error.
func (c *Conn) Close() error {
	if !c.fail(net.ErrClosed) {
		return nil
	}
	if c.writing.TryLock() { // else the connection is stuck in a write, and takes no farewell
		_ = c.conn.SetWriteDeadline(time.Now().Add(farewell))
		bye := appendFrame(nil, ws.Text, sio.AppendDisconnect([]byte{byte(eio.Message)}, c.script.namespace))
		bye = appendFrame(bye, ws.Close, ws.AppendClosePayload(nil, ws.NormalClosure, ""))
		_, _ = c.conn.Write(bye) // a courtesy
		c.writing.Unlock()
	}
	return c.wire.Close()
}

// fail ends the connection for the reason of err; false if it has ended before.
func (c *Conn) fail(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.err = err
	close(c.over)
	return true
}

// cause is why the connection is over.
func (c *Conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Conn) sendEvent(h sio.EventHeader, event string, args []json.RawMessage) error {
	all := append([][]byte{sio.AppendString(nil, event)}, raw(args)...)
	return c.sendText(sio.AppendEvent([]byte{byte(eio.Message)}, h, all...))
}

func raw(args []json.RawMessage) [][]byte {
	plain := make([][]byte, len(args))
	for i, a := range args {
		plain[i] = a
	}
	return plain
}

func (c *Conn) sendText(text []byte) error {
	if err := c.cause(); err != nil {
		return err
	}
	return c.send(ws.Text, text)
}

func (c *Conn) send(op ws.Opcode, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = appendFrame(c.out[:0], op, payload)
	err := c.write(c.out)
	if cap(c.out) > readSize {
		c.out = nil
	}
	return err
}

// appendFrame masks with a random key (RFC 6455 5.3).
func appendFrame(dst []byte, op ws.Opcode, payload []byte) []byte {
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	return ws.AppendMasked(dst, op, key, payload)
}

// write ends the connection if it fails: a part of a frame may be on its way.
func (c *Conn) write(b []byte) error {
	err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	if err == nil {
		_, err = c.conn.Write(b)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the server takes nothing for %v: %w", c.timeout, err)
	}
	c.end(err)
	return c.cause()
}

// end is fail and the connection closed.
func (c *Conn) end(err error) {
	if c.fail(err) {
		_ = c.wire.Close() // err is what counts
	}
}
