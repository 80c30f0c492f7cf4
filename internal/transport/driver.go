package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/turns"
)

// Driver owns the goroutines and descriptors of websocket connections. Its
// methods may be called from any goroutine.
type Driver struct {
	quit chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	open   map[*goConn]struct{}

	wg sync.WaitGroup // Add only under mu while not closed
}

// ErrClosed is returned for connections brought to a closed driver or server.
var ErrClosed = errors.New("transport: closed")

// NewDriver returns a driver; Close ends it.
func NewDriver() *Driver {
	return &Driver{quit: make(chan struct{}), open: map[*goConn]struct{}{}}
}

// WebSocketOptions are what all websockets of one server on one loop have in common. Each holds the pointer: they are
// not changed once a connection has them.
type WebSocketOptions struct {
	Loop   base.Loop
	Now    func() int64 // the loop's clock, monotonic nanoseconds
	Limit  int          // longest message in bytes, fragments together
	Poller *Poller      // of the loop: cleartext connections are held by it; nil: by goroutines
	Turns  *turns.Turns // of the loop: bound what is dealt with in one step; nil: no bound
	Hold   func(int)    // told how many bytes more, or less, are kept of messages still incomplete; nil: nobody asks

	Pings *atomic.Uint64 // counts the ping frames of peers; nil: nobody asks
}

// WebSocket takes over a connection. Nothing is read before Start. When the driver is closed, the connection is closed
// and ErrClosed returned.
func (d *Driver) WebSocket(u Upgraded, o *WebSocketOptions) (*WebSocket, error) {
	s, err := d.conn(u, o)
	if err != nil {
		return nil, fmt.Errorf("take over websocket of %v: %w", u.Conn.RemoteAddr(), err)
	}
	w := newWebSocket(s, o)
	w.deflates = u.Deflate
	return w, nil
}

// conn is a poller's, which is its session's to end and not the driver's, or one with a goroutine.
func (d *Driver) conn(u Upgraded, o *WebSocketOptions) (conn, error) {
	polled := o.Poller != nil && isCleartext(u.Conn)
	if polled && d.enter() {
		defer d.leave()
		return adopt(u, o.Poller)
	}
	if !polled {
		if s := newGoConn(d, u, o.Loop); d.register(s) {
			return s, nil
		}
	}
	closeNow(u.Conn)
	return nil, ErrClosed
}

// register has Close close a connection; false means that it is too late.
func (d *Driver) register(s *goConn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.open[s] = struct{}{}
	}
	return !d.closed
}

// Close closes every connection at once and waits for the driver's goroutines.
// Connections that have been started still report their end to their loops.
// Idempotent.
func (d *Driver) Close() {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.quit)
		for s := range d.open {
			closeNow(s.conn)
		}
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// enter counts a goroutine about to start; false means that it must not.
func (d *Driver) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.wg.Add(1)
	return true
}

func (d *Driver) leave() { d.wg.Done() }

func (d *Driver) forget(s *goConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, s)
}

// isCleartext reports whether the bytes given to conn are those on the wire.
func isCleartext(conn net.Conn) bool {
	_, ok := conn.(*net.TCPConn)
	return ok
}

// tcpOf is the TCP connection below conn, or nil: of TLS the one inside, of
// anything else that is wrapped none, as the wrapper would be bypassed.
func tcpOf(conn net.Conn) *net.TCPConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*cipherConn); ok {
		conn = c.Conn
	}
	if c, ok := conn.(*proxiedConn); ok {
		conn = c.Conn
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

// closeNow closes the descriptor without waiting: a TLS connection would send
// an alert first, for up to five seconds.
func closeNow(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close() // closed before: nothing to do
}
