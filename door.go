package weir

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/transport"
)

// door is one server of the options: what lets its clients in, and the namespaces behind it.
type door struct {
	*link.Door
	srv        *Server
	opts       ServerOptions
	namespaces base.Names[*Namespace]
	log        *slog.Logger
	tls        *secured // nil: the port is in the clear
}

var _ link.Reception = (*door)(nil)

func newDoor(srv *Server, o ServerOptions) (*door, error) {
	d := &door{srv: srv, opts: o, log: srv.log.With("server", o.Name)}
	options := link.Options{
		Name: o.Name, Engine: o.engine(), Origins: o.Origins, Auth: o.Auth,
		Limits: guard.AdmissionLimits{
			Connections: o.Limits.Connections, Pending: o.Limits.Pending, HandshakesPerSecond: o.Limits.HandshakesPerSecond,
			PerAddress: o.Limits.PerAddress, PerPrincipal: o.Limits.PerPrincipal, HandshakesOfAddress: o.Limits.HandshakesPerSecondPerAddress,
		},
		Proxies: o.proxies(), Introduced: o.ProxyProtocol,
		Inbound: o.Limits.rules(), ConnectTimeout: o.SocketIO.ConnectTimeout, HeaderTimeout: o.Limits.HeaderTimeout, SlowPenalty: defaultSlowPenalty,
		Epoll: o.epoll(), Log: d.log,
	}
	var err error
	if d.tls, err = srv.newSecured(o.Name, o.TLS); err != nil {
		return nil, err
	}
	if d.tls != nil {
		options.Secure = func(l *transport.Listener) net.Listener { return d.tls.listen(srv, l, o.Limits.HeaderTimeout) }
	}
	d.Door, err = link.NewDoor(srv.shared(), options, (*house)(srv), d)
	return d, err
}

// engine is what the options say of sessions.
func (s *ServerOptions) engine() engineio.Options {
	io := &s.SocketIO
	eo := engineio.Options{
		Path: io.Path, PingInterval: io.PingInterval, PingTimeout: io.PingTimeout, MaxSilence: s.Limits.MaxSilence, UpgradeTimeout: io.UpgradeTimeout,
		MaxHTTPBufferSize: io.MaxHTTPBufferSize, Transports: io.Transports, NoUpgrades: io.NoUpgrades,
		NoHTTPCompression: io.NoHTTPCompression, PerMessageDeflate: io.PerMessageDeflate,
		CORS: engineio.CORS{Credentials: s.Credentials}, NotSentLowat: s.NotSentLowat,
	}
	if c := io.Cookie; c != nil {
		eo.Cookie = &engineio.Cookie{
			Name: c.Name, Path: c.Path, Domain: c.Domain, MaxAge: time.Duration(c.MaxAge) * time.Second,
			SameSite: c.SameSite, Secure: c.Secure, Partitioned: c.Partitioned, Script: !c.HttpOnly,
		}
	}
	if !io.NoClientFiles {
		eo.ClientFiles = engineio.ClientFiles()
	}
	return eo
}

// shared is what the doors of a server have in common.
func (s *Server) shared() link.Shared {
	return link.Shared{
		Hub: s.hub, Readers: s.readers, Lobby: s.lobby, Failures: s.failures, Penalties: s.penalties, Agents: s.agents, Comers: s.comers,
		Pollers: s.pollers, AuthLimited: &s.count.authLimited, Descriptors: s.ownDescriptors,
	}
}

// house is the server as its doors know it.
type house Server

var _ link.House = (*house)(nil)

// Running implements link.House.
func (h *house) Running() bool { return (*Server)(h).serving() }

// Leaving implements link.House.
func (h *house) Leaving() bool { return (*Server)(h).leaving() }

// Crowded implements link.House.
func (h *house) Crowded() bool { return (*Server)(h).crowded() }

// NoRoom implements link.House.
func (h *house) NoRoom() { (*Server)(h).noRoom() }

// ServeHTTP answers Socket.IO's requests, and if the options have a page, all
// others with that.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.opts.Page != nil && !strings.HasPrefix(r.URL.Path, d.path()) {
		d.opts.Page.ServeHTTP(w, r)
		return
	}
	d.Door.ServeHTTP(w, r)
}

func (d *door) path() string { return orDefault(d.opts.SocketIO.Path, engineio.DefaultPath) }

// Apply implements link.Reception.
//
//weir:loop
func (d *door) Apply(c *link.Client, path string, auth []byte) (_ link.Socket, ask func()) {
	n := d.namespaces.Find(path)
	if n == nil {
		return nil, nil
	}
	s := newSocket(n, c, auth)
	if !n.decides(s) {
		return s.loop(), nil
	}
	s.loop().apply()
	return s.loop(), func() { s.ask(&admission{s: s, until: s.until()}, len(auth)) }
}

// Penalty implements link.Reception.
//
//weir:loop
func (d *door) Penalty(path string) time.Duration {
	if n := d.namespaces.Find(path); n != nil {
		return orDefault(n.opts.SlowPenalty, defaultSlowPenalty)
	}
	return 0
}

// Refuses implements link.Reception.
func (d *door) Refuses(k guard.RefusalKey, until time.Time, r *http.Request) {
	if k.Kind == link.RefusedVersion {
		k.Detail = "EIO=" + clipped(k.Detail)
	}
	d.srv.refuses(d, k, until, r)
}
