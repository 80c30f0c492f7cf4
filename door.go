package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/guard"
)

// door is one server of the options: an Engine.IO endpoint, the namespaces behind
// it and the checks in front. It implements engineio.Acceptor.
type door struct {
	srv        *Server
	opts       ServerOptions
	origins    guard.Origins
	engine     *engineio.Server
	namespaces base.Names[*Namespace]
	log        *slog.Logger
	admission  *guard.Admission
	lost       atomic.Pointer[atomic.Uint64] // connections closed for want of room; nil without a port
	tls        *secured                      // nil: the port is in the clear
	next       [2]atomic.Uint32              // turns of the loops, by transport
	curious    atomic.Bool                   // an application's function may ask for a handshake
	strict     atomic.Bool                   // every namespace asks for a token
	refused    [refusals]atomic.Uint64
}

// refusal is why a handshake was turned away, for weir_handshakes_refused_total.
type refusal int

const (
	refusedSlow refusal = iota
	refusedAuth
	refusedDraining
	refusedFull
	refusedRoom
	refusedCrowded
	refusedFast
	refusals
)

var refusalNames = [refusals]string{"slow_consumer", "auth_failures", "draining", "max_connections", "no_room", "max_pending", "handshake_rate"}

// refusalOfVerdict are the reasons of an admission that is not welcome.
var refusalOfVerdict = [...]refusal{guard.Full: refusedFull, guard.Crowded: refusedCrowded, guard.TooFast: refusedFast}

func newDoor(srv *Server, o ServerOptions) (*door, error) {
	origins, err := guard.NewOrigins(o.Origins)
	if err != nil {
		return nil, err
	}
	d := &door{srv: srv, opts: o, origins: origins, log: srv.log.With("server", o.Name)}
	if d.tls, err = srv.newSecured(o.Name, o.TLS); err != nil {
		return nil, err
	}
	d.curious.Store(o.Auth)
	d.strict.Store(o.Auth) // until a namespace is declared that asks for none
	d.admission = guard.NewAdmission(guard.AdmissionLimits{
		Connections: o.Limits.Connections, Pending: o.Limits.Pending, HandshakesPerSecond: o.Limits.HandshakesPerSecond,
	})
	s := o.SocketIO
	eo := engineio.Options{
		Path: s.Path, PingInterval: s.PingInterval, PingTimeout: s.PingTimeout, MaxSilence: o.Limits.MaxSilence, UpgradeTimeout: s.UpgradeTimeout,
		MaxHTTPBufferSize: s.MaxHTTPBufferSize, Transports: s.Transports, NoUpgrades: s.NoUpgrades,
		NoHTTPCompression: s.NoHTTPCompression, PerMessageDeflate: s.PerMessageDeflate, CheckOrigin: d.checkOrigin, Obsolete: d.obsolete,
		CORS: engineio.CORS{Credentials: o.Credentials}, NotSentLowat: o.NotSentLowat, Now: srv.hub.Now, Hold: srv.hub.Holder(budget.Inbound),
	}
	if c := s.Cookie; c != nil {
		eo.Cookie = &engineio.Cookie{
			Name: c.Name, Path: c.Path, Domain: c.Domain, MaxAge: time.Duration(c.MaxAge) * time.Second,
			SameSite: c.SameSite, Secure: c.Secure, Partitioned: c.Partitioned, Script: !c.HttpOnly,
		}
	}
	if !s.NoClientFiles {
		eo.ClientFiles = engineio.ClientFiles()
	}
	for _, sh := range srv.hub.Shards() {
		eo.Loops = append(eo.Loops, sh)
	}
	if o.epoll() {
		eo.Pollers = srv.pollers
	}
	d.engine, err = engineio.New(eo, d)
	return d, err
}

// ServeHTTP answers Socket.IO's requests, and if the options have a page, all
// others with that.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.opts.Page != nil && !strings.HasPrefix(r.URL.Path, d.path()) {
		d.opts.Page.ServeHTTP(w, r)
		return
	}
	if !d.srv.running() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server is not running", http.StatusServiceUnavailable)
		return
	}
	d.engine.ServeHTTP(w, r)
}

func (d *door) path() string { return orDefault(d.opts.SocketIO.Path, engineio.DefaultPath) }

// lastWords is how long clients have to take their last packet once the time to
// drain is over: a polling client without a request would otherwise be waited for.
const lastWords = time.Second

func (d *door) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if err := d.engine.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("server %q: %w", d.opts.Name, err)
	}
	return nil
}

// checkOrigin implements configuration.md "origins" for every request.
func (d *door) checkOrigin(r *http.Request) engineio.Origin {
	origin := r.Header.Get("Origin")
	switch d.origins.Check(guard.BrowserRequest{Origin: origin, Host: r.Host, TLS: r.TLS != nil}) {
	case guard.OriginAllowed:
		switch {
		case origin == "" || strings.EqualFold(strings.TrimSuffix(afterScheme(origin), "/"), r.Host):
			return engineio.OriginPlain
		case slices.Contains(d.opts.Origins, "*"):
			return engineio.OriginEveryone
		}
		return engineio.OriginAllowed
	default: // foreign; malformed ones the engine has refused already
		d.srv.refuses(d, refusedOrigin, guard.AddressOf(r), origin, r)
		return engineio.OriginRefused
	}
}

func afterScheme(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	return host
}

// obsolete notes a client of an older Engine.IO.
func (d *door) obsolete(r *http.Request) {
	d.srv.refuses(d, refusedVersion, guard.AddressOf(r), "EIO="+brief(r.URL.Query().Get("EIO")), r)
}

// Admit implements engineio.Acceptor: nobody is let in while the server drains,
// after too many failed tokens where all namespaces ask for one, right after having been cut for being slow, or
// beyond the server's limits.
func (d *door) Admit(r *http.Request) *engineio.Refusal {
	if d.srv.leaving() {
		d.refused[refusedDraining].Add(1)
		return &engineio.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: guard.Jitter(5 * time.Second)}
	}
	now := time.Now()
	if d.strict.Load() && d.srv.failures.Blocked(guard.AddressOf(r), now) {
		d.refused[refusedAuth].Add(1)
		d.srv.count.authLimited.Add(1)
		return &engineio.Refusal{Status: http.StatusTooManyRequests, RetryAfter: guard.Jitter(30 * time.Second)}
	}
	if d.srv.penalties.Any() {
		if wait, slow := d.srv.penalties.Until(guard.PenaltyKey(guard.AddressOf(r), guard.Agent(r.Header)), now); slow {
			d.refused[refusedSlow].Add(1)
			return &engineio.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: guard.Jitter(wait)}
		}
	}
	if d.opts.Limits.Connections == 0 && d.srv.crowded() {
		d.refused[refusedRoom].Add(1)
		d.srv.refuses(d, refusalNames[refusedRoom], netip.Addr{}, "", r)
		return &engineio.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: guard.Jitter(2 * time.Second)}
	}
	if v := d.admission.Check(now); v != guard.Welcome {
		reason := refusalOfVerdict[v]
		d.refused[reason].Add(1)
		d.srv.refuses(d, refusalNames[reason], netip.Addr{}, "", r)
		return &engineio.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: guard.Jitter(2 * time.Second)}
	}
	return nil
}

// Assign implements engineio.Acceptor: the loops take turns, for each transport
// by itself, so that what alternates does not gather.
func (d *door) Assign(transport string) int {
	turn := &d.next[len(transport)%2] // "polling" and "websocket" differ in it
	return int(turn.Add(1)) % len(d.srv.hub.Shards())
}

// Open implements engineio.Acceptor.
//
//weir:loop
func (d *door) Open(s *engineio.Session, h *engineio.Handshake) engineio.Host {
	return newClient(d, s, h)
}
