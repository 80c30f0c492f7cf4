package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/streamweir/weir/internal/base"
)

// Driver owns the goroutines and descriptors of websocket connections. Its
// methods may be called from any goroutine.
type Driver struct {
	quit chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	open   map[*goStream]struct{}

	wg sync.WaitGroup // Add only under mu while not closed
}

// ErrClosed is returned for connections brought to a closed driver or server.
var ErrClosed = errors.New("transport: closed")

// NewDriver returns a driver; Close ends it.
func NewDriver() *Driver {
	return &Driver{quit: make(chan struct{}), open: map[*goStream]struct{}{}}
}

// WebSocketOptions are what a connection needs to know besides its Receiver.
type WebSocketOptions struct {
	Loop    base.Loop
	Now     func() int64 // the loop's clock, monotonic nanoseconds
	Limit   int          // longest message in bytes, fragments together
	Poller  *Poller      // of the loop: cleartext connections are held by it; nil: by goroutines
	Deflate bool         // permessage-deflate is agreed
	Hold    func(int)    // told how many bytes more, or less, are kept of messages still incomplete; nil: nobody asks
}

// WebSocket takes over conn, whose opening handshake is done, and buffered,
// the bytes already read from it. Nothing is read before Start. When the driver is
// closed, conn is closed and ErrClosed returned.
func (d *Driver) WebSocket(conn net.Conn, buffered []byte, o WebSocketOptions) (*WebSocket, error) {
	if o.Poller != nil && isCleartext(conn) {
		return d.adopt(conn, buffered, o)
	}
	s := &goStream{
		driver: d,
		loop:   o.Loop,
		conn:   conn,
		sock:   newSocket(conn),
		turn:   make(chan struct{}, 1),
	}
	if len(buffered) > 0 {
		s.batch = &buffer{data: buffered}
	}
	s.direct = s.sock != nil && isCleartext(conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		closeNow(conn)
		return nil, fmt.Errorf("take over websocket of %v: %w", conn.RemoteAddr(), ErrClosed)
	}
	d.open[s] = struct{}{}
	return newWebSocket(s, o), nil
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

func (d *Driver) forget(s *goStream) {
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
