package weir

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/link"
)

// Kinds of refusals that are not one of a door's limits.
const (
	refusedTokens  = "auth_failures"
	refusedPenalty = "slow_consumer"
	refusedSchema  = "schema"
)

// refusalAdvice is what the log says of a kind of refusal.
var refusalAdvice = map[string]string{
	link.RefusedVersion: "a client of another Engine.IO version was refused: Socket.IO 3 and later speak version 4",
	"max_connections":   "clients were refused: limits.maxConnections is reached",
	"max_pending":       "clients were refused: limits.maxPending is reached",
	"handshake_rate":    "clients were refused: limits.handshakesPerSecond is reached",
	"per_address":       "an address was refused: limits.perAddress connections of it are open",
	"address_rate":      "an address was refused: limits.handshakesPerSecondPerAddress is reached",
	link.RefusedProxy:   "a trusted proxy was refused: with proxyProtocol its connections begin with a header of the PROXY protocol",
	"per_principal":     "a principal was refused: limits.perPrincipal connections of it are open",
}

// refuses notes a handshake that is refused, and logs the first of its kind and address
// at once. Any goroutine, loops included.
func (s *Server) refuses(d *door, k guard.RefusalKey, until time.Time, r *http.Request) {
	if k.Addr.IsValid() || k.Detail != "" {
		// What one client has shown; else the limit is the door's, whoever comes.
		if s.refusals.Note(k, time.Now(), until) {
			d.log.Warn(advise(k.Kind, r), "reason", k.Kind, "address", k.Addr, "shown", clipped(k.Detail),
				"host", clipped(r.Host), "agent", clipped(r.Header.Get("User-Agent")))
		}
		return
	}
	k.Detail = "server " + d.opts.Name
	if s.refusals.Note(k, time.Now(), until) {
		d.log.Warn(refusalAdvice[k.Kind], "reason", k.Kind)
	}
}

// refusesPrincipal notes a CONNECT that is refused, as refuses does.
func (s *Server) refusesPrincipal(d *door, principal string, addr netip.Addr) {
	k := guard.RefusalKey{Kind: link.RefusedPrincipal, Addr: addr, Detail: "principal " + clipped(principal)}
	if s.refusals.Note(k, time.Now(), time.Time{}) {
		d.log.Warn(refusalAdvice[k.Kind], "reason", k.Kind, "address", addr, "principal", clipped(principal))
	}
}

// advise is what the log says of a refusal.
func advise(kind string, r *http.Request) string {
	if kind == link.RefusedOrigin {
		asked := guard.BrowserRequest{Origin: r.Header.Get("Origin"), Host: r.Host, TLS: r.TLS != nil}
		return guard.OriginAdvice(asked, r.Header.Get("X-Forwarded-Host"))
	}
	return refusalAdvice[kind]
}

// sumUpRefusals logs who was refused again since the last time.
func (s *Server) sumUpRefusals(now time.Time) {
	for _, r := range s.refusals.Due(now) {
		s.log.Warn("refused again", "reason", r.Kind, "address", r.Addr, "shown", r.Detail, "times", r.New, "total", r.Count)
	}
}

// refusedList implements admin.Refused.
type refusedList struct{ s *Server }

// List implements admin.Refused.
func (l refusedList) List() (list []admin.RefusedView) {
	now := time.Now()
	for _, b := range l.s.failures.List(now) {
		list = append(list, admin.RefusedView{
			Kind: refusedTokens, Address: b.Addr.String(), Count: uint64(b.Count), Since: b.Since, Until: b.Until,
		})
	}
	for _, b := range l.s.penalties.List(now) {
		list = append(list, admin.RefusedView{Kind: refusedPenalty, Address: b.Addr.String(), Count: 1, Since: b.Since, Until: b.Until})
	}
	for _, r := range l.s.refusals.List(now) {
		v := admin.RefusedView{Kind: r.Kind, Shown: r.Detail, Count: r.Count, Since: r.First, Last: r.Last, Until: r.Until}
		if r.Addr.IsValid() {
			v.Address = r.Addr.String()
		}
		list = append(list, v)
	}
	return list
}

// Kinds implements admin.Refused.
func (l refusedList) Kinds() []string {
	return append([]string{link.RefusedOrigin, link.RefusedVersion, link.RefusedInbound, refusedSchema, refusedTokens, refusedPenalty}, link.RefusedLimits()...)
}

// Clear implements admin.Refused.
func (l refusedList) Clear(kind string, addr netip.Addr) (n int) {
	now := time.Now()
	if kind == "" || kind == refusedTokens {
		n += l.s.failures.Clear(addr, now)
	}
	if kind == "" || kind == refusedPenalty {
		n += l.s.penalties.Clear(addr, now)
	}
	return n + l.s.refusals.Forget(kind, addr)
}
