package enginetest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between clients and a server, and has the faults of a network. All methods may be called by any goroutine.
type Proxy struct {
	t        testing.TB
	to       string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	news    *sync.Cond // of what follows
	conns   map[net.Conn]net.Conn
	refuses bool
	closed  bool
	holds   bool // nothing goes either way, and nobody is told
	deaf    map[net.Conn]bool
	delay   time.Duration
}

// NewProxy returns a proxy to a server's address, which ends with the test.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, to: to, listener: l, conns: make(map[net.Conn]net.Conn), deaf: make(map[net.Conn]bool)}
	p.news = sync.NewCond(&p.mu)
	p.running.Go(p.run)
	t.Cleanup(p.close)
	return p
}

// shut closes what may be closed already.
func shut(c io.Closer) { _ = c.Close() }

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	shut(p.listener)
	p.Hold(false)
	p.Cut()
	p.running.Wait()
}

// run accepts until close.
func (p *Proxy) run() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(c) })
	}
}

// serve carries one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	defer shut(client)
	server, err := net.DialTimeout("tcp", p.to, 5*time.Second)
	if err != nil {
		return
	}
	defer shut(server)
	p.mu.Lock()
	if p.refuses || p.closed {
		p.mu.Unlock()
		return
	}
	p.conns[client] = server
	p.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { p.carry(server, client, client) })
	p.carry(client, server, nil)
	back.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.deaf, client)
	p.mu.Unlock()
}

// carry copies one way. heard is the client, on the way to it.
func (p *Proxy) carry(from, to, heard net.Conn) {
	defer shut(to)
	defer shut(from)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.passes(heard) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// passes waits as long as the proxy holds or delays, and reports whether bytes go on.
func (p *Proxy) passes(heard net.Conn) bool {
	p.mu.Lock()
	delay := p.delay
	for p.holds {
		p.news.Wait()
	}
	deaf := heard != nil && p.deaf[heard]
	p.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	return !deaf
}

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, server := range p.conns {
		shut(client)
		shut(server)
	}
}

// Refuse closes new connections as soon as they are made, or lets them in again.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = on
}

// Hold stops everything in both directions without a word, as a network that drops packets, or lets it go on.
func (p *Proxy) Hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds = on
	p.news.Broadcast()
}

// Deafen throws away what the server says on the connections there are.
func (p *Proxy) Deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client := range p.conns {
		p.deaf[client] = true
	}
}

// Delay has every portion of bytes wait.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}
