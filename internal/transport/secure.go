package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// SecureOptions shape a Secure.
type SecureOptions struct {
	Config  *tls.Config   // of the server; it is cloned
	Timeout time.Duration // for a handshake, from the connection on
	// Max is how many handshakes may be under way. Beyond it new connections wait in the kernel, until one ends, or gives
	// way because its peer has said nothing for a second.
	Max int
	// Compute is how many of them may be worked on at the same time, so that a wave of clients leaves the loops their
	// share of the processors.
	Compute int
	// Failed, unless nil, is told of each handshake that failed, and the peer's address; called concurrently.
	Failed func(net.Addr, error)
}

// TLSEnd is how a TLS handshake ended.
type TLSEnd uint8

// How TLS handshakes end.
const (
	HandshakeDone    TLSEnd = iota
	HandshakeLate           // not done in time
	HandshakeGaveWay        // to newcomers, having said nothing for a second
	HandshakeClear          // the peer speaks HTTP without TLS, and was told
	HandshakeLeft           // the peer has gone
	HandshakeFailed         // anything else: versions, certificates, no TLS
	handshakeEnds
)

var handshakeNames = [handshakeEnds]string{"done", "timeout", "gave_way", "cleartext", "left", "failed"}

// TLSEnds are all of them.
func TLSEnds() iter.Seq[TLSEnd] {
	return func(yield func(TLSEnd) bool) {
		for h := range handshakeEnds {
			if !yield(h) {
				return
			}
		}
	}
}

func (h TLSEnd) String() string { return handshakeNames[h] }

// handshakePatience is how long a peer may say nothing while others wait for its place.
const handshakePatience = time.Second

// Secure is TLS on a listener: a net.Listener whose connections are *tls.Conn with their handshake done. It takes the
// listener over. Start it before Accept.
type Secure struct {
	net.Listener
	options SecureOptions
	config  *tls.Config
	ready   chan accepted
	places  chan struct{} // of handshakes under way
	compute chan struct{} // of those being worked on
	done    chan struct{} // closed by Close
	started bool
	ends    [handshakeEnds]atomic.Uint64

	mu     sync.Mutex
	closed bool
	open   map[*cipherConn]struct{} // with a handshake under way

	wg sync.WaitGroup // Add only under mu while not closed
}

type accepted struct {
	conn net.Conn
	err  error
}

// NewSecure returns TLS on ln.
func NewSecure(ln net.Listener, o SecureOptions) *Secure {
	s := &Secure{
		Listener: ln, options: o, config: o.Config.Clone(), ready: make(chan accepted), places: make(chan struct{}, o.Max),
		compute: make(chan struct{}, o.Compute), done: make(chan struct{}), open: map[*cipherConn]struct{}{},
	}
	own := s.config.GetConfigForClient
	s.config.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if c, ok := h.Conn.(*cipherConn); ok && !c.enter(s) {
			return nil, ErrClosed
		}
		if own == nil {
			return nil, nil
		}
		return own(h)
	}
	return s
}

// Ends is how many handshakes have ended in that way.
func (s *Secure) Ends(h TLSEnd) uint64 { return s.ends[h].Load() }

// Start begins to accept. Called once.
func (s *Secure) Start() {
	s.started = true
	s.wg.Add(1)
	go s.run()
}

// Accept returns the next connection whose handshake is done; it implements net.Listener.
func (s *Secure) Accept() (net.Conn, error) {
	select {
	case a := <-s.ready:
		return a.conn, a.err
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting, ends the handshakes under way and waits for them. Idempotent.
func (s *Secure) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
		for c := range s.open {
			_ = c.Close()
		}
	}
	s.mu.Unlock()
	err := s.Listener.Close()
	s.wg.Wait()
	return err
}

// run accepts until Close.
func (s *Secure) run() {
	defer s.wg.Done()
	for {
		conn, err := s.Listener.Accept()
		switch {
		case err != nil:
			if !s.hand(accepted{err: err}) {
				return
			}
		case !s.admit() || !s.begin(&cipherConn{Conn: conn}):
			_ = conn.Close()
			return
		}
	}
}

// hand gives a connection, or why there is none, to whoever accepts; false means that nobody will.
func (s *Secure) hand(a accepted) bool {
	select {
	case s.ready <- a:
		return true
	case <-s.done:
		return false
	}
}

// admit waits for a place; false means that there will be none.
func (s *Secure) admit() bool {
	for {
		select {
		case s.places <- struct{}{}:
			return true
		default:
		}
		again := time.NewTimer(s.makeRoom())
		select {
		case s.places <- struct{}{}:
			again.Stop()
			return true
		case <-again.C:
		case <-s.done:
			again.Stop()
			return false
		}
	}
}

// makeRoom ends the handshake whose peer has been silent longest if that is too long, and else returns when it is.
func (s *Secure) makeRoom() time.Duration {
	const soon = handshakePatience / 10 // places are also given back, which is not waited for here
	s.mu.Lock()
	defer s.mu.Unlock()
	var silent *cipherConn
	longest := time.Duration(0)
	for c := range s.open {
		if d := c.since.lasts(); d > longest {
			silent, longest = c, d
		}
	}
	if longest < handshakePatience {
		return max(handshakePatience-longest, soon)
	}
	silent.since.giveWay()
	_ = silent.Close()
	return soon
}

// begin starts a handshake, which has its place; false means that it is too late.
func (s *Secure) begin(c *cipherConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[c] = struct{}{}
	s.wg.Add(1)
	go s.runHandshake(c)
	return true
}

// runHandshake ends with the handshake, which the time-out, makeRoom or Close cut short, and when the connection is
// accepted.
func (s *Secure) runHandshake(c *cipherConn) {
	defer s.wg.Done()
	defer func() { <-s.places }()
	_ = c.SetDeadline(time.Now().Add(s.options.Timeout)) // it has ended, which the handshake meets too
	conn := tls.Server(c, s.config)
	err := conn.HandshakeContext(context.Background())
	c.yield()
	s.forget(c)
	if err != nil {
		s.failed(c, err)
		return
	}
	s.ends[HandshakeDone].Add(1)
	_ = c.SetDeadline(time.Time{})
	if !s.hand(accepted{conn: conn}) {
		_ = c.Close()
	}
}

func (s *Secure) forget(c *cipherConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// failed counts a handshake that failed, answers who speaks HTTP, and closes the connection.
func (s *Secure) failed(c *cipherConn, err error) {
	how := c.fate(err)
	s.ends[how].Add(1)
	if s.options.Failed != nil {
		s.options.Failed(c.RemoteAddr(), err)
	}
	if how == HandshakeClear {
		answerClear(c.Conn)
	}
	_ = c.Close()
}

// fate is how a handshake ended that failed.
func (c *cipherConn) fate(err error) TLSEnd {
	var notTLS tls.RecordHeaderError
	switch {
	case c.since.gaveWay():
		return HandshakeGaveWay
	case errors.Is(err, os.ErrDeadlineExceeded):
		return HandshakeLate
	case errors.As(err, &notTLS) && looksLikeHTTP(notTLS.RecordHeader):
		return HandshakeClear
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		return HandshakeLeft
	}
	return HandshakeFailed
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout() && op.Op != "remote error" && op.Op != "local error" // tls says those of alerts
}

// looksLikeHTTP reports whether the first five bytes are those of a request, as net/http has it.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

// notTLS is what net/http answers.
const notTLS = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// answerClear tells a peer that this port speaks TLS. What it still sends is read for a moment: a close with bytes unread
// would reset the connection, and the answer could be lost.
func answerClear(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(drainTime))
	_, _ = io.WriteString(conn, notTLS) // the peer may have gone
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		_, _ = io.CopyN(io.Discard, conn, 64<<10)
	}
}

// enter waits until a handshake whose peer has said its first may be worked on; false means never.
func (c *cipherConn) enter(s *Secure) bool {
	if c.compute != nil {
		return true
	}
	select {
	case s.compute <- struct{}{}:
		c.compute = s.compute
		return true
	case <-s.done:
		return false
	}
}

// yield lets the next handshake be worked on: this one has its answer ready, or is over.
func (c *cipherConn) yield() {
	if c.compute != nil {
		<-c.compute
		c.compute = nil
	}
}

// waitMark says since when a peer has let a handshake wait.
type waitMark struct {
	began atomic.Int64 // nanoseconds of the wall clock; 0: it does not; -1: it gave way
}

func (m *waitMark) begin() { m.began.CompareAndSwap(0, time.Now().UnixNano()) }

func (m *waitMark) end() {
	if was := m.began.Load(); was > 0 {
		m.began.CompareAndSwap(was, 0)
	}
}

func (m *waitMark) lasts() time.Duration {
	if began := m.began.Load(); began > 0 {
		return time.Duration(time.Now().UnixNano() - began)
	}
	return 0
}

func (m *waitMark) giveWay()      { m.began.Store(-1) }
func (m *waitMark) gaveWay() bool { return m.began.Load() < 0 }
