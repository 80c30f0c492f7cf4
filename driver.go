package weir

import (
	"slices"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/link"
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
func (s *ServerOptions) epoll() bool { return s.TLS == nil && s.Driver.epoll() }

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

// makePollers makes what the loops sleep on, if any server's connections are held by them.
func (s *Server) makePollers(servers []ServerOptions, shards int) (waiters []delivery.Waiter) {
	if slices.ContainsFunc(servers, func(o ServerOptions) bool { return o.epoll() }) {
		s.pollers, waiters = link.NewPollers(shards, func() int64 { return s.hub.Now() })
		for _, p := range s.pollers {
			p.Pressed = s.newPressed()
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
