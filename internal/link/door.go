package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/workers"
)

// Socket is a client in one namespace, or one that asks to join it.
//
//weir:loop
type Socket interface {
	socketio.Socket
	// Gone says that it has left, or will not be let in.
	Gone(base.Cause)
	// Behind is the namespace.
	Behind() *delivery.Namespace
	// Enter makes it a member, answers its CONNECT, and does what follows.
	Enter()
}

// trimmer is a socket that can give back what it does not need while it is idle.
type trimmer interface{ Trim() }

// keeper is a socket that keeps what its client has joined with.
type keeper interface {
	// Keeps is so many bytes.
	Keeps() int
}

// Reception is whoever has the namespaces behind a door.
type Reception interface {
	// Admits reports whether a client may ask to join a namespace now, by the limits on what it sends, of which there are some.
	// If it may not it was answered, or will ask later.
	//
	//weir:loop
	Admits(c *Client, path string, auth []byte) bool
	// Apply makes the socket of a client that asks to join a namespace; nil: there is none of that path. If ask is not nil
	// others decide: ask has them, and they call Accept or Refuse on the loop.
	//
	//weir:loop
	Apply(c *Client, path string, auth []byte) (s Socket, ask func())
	// Penalty is for how long a client is refused that was too slow in a namespace; 0: there is none of that path.
	//
	//weir:loop
	Penalty(path string) time.Duration
	// Refuses notes a handshake that was refused: with an address and a detail if it is the client's doing, and until when, if
	// that is known. Any goroutine.
	Refuses(k guard.RefusalKey, until time.Time, r *http.Request)
}

// House is the server as its doors know it. Any goroutine.
type House interface {
	// Running reports whether clients are served, also while they are sent away.
	Running() bool
	// Leaving reports whether clients are sent away.
	Leaving() bool
	// Crowded reports whether all descriptors for clients are taken, and says so.
	Crowded() bool
	// NoRoom says that a connection was closed for want of a descriptor.
	NoRoom()
}

// Shared is what all doors of a server have in common.
type Shared struct {
	Hub         *delivery.Hub
	Readers     *workers.Pool       // of large messages; they wait for nobody
	Lobby       *delivery.Namespace // for answers to clients that are in no namespace
	Failures    *guard.Failures
	Penalties   *guard.Penalties
	Agents      *guard.Agents
	Comers      *guard.Comers
	Pollers     Pollers
	AuthLimited *atomic.Uint64 // counts handshakes refused after failed tokens
	Descriptors func() int     // how many the server needs for itself
}

// Options are those of one door.
type Options struct {
	Name           string
	Engine         engineio.Options // without what the door adds: checks, loops, clocks
	Origins        []string
	Auth           bool // its clients prove who they are
	Limits         guard.AdmissionLimits
	Inbound        []guard.InboundRule // what its clients may send
	Proxies        *guard.Proxies      // whose word about the clients behind them is believed; nil: nobody's
	Introduced     bool                // their connections begin with a header of the PROXY protocol
	ConnectTimeout time.Duration       // in which a client has to join a namespace
	SlowPenalty    time.Duration       // of a client that was too slow and is in no namespace
	HeaderTimeout  time.Duration
	Epoll          bool                                   // the loops hold its connections
	Secure         func(*transport.Listener) net.Listener // makes an open port speak TLS; nil: it is in the clear
	Log            *slog.Logger
}

// Door is one server of the options: an Engine.IO endpoint and the checks in front. It implements engineio.Acceptor.
type Door struct {
	Shared
	Curious atomic.Bool // an application's function may ask for a handshake
	Strict  atomic.Bool // every namespace asks for a token

	Inbound   *guard.Inbound // what its clients may send; nil: anything
	Throttled atomic.Int64   // clients that are not read now because of that

	opts      Options
	house     House
	reception Reception
	origins   guard.Origins
	engine    *engineio.Server
	admission *guard.Admission
	lost      atomic.Pointer[atomic.Uint64] // connections closed for want of room; nil without a port
	next      [2]atomic.Uint32              // turns of the loops, by transport
	refused   [refusals]atomic.Uint64
}

// refusal is why a handshake was turned away, for weir_handshakes_refused_total.
type refusal int

const (
	slow refusal = iota
	auth
	draining
	full
	room
	crowded
	fast
	addressFull
	addressFast
	principalFull
	proxyHeader
	refusals
)

var refusalNames = [refusals]string{"slow_consumer", "auth_failures", "draining", "max_connections", "no_room", "max_pending", "handshake_rate", "per_address", "address_rate", "per_principal", "proxy_header"}

// refusalStatuses are what those are answered with who are refused; 0: no answer of HTTP, but CONNECT_ERROR, or the end of the
// connection.
var refusalStatuses = [refusals]int{
	slow: http.StatusServiceUnavailable, draining: http.StatusServiceUnavailable, full: http.StatusServiceUnavailable,
	room: http.StatusServiceUnavailable, crowded: http.StatusServiceUnavailable, fast: http.StatusServiceUnavailable,
	auth: http.StatusTooManyRequests, addressFull: http.StatusTooManyRequests, addressFast: http.StatusTooManyRequests,
}

// Refusals calls yield with each reason for which a door refuses a client, and the status that it answers, 0 for none.
func Refusals(yield func(reason string, status int)) {
	for r, name := range refusalNames {
		yield(name, refusalStatuses[r])
	}
}

// refusalOfVerdict are the reasons of an admission that is not welcome.
var refusalOfVerdict = [guard.Verdicts]refusal{
	guard.Full: full, guard.Crowded: crowded, guard.TooFast: fast, guard.AddressFull: addressFull, guard.AddressFast: addressFast, guard.PrincipalFull: principalFull,
}

// The kinds of refusals that a door notes by what the client has shown.
const (
	RefusedOrigin  = "origin"
	RefusedVersion = "protocol_version"
	RefusedInbound = "inbound_limit" // of what a client sends, and not of a handshake

	RefusedPrincipal = "per_principal" // of a CONNECT
	RefusedProxy     = "proxy_header"  // of a connection
)

// RefusedLimits are the kinds of refusals by a limit that a door notes.
func RefusedLimits() []string {
	return []string{
		refusalNames[full], refusalNames[room], refusalNames[crowded], refusalNames[fast],
		refusalNames[addressFull], refusalNames[addressFast], RefusedPrincipal, RefusedProxy,
	}
}

// NewDoor returns a door that lets nobody in until its house runs.
func NewDoor(sh Shared, o Options, h House, r Reception) (*Door, error) {
	origins, err := guard.NewOrigins(o.Origins)
	if err != nil {
		return nil, err
	}
	d := &Door{Shared: sh, opts: o, house: h, reception: r, origins: origins, admission: guard.NewAdmission(o.Limits, sh.Hub.Holder(budget.Limits))}
	d.Inbound = guard.NewInbound(o.Inbound, sh.Hub.Holder(budget.Limits))
	d.Curious.Store(o.Auth)
	d.Strict.Store(o.Auth) // until a namespace is declared that asks for none
	eo := o.Engine
	eo.CheckOrigin, eo.Obsolete, eo.Now, eo.Hold = d.checkOrigin, d.obsolete, sh.Hub.Now, sh.Hub.Holder(budget.Inbound)
	for _, loop := range sh.Hub.Shards() {
		eo.Loops = append(eo.Loops, loop)
	}
	if o.Epoll {
		eo.Pollers = sh.Pollers
	}
	d.engine, err = engineio.New(eo, d)
	return d, err
}

// ServeHTTP answers Socket.IO's requests.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.house.Running() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server is not running", http.StatusServiceUnavailable)
		return
	}
	if from, is := d.behind(r); is {
		r = r.WithContext(r.Context()) // the application's, or its middleware's
		r.RemoteAddr = from
	}
	d.engine.ServeHTTP(w, r)
}

// behind is the address of the client behind a proxy that is trusted, as RemoteAddr has it; false: r.RemoteAddr is the client's.
func (d *Door) behind(r *http.Request) (from string, is bool) {
	if d.opts.Proxies == nil {
		return "", false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "", false
	}
	client := d.opts.Proxies.Client(peer, r.Header)
	return client.String(), client != peer
}

// lastWords is how long clients have to take their last packet once the time to
// drain is over: a polling client without a request would otherwise be waited for.
const lastWords = time.Second

// Close ends all sessions and waits for them.
func (d *Door) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if err := d.engine.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("server %q: %w", d.opts.Name, err)
	}
	return nil
}

// Sweep forgets principals and addresses that have neither come nor sent anything lately.
func (d *Door) Sweep(now int64) {
	d.admission.Sweep(now)
	d.Inbound.Sweep(now)
}

// Stats are the figures of the sessions.
func (d *Door) Stats() engineio.Stats { return d.engine.Stats() }

// Refused calls yield with how many handshakes the door has turned away, by reason. A reason may come twice.
func (d *Door) Refused(yield func(reason string, n uint64)) {
	if lost := d.lost.Load(); lost != nil {
		yield(refusalNames[room], lost.Load())
	}
	for r := range d.refused {
		yield(refusalNames[r], d.refused[r].Load())
	}
}

// checkOrigin implements configuration.md "origins" for every request.
func (d *Door) checkOrigin(r *http.Request) engineio.Origin {
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
		d.reception.Refuses(guard.RefusalKey{Kind: RefusedOrigin, Addr: guard.AddressOf(r), Detail: origin}, time.Time{}, r)
		return engineio.OriginRefused
	}
}

func afterScheme(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	return host
}

// obsolete notes a client of an older Engine.IO.
func (d *Door) obsolete(r *http.Request) {
	d.reception.Refuses(guard.RefusalKey{Kind: RefusedVersion, Addr: guard.AddressOf(r), Detail: r.URL.Query().Get("EIO")}, time.Time{}, r)
}

// Admit implements engineio.Acceptor: nobody is let in while the server drains,
// after too many failed tokens where all namespaces ask for one, right after having been cut for being slow, or
// beyond the server's limits.
func (d *Door) Admit(r *http.Request) *engineio.Refusal {
	if d.house.Leaving() {
		d.refused[draining].Add(1)
		return &engineio.Refusal{Status: refusalStatuses[draining], RetryAfter: guard.Jitter(5 * time.Second)}
	}
	now, addr := time.Now(), guard.AddressOf(r)
	if d.Strict.Load() && d.Failures.Blocked(addr, now) {
		d.refused[auth].Add(1)
		d.AuthLimited.Add(1)
		return &engineio.Refusal{Status: refusalStatuses[auth], RetryAfter: guard.Jitter(30 * time.Second)}
	}
	if d.Penalties.Any() {
		if wait, is := d.Penalties.Until(guard.PenaltyKey(addr, guard.Agent(r.Header)), now); is {
			d.refused[slow].Add(1)
			return &engineio.Refusal{Status: refusalStatuses[slow], RetryAfter: guard.Jitter(wait)}
		}
	}
	if d.opts.Limits.Connections == 0 && d.house.Crowded() {
		return d.beyond(room, r)
	}
	ticks := d.Hub.Now()
	switch v, until := d.admission.Check(addr, ticks); v {
	case guard.Welcome:
		return nil
	case guard.AddressFull:
		return d.tooMany(addressFull, addr, 0, r)
	case guard.AddressFast:
		return d.tooMany(addressFast, addr, time.Duration(until-ticks), r)
	default:
		return d.beyond(refusalOfVerdict[v], r)
	}
}

// knockAgain is in how long who was refused by a limit may try again, and half as long again.
const knockAgain = 2 * time.Second

// beyond refuses a handshake beyond a limit of the door.
func (d *Door) beyond(why refusal, r *http.Request) *engineio.Refusal {
	d.refused[why].Add(1)
	d.reception.Refuses(guard.RefusalKey{Kind: refusalNames[why]}, time.Time{}, r)
	return &engineio.Refusal{Status: refusalStatuses[why], RetryAfter: guard.Jitter(knockAgain)}
}

// tooMany refuses a handshake beyond a limit of its address; wait is how long until it would not be, 0 if nobody knows.
func (d *Door) tooMany(why refusal, addr netip.Addr, wait time.Duration, r *http.Request) *engineio.Refusal {
	var until time.Time
	if wait > 0 {
		until = time.Now().Add(wait)
	}
	d.refused[why].Add(1)
	d.reception.Refuses(guard.RefusalKey{Kind: refusalNames[why], Addr: addr}, until, r)
	return &engineio.Refusal{Status: refusalStatuses[why], RetryAfter: guard.Jitter(max(wait, knockAgain))}
}

// Assign implements engineio.Acceptor: the loops take turns, for each transport
// by itself, so that what alternates does not gather.
func (d *Door) Assign(transport string) int {
	turn := &d.next[len(transport)%2] // "polling" and "websocket" differ in it
	return int(turn.Add(1)) % len(d.Hub.Shards())
}

// Open implements engineio.Acceptor.
//
//weir:loop
func (d *Door) Open(s *engineio.Session, h *engineio.Handshake) engineio.Host {
	return newClient(d, s, h)
}
