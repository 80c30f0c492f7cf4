package weir

import (
	"fmt"
	"net"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/transport"
)

// Driver is how a server holds its connections.
type Driver string

// The drivers (architecture.md D4). Both feed the same loops and behave alike.
const (
	DriverAuto      Driver = ""          // epoll where there is one, goroutines elsewhere and for TLS
	DriverEpoll     Driver = "epoll"     // no goroutine and no buffer for a connection; Linux, cleartext
	DriverGoroutine Driver = "goroutine" // one goroutine for each connection
)

func (d Driver) epoll() bool { return d == DriverEpoll || d == DriverAuto && transport.Epoll }

// epoll reports whether the loops hold the server's own connections.
func (o *ServerOptions) epoll() bool { return o.TLS == nil && o.Driver.epoll() }

func (d Driver) validate(p *problems, at string) {
	switch d {
	case DriverAuto, DriverGoroutine:
	case DriverEpoll:
		if !transport.Epoll {
			p.add("%s.Driver %q: this system has no epoll", at, d)
		}
	default:
		p.add("%s.Driver %q: want epoll, goroutine or nothing", at, d)
	}
}

// pollers are where the loops sleep if any server's driver is epoll.
type pollers []*transport.Poller

func (s *Server) makePollers(servers []ServerOptions, shards int) (waiters []delivery.Waiter) {
	for _, o := range servers {
		if o.epoll() && s.pollers == nil {
			for range shards {
				p := transport.NewPoller(func() int64 { return s.hub.Now() })
				p.Pressed = s.newPressed()
				s.pollers, waiters = append(s.pollers, p), append(waiters, p)
			}
		}
	}
	return waiters
}

// newPressed returns what tells one loop that events wait for workers, which get on with them: what comes now has to wait too.
// Where they do not get on, as their handlers hang, the loop is not to look at what it can do nothing about.
func (s *Server) newPressed() func() bool {
	var before int64
	return func() bool {
		waiting, served := s.workers.Backlog()
		getOn := served > before
		before = served
		return waiting > 0 && getOn
	}
}

// upkeep is what workers put off until several jobs share it: the replies of their jobs are taken by the loops. If nothing
// waits for a worker any more, loops that doze look for more.
func (s *Server) upkeep() {
	s.hub.Nudge()
	if waiting, _ := s.workers.Backlog(); waiting > 0 {
		return
	}
	for _, p := range s.pollers {
		p.Rouse()
	}
}

// open is called before the loops run.
func (ps pollers) open(h *delivery.Hub) error {
	for i, p := range ps {
		if err := p.Open(h.Shards()[i]); err != nil {
			ps.close()
			return fmt.Errorf("epoll driver: %w", err)
		}
	}
	return nil
}

// close is called when the loops have ended.
func (ps pollers) close() {
	for _, p := range ps {
		p.Close()
	}
}

// accept makes an open port the door's.
func (d *door) accept(ln net.Listener) (net.Listener, error) {
	o := d.engine.TCPOptions()
	o.Ceiling, o.Full = guard.Ceiling(d.srv.ownDescriptors()), d.srv.noRoom
	if !d.opts.epoll() {
		l := &transport.Listener{Listener: ln, Options: o, Clear: d.tls == nil}
		d.lost.Store(&l.Failed)
		if d.tls != nil {
			return d.tls.listen(d.srv, l, d.opts.Limits.HeaderTimeout), nil
		}
		return l, nil
	}
	return d.intake(ln, o)
}
