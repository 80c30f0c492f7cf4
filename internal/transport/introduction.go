package transport

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/wire/proxy"
)

// ProxyOptions say whose connections begin with an introduction, a header of the PROXY protocol, before TLS and HTTP. There is
// no guessing: theirs have one, or are refused; others have none, and what looks like one is no request.
type ProxyOptions struct {
	Trusts func(netip.Addr) bool
	// Refused is told of connections of those trusted that began otherwise. Any goroutine calls it, loops as well; it must not
	// wait.
	Refused func(from netip.Addr, why error)
}

// expects reports whether a connection of that address begins with an introduction.
func (o *ProxyOptions) expects(from netip.Addr) bool { return o != nil && o.Trusts(from.Unmap()) }

// notProxied answers a proxy that should introduce its clients, and does not.
var notProxied = func() []byte {
	const text = "This port wants the PROXY protocol of this address: send-proxy in HAProxy, proxy_protocol on in nginx.\n"
	return []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(text)) + "\r\n\r\n" + text)
}()

// proxiedConn is a connection that begins with an introduction. Its RemoteAddr is who is introduced, or the proxy's if it names
// nobody: asked for it or for the first bytes, it waits for the introduction. Its methods may be called concurrently, Read by one
// goroutine at a time.
type proxiedConn struct {
	net.Conn
	proxy   *ProxyOptions
	timeout time.Duration // for the introduction; 0: whoever reads has set a deadline

	once  sync.Once
	from  net.Addr
	ahead []byte // read beyond the introduction
	err   error
}

// RemoteAddr implements net.Conn.
func (c *proxiedConn) RemoteAddr() net.Addr {
	c.once.Do(c.introduce)
	return c.from
}

// Read implements net.Conn.
func (c *proxiedConn) Read(p []byte) (int, error) {
	c.once.Do(c.introduce)
	switch {
	case len(c.ahead) > 0:
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	case c.err != nil:
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// introduce reads the introduction.
func (c *proxiedConn) introduce() {
	c.from = c.Conn.RemoteAddr()
	if c.timeout > 0 {
		_ = c.SetReadDeadline(time.Now().Add(c.timeout)) // it has ended, which the read meets too
		defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	}
	h, rest, err := readIntroduction(c.Conn)
	switch {
	case err == nil:
		c.ahead = rest
		if h.Source.IsValid() {
			c.from = net.TCPAddrFromAddrPort(h.Source)
		}
		return
	case errors.Is(err, errUnintroduced):
		c.proxy.Refused(addrOf(c.from), err)
		_, _ = c.Write(notProxied) // the peer may have gone
		err = io.EOF
	}
	c.err = err
}

// errUnintroduced is what is wrong with an introduction, and not with the connection.
var errUnintroduced = errors.New("transport: no introduction")

// readIntroduction reads a header and perhaps more, which is returned.
func readIntroduction(from io.Reader) (h proxy.Header, rest []byte, err error) {
	buf := make([]byte, 0, 512) // most are shorter
	for {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, proxy.MaxHeader+1), buf...)
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		h, bad := proxy.ParseHeader(buf)
		switch {
		case bad == nil:
			return h, buf[h.Size:], nil
		case !errors.Is(bad, proxy.ErrShort):
			return h, nil, errors.Join(errUnintroduced, bad)
		case err != nil:
			return h, nil, err
		}
	}
}

// addrOf is the IP address of an address of package net; the zero value if it has none.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// CloseWrite ends the writing half, which net/http does before it closes.
func (c *proxiedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unwrapProxied returns the connection below and what was read of it beyond the introduction and is not asked for yet.
func unwrapProxied(conn net.Conn) (net.Conn, []byte) {
	if c, ok := conn.(*proxiedConn); ok {
		ahead := c.ahead
		c.ahead = nil
		return c.Conn, ahead
	}
	return conn, nil
}
