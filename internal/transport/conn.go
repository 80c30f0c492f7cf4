package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// conn carries the bytes of one connection: the seam between the drivers
// (architecture.md D4). Its methods never wait.
//
//weir:loop
type conn interface {
	// start begins to read. Calls of to.received, to.writable and to.ended follow
	// on the loop, none from inside a method of the connection.
	start(to *WebSocket)
	// window is how many bytes write takes now; 0 while blocked, until writable.
	window() int
	// write takes n bytes of p and keeps nothing of it. After n < len(p) the
	// connection is blocked.
	write(p []byte) (n int, err error)
	// pause and resume reading; idempotent. What was read before may still come.
	pause()
	resume()
	// halt stops reading, as pause does but also while finish reads on, and ends that; idempotent. The end of the connection
	// is not told meanwhile, unless it is aborted or its socket fails while it is paused.
	halt(on bool)
	// finish reads on, paused or not, for at most linger; then it ends.
	finish(linger time.Duration)
	// shutdown ends the writing half; what still comes is read until finish's time is over. Idempotent.
	shutdown()
	// abort ends the connection as soon as its goroutines have noticed.
	abort()
	// kernel is what the operating system knows; false where it does not tell.
	kernel() (Kernel, bool)
	// progress is counted in bytes of the connection.
	progress() Progress
}

// windowSize is the most that one write takes unless a single frame is longer
// (architecture.md D1).
const windowSize = 32 << 10

// goConn is the goroutine driver's connection. Its reader owns the descriptor: it
// alone closes it (and Driver.Close), so abort on the loop need not wait for
// I/O under way; an expired deadline is the signal.
//
//	reader: read -> Post(batchTask) -> wait for its turn -> read …  -> close, Post(endTask)
//	loop:        received, then gives the turn back unless paused
type goConn struct {
	driver     *Driver
	loop       base.Loop
	conn       net.Conn
	descriptor *descriptor // nil where the kernel cannot be asked
	cipher     *cipherConn // below TLS, and never waits; nil: there is none
	direct     bool        // bytes go through the descriptor, without a goroutine for writes
	turn       chan struct{}

	// The reader's.
	fills bool // the last read filled its buffer

	// Handed over by Post and turn.
	batch *buffer
	err   error // why the reader ended

	// Handed over by the start of a writer and its Post.
	out    *buffer
	outErr error

	// The loop's.
	socket   *WebSocket
	blocked  bool // a goroutine writes or waits until the socket takes bytes
	paused   bool
	halted   bool
	owed     bool // the reader waits for its turn
	draining bool // finish was called
	aborted  bool
	shut     bool  // shutdown was called
	through  int64 // bytes that have left through the writer
	lost     error // the writer's failure, of which the end of the reader is the consequence
}

// The tasks a connection posts. A struct of one pointer is stored in a Task without
// an allocation.
type (
	batchTask struct{ s *goConn }
	clearTask struct{ s *goConn }
	strayTask struct{ s *goConn }
	endTask   struct{ s *goConn }
)

func newGoConn(d *Driver, u Upgraded, loop base.Loop) *goConn {
	s := &goConn{
		driver:     d,
		loop:       loop,
		conn:       u.Conn,
		descriptor: newDescriptor(u.Conn),
		turn:       make(chan struct{}, 1),
	}
	s.direct = s.descriptor != nil && isCleartext(u.Conn)
	if c := cipherOf(u.Conn); c != nil && s.descriptor != nil {
		c.detach(s.descriptor)
		s.cipher = c
	}
	if len(u.Ahead) > 0 {
		s.batch = &buffer{data: u.Ahead}
	}
	return s
}

//weir:loop
func (s *goConn) start(to *WebSocket) {
	s.socket = to
	if !s.driver.enter() {
		s.err = ErrClosed
		s.loop.Post(endTask{s})
		return
	}
	go s.run()
}

// run reads until the peer, abort, the end of the loop or Driver.Close ends it.
func (s *goConn) run() {
	defer s.driver.leave()
	for s.err == nil {
		if s.batch == nil { // the first batch may have come with the handshake
			s.batch, s.err = s.read()
		}
		if s.err == nil {
			s.loop.Post(batchTask{s})
			s.err = s.await()
		}
	}
	closeNow(s.conn)
	s.driver.forget(s)
	s.loop.Post(endTask{s})
}

// await is the reader's wait until the loop has handled its batch.
func (s *goConn) await() error {
	select {
	case <-s.turn:
		return nil
	case <-s.loop.Done():
		return ErrClosed
	case <-s.driver.quit:
		return ErrClosed
	}
}

func (s *goConn) read() (*buffer, error) {
	size := smallBuffer
	if s.fills {
		size = largeBuffer
	}
	var b *buffer
	var err error
	switch {
	case s.direct:
		b, err = s.descriptor.read(size)
	case s.cipher != nil:
		b, err = s.readCipher(size)
		s.fills = s.cipher.full
		return b, err
	default:
		b, err = s.readConn(size)
	}
	s.fills = err == nil && len(b.data) == size
	return b, err
}

// readCipher holds no buffer while it waits, but for what TLS keeps of a record that has not come whole.
func (s *goConn) readCipher(size int) (*buffer, error) {
	for {
		b := takeBuffer(size)
		n, err := s.conn.Read(b.data)
		if s.cipher.strays() {
			s.loop.Post(strayTask{s})
		}
		if n > 0 {
			b.data = b.data[:n] // an error that came with bytes comes again
			return b, nil
		}
		b.release()
		if err != nil && !errors.Is(err, errWait) {
			return nil, err
		}
		if err := s.cipher.fill(size); err != nil {
			return nil, err
		}
	}
}

// readConn holds its buffer while it waits: a net.Conn cannot be read otherwise.
func (s *goConn) readConn(size int) (*buffer, error) {
	b := takeBuffer(size)
	n, err := s.conn.Read(b.data)
	if n == 0 && err != nil {
		b.release()
		return nil, err
	}
	b.data = b.data[:n] // an error that came with bytes comes again
	return b, nil
}

//weir:loop
func (t batchTask) Run() {
	s := t.s
	b := s.batch
	s.batch = nil
	if !s.aborted || s.socket.state == wsOpen { // not for whoever is gone: see Write
		s.socket.received(b.data)
	}
	b.release()
	s.owed = true
	s.maybeRead()
}

// maybeRead lets the reader go on if it waits and nothing speaks against it.
//
//weir:loop
func (s *goConn) maybeRead() {
	if s.owed && (s.aborted || !s.halted && (!s.paused || s.draining)) {
		s.giveTurn()
	}
}

//weir:loop
func (s *goConn) halt(on bool) {
	s.halted = on
	s.maybeRead()
}

//weir:loop
func (s *goConn) giveTurn() {
	s.owed = false
	select {
	case s.turn <- struct{}{}:
	default: // the reader left with its loop or driver
	}
}

//weir:loop
func (t endTask) Run() {
	s := t.s
	s.aborted = true // a writer may still report
	if s.lost != nil {
		s.socket.ended(s.lost)
		return
	}
	s.socket.ended(s.err)
}

//weir:loop
func (s *goConn) pause() { s.paused = true }

//weir:loop
func (s *goConn) resume() {
	s.paused = false
	s.maybeRead()
}

//weir:loop
func (s *goConn) finish(linger time.Duration) {
	if s.aborted || s.draining {
		return
	}
	s.draining = true
	s.expire(s.conn.SetReadDeadline, time.Now().Add(linger))
	s.maybeRead()
}

//weir:loop
func (s *goConn) shutdown() {
	if s.shut || s.aborted {
		return
	}
	s.shut = true
	if s.cipher != nil {
		s.cipher.cork(true)
		_ = s.conn.(*tls.Conn).CloseWrite() // it has ended, which the reader meets too
		s.cipher.cork(false)
		if !s.blocked {
			_ = s.flush()
		}
		return
	}
	if half, ok := s.conn.(*net.TCPConn); ok {
		_ = half.CloseWrite() // it has ended, which the reader meets too
	} else if _, ok := s.conn.(interface{ CloseWrite() error }); ok && s.driver.enter() {
		go s.runShutdown()
	}
}

// runShutdown tells the peer's TLS that nothing more comes. It ends with the write, as runWrite does.
func (s *goConn) runShutdown() {
	defer s.driver.leave()
	_ = s.conn.(interface{ CloseWrite() error }).CloseWrite() // best effort: finish ends the connection
}

//weir:loop
func (s *goConn) abort() {
	if s.aborted {
		return
	}
	s.aborted = true
	s.expire(s.conn.SetDeadline, time.Unix(1, 0))
	s.maybeRead()
}

// expire sets a deadline. It fails only on a connection that is closed already,
// whose reader needs no signal.
//
//weir:loop
func (s *goConn) expire(set func(time.Time) error, at time.Time) { _ = set(at) }

//weir:loop
func (s *goConn) window() int {
	if s.blocked || s.aborted {
		return 0
	}
	if s.cipher != nil {
		return windowSize - cipherRoom
	}
	return windowSize
}

// cipherRoom is what TLS adds to a batch, so that both fit into a large buffer: for each of three records a head, a
// nonce and a tag.
const cipherRoom = 256

//weir:loop
func (s *goConn) write(p []byte) (int, error) {
	if s.blocked || len(p) == 0 {
		return 0, nil
	}
	switch {
	case s.cipher != nil:
		return s.encrypt(p)
	case !s.direct:
		return s.handOver(p)
	}
	n, err := s.descriptor.send(p)
	if err != nil {
		return n, err
	}
	if n < len(p) {
		s.block()
	}
	return n, nil
}

// block has writes wait until the socket takes bytes again.
//
//weir:loop
func (s *goConn) block() {
	s.blocked = true
	if s.driver.enter() {
		go s.runClear()
	}
}

// encrypt takes all of p: what the kernel does not take of it waits as ciphertext, and closes the window.
//
//weir:loop
func (s *goConn) encrypt(p []byte) (int, error) {
	s.cipher.cork(true)
	_, err := s.conn.Write(p)
	s.cipher.cork(false)
	if err != nil {
		return 0, err
	}
	return len(p), s.flush()
}

// flush hands ciphertext to the kernel; what it does not take waits until it does.
//
//weir:loop
func (s *goConn) flush() error {
	clear, err := s.cipher.flush()
	if err == nil && !clear {
		s.block()
	}
	return err
}

// Run implements base.Task: TLS has something to say of its own accord.
//
//weir:loop
func (t strayTask) Run() {
	s := t.s
	if s.blocked || s.aborted {
		return // it waits its turn, or there is nobody to tell
	}
	if err := s.flush(); err != nil {
		s.lose(err)
	}
}

// lose ends a connection that cannot be written to.
//
//weir:loop
func (s *goConn) lose(err error) {
	s.lost = err
	s.abort()
}

// runClear waits until the socket takes bytes again, or the connection ends.
func (s *goConn) runClear() {
	defer s.driver.leave()
	s.descriptor.awaitClear()
	s.loop.Post(clearTask{s})
}

// handOver copies p for a writer and returns at once.
//
//weir:loop
func (s *goConn) handOver(p []byte) (int, error) {
	s.blocked = true
	if len(p) <= largeBuffer {
		s.out = takeBuffer(largeBuffer)
		s.out.data = s.out.data[:copy(s.out.data, p)]
	} else {
		s.out = &buffer{data: append([]byte(nil), p...)}
	}
	if s.driver.enter() {
		go s.runWrite()
	}
	return len(p), nil
}

// runWrite writes one batch. It ends with the write, which abort, the peer or
// Driver.Close cut short.
func (s *goConn) runWrite() {
	defer s.driver.leave()
	_, s.outErr = s.conn.Write(s.out.data)
	s.loop.Post(clearTask{s})
}

//weir:loop
func (t clearTask) Run() {
	s := t.s
	s.blocked = false
	if s.out != nil {
		s.through += int64(len(s.out.data))
		s.out.release()
		s.out = nil
	}
	if s.aborted {
		return
	}
	if s.cipher != nil {
		s.outErr = s.flush()
	}
	switch {
	case s.outErr != nil:
		s.lose(s.outErr)
	case !s.blocked:
		s.socket.writable()
	}
}

//weir:loop
func (s *goConn) kernel() (Kernel, bool) {
	if s.descriptor == nil {
		return Kernel{}, false
	}
	k, err := s.descriptor.kernel()
	if err != nil {
		return Kernel{}, false
	}
	waiting := 0
	switch {
	case s.cipher != nil:
		waiting = s.cipher.waiting()
	case s.out != nil:
		waiting = len(s.out.data)
	}
	k.Unsent += waiting
	k.NotSent += waiting
	return k, true
}

//weir:loop
func (s *goConn) progress() Progress {
	if k, ok := s.kernel(); ok {
		given := k.sent + int64(k.NotSent)
		return Progress{Given: given, Left: k.sent, Taken: k.acked}
	}
	p := Progress{Given: s.through, Left: s.through, Taken: s.through}
	if s.out != nil {
		p.Given += int64(len(s.out.data))
	}
	return p
}
