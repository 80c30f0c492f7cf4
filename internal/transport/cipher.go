package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// cipherConn is the TCP connection below TLS, whose bytes TLS has made and makes sense of. Until detach its calls wait,
// as a handshake and net/http need it. After detach none does: Read has what fill has brought, and Write keeps what TLS
// makes until flush. So the loop itself writes over TLS, and an idle reader holds no buffer.
type cipherConn struct {
	net.Conn               // TCP
	descriptor *descriptor // nil until detach

	// The reader's; of the handshake before.
	in      *buffer // ciphertext that nobody has asked for yet
	at      int     // how much of in was asked for
	full    bool    // the last fill had as much as it asked for
	compute chan struct{}
	since   waitMark

	mu     sync.Mutex
	out    []byte  // ciphertext for the kernel
	pool   *buffer // out lies in it, or did; nil: out is by itself
	corked bool    // the loop is writing: what comes is a batch
	stray  int     // bytes in out that TLS has made of its own accord, such as the answer to a key update
}

// errWait is what TLS is told that asks for bytes before they have come. It may ask again: the error is a temporary one.
var errWait net.Error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "transport: nothing has come" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// maxStray bounds what a peer can have TLS say by itself while nothing is written: key updates in one direction.
const maxStray = 4 << 10

var errStray = errors.New("transport: the peer has TLS answer more than it reads")

// cipherOf is the connection below TLS, nil where TLS is not of this package's making.
func cipherOf(conn net.Conn) *cipherConn {
	if t, ok := conn.(*tls.Conn); ok {
		c, _ := t.NetConn().(*cipherConn)
		return c
	}
	return nil
}

// detach ends the waiting. Nobody reads or writes meanwhile.
func (c *cipherConn) detach(d *descriptor) { c.descriptor = d }

// Read implements net.Conn for TLS. Only the reader calls it.
func (c *cipherConn) Read(p []byte) (int, error) {
	if c.descriptor == nil {
		return c.wait(p)
	}
	if c.in == nil {
		return 0, errWait
	}
	n := copy(p, c.in.data[c.at:])
	if c.at += n; c.at == len(c.in.data) {
		c.in.release()
		c.in = nil
	}
	return n, nil
}

// wait reads as the handshake does: how long the peer lets it wait is known to makeRoom.
func (c *cipherConn) wait(p []byte) (int, error) {
	c.since.begin()
	defer c.since.end()
	return c.Conn.Read(p)
}

// fill waits until ciphertext has come. The reader calls it when Read had none.
func (c *cipherConn) fill(size int) (err error) {
	if _, ahead := unwrapProxied(c.Conn); len(ahead) > 0 {
		c.in, c.at, c.full = &buffer{data: ahead}, 0, false
		return nil
	}
	c.in, err = c.descriptor.read(size)
	c.at = 0
	c.full = err == nil && len(c.in.data) == size
	return err
}

// Write implements net.Conn for TLS, which calls it in the order of its records.
func (c *cipherConn) Write(p []byte) (int, error) {
	if c.descriptor == nil {
		c.yield()
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		if c.stray += len(p); c.stray > maxStray {
			return 0, errStray
		}
	} else if c.out == nil {
		c.pool = takeBuffer(largeBuffer)
		c.out = c.pool.data[:0]
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

// cork says whether what TLS writes is the loop's batch.
//
//weir:loop
func (c *cipherConn) cork(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = on
}

// strays reports whether TLS has made something that nobody will flush.
func (c *cipherConn) strays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stray > 0
}

// waiting is how many bytes the kernel has not taken yet.
func (c *cipherConn) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out)
}

// flush hands what waits to the kernel; clear says that it took all of it.
//
//weir:loop
func (c *cipherConn) flush() (clear bool, err error) {
	batch, pool := c.take()
	n, err := c.descriptor.send(batch)
	if n == len(batch) || err != nil {
		if pool != nil {
			pool.release()
		}
		return err == nil && c.waiting() == 0, err
	}
	c.putBack(batch[n:], pool)
	return false, nil
}

func (c *cipherConn) take() ([]byte, *buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch, pool := c.out, c.pool
	c.out, c.pool, c.stray = nil, nil, 0
	return batch, pool
}

// putBack keeps what the kernel did not take, before what the reader's TLS has made meanwhile. Little of it gives the
// large buffer back.
func (c *cipherConn) putBack(rest []byte, pool *buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pool != nil && len(rest) <= smallBuffer {
		small := append(make([]byte, 0, len(rest)), rest...)
		pool.release()
		rest, pool = small, nil
	}
	c.out, c.pool = append(rest, c.out...), pool
}

// SetWriteDeadline implements net.Conn. A write that does not wait has no use for one.
func (c *cipherConn) SetWriteDeadline(t time.Time) error {
	if c.descriptor != nil {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite ends the writing half, which net/http does before it closes.
func (c *cipherConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
