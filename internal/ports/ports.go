// Package ports holds the TCP ports a process listens on: they are opened together, served over HTTP, and closed
// together.
package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Spec describes one port.
type Spec struct {
	Name          string // for Addr and the log; unique in a Set
	Title         string // in errors; "": Name
	Addr          string // host:port
	Handler       http.Handler
	HeaderTimeout time.Duration // for a request's header to arrive
	KeepAlive     time.Duration // for the next request to begin; 0 = 75 s
	// NextFree takes any free port of the host, with a warning, if another port of the Set has this one.
	NextFree bool
	// Accept, unless nil, returns what accepts in the listener's place. If it fails the listener is its to close. If the
	// result has a method Start, that is called when Serve begins.
	Accept func(net.Listener) (net.Listener, error)
}

// How every port bounds its requests. Proxies keep a connection they do not use for 60 s (nginx, AWS ALB): who closes first
// must be they, or a request sent meanwhile is lost and answered 502.
const (
	keepAlive      = 75 * time.Second
	maxHeaderBytes = 12 << 10 // net/http takes 4 KiB more: 16 in all
)

// Set is a number of open ports. Its methods may be called from any goroutine, and Close not before Serve has returned.
type Set struct {
	log *slog.Logger

	mu   sync.Mutex
	open []*port
	wg   sync.WaitGroup
}

type port struct {
	name string
	ln   net.Listener
	http *http.Server

	served bool
}

// New returns a set without ports. log hears of ports that end by themselves, and at debug level of what net/http has
// to say about connections.
func New(log *slog.Logger) *Set { return &Set{log: log} }

// Open opens all of the ports or none, and then reports every one that cannot be opened. It does nothing if it has
// succeeded before.
func (s *Set) Open(specs []Spec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		return nil
	}
	var errs []error
	for _, spec := range specs {
		if err := s.openLocked(spec); err != nil {
			title := spec.Title
			if title == "" {
				title = spec.Name
			}
			errs = append(errs, fmt.Errorf("%s: %w", title, err))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	for _, p := range s.open {
		_ = p.ln.Close()
	}
	s.open = nil
	return errors.Join(errs...)
}

func (s *Set) openLocked(spec Spec) error {
	ln, err := listen(spec.Addr)
	if err != nil && spec.NextFree && s.hasLocked(spec.Addr) {
		if ln, err = listenNext(spec.Addr, err); err == nil {
			s.log.Warn("the "+spec.Name+" port is taken by a server of this process", "wanted", spec.Addr, "using", ln.Addr())
		}
	}
	if err == nil && spec.Accept != nil {
		ln, err = spec.Accept(ln)
	}
	if err != nil {
		return err
	}
	s.open = append(s.open, &port{name: spec.Name, ln: ln, http: &http.Server{
		Handler: spec.Handler, ReadHeaderTimeout: spec.HeaderTimeout, IdleTimeout: cmp.Or(spec.KeepAlive, keepAlive), MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}})
	return nil
}

func listen(addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // its sockets do not hand their options on to those they accept
	return lc.Listen(context.Background(), network(addr), addr)
}

// network is IPv4 alone for an address of it: package net would take 0.0.0.0 to mean all of IPv6 too.
func network(addr string) string {
	if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// listenNext opens a free port of the host of addr, which is taken; why is the error of that.
func listenNext(addr string, why error) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, why
	}
	return listen(net.JoinHostPort(host, "0"))
}

// hasLocked reports whether a port of the set has the number of addr.
func (s *Set) hasLocked(addr string) bool {
	_, number, _ := net.SplitHostPort(addr)
	for _, p := range s.open {
		if _, n, _ := net.SplitHostPort(p.ln.Addr().String()); n == number {
			return true
		}
	}
	return false
}

// Addr is where the port of that name listens; nil if it is not open.
func (s *Set) Addr(name string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.open {
		if p.name == name {
			return p.ln.Addr()
		}
	}
	return nil
}

// Serve answers on the ports of these names until Close, without names on all; on those that are answered already it does nothing.
func (s *Set) Serve(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.open {
		if p.served || (len(names) > 0 && !slices.Contains(names, p.name)) {
			continue
		}
		p.served = true
		if in, ok := p.ln.(interface{ Start() }); ok {
			in.Start()
		}
		s.wg.Add(1)
		go s.run(p)
	}
}

// run serves one port; it ends with Close.
func (s *Set) run(p *port) {
	defer s.wg.Done()
	if err := p.http.Serve(p.ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("listener ended", "listener", p.name, "error", err)
	}
}

// Close closes every port and its connections, but those that were hijacked, and waits until nothing is served any
// more. Idempotent.
func (s *Set) Close() error {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	var errs []error
	for _, p := range open {
		errs = append(errs, unlessClosed(p.http.Close()))
	}
	s.wg.Wait()
	for _, p := range open { // net/http knows of no listener it has not served
		errs = append(errs, unlessClosed(p.ln.Close()))
	}
	return errors.Join(errs...)
}

func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
