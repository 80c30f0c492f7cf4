package guard

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"

	"github.com/streamweir/weir/internal/wire/proxy"
)

// ForwardField is the field of a request that says whom a proxy had it from. One alone is believed: proxies write theirs, and pass
// what a client has put into the others.
type ForwardField uint8

// The fields.
const (
	NoField       ForwardField = iota
	XForwardedFor              // X-Forwarded-For
	Forwarded                  // RFC 7239
)

// Proxies are the networks whose word about the client behind them is believed. It is immutable; nil trusts nobody.
type Proxies struct {
	networks []netip.Prefix
	field    ForwardField
}

// MaxProxies is how many networks may be trusted: each is looked at for every request.
const MaxProxies = 256

// NewProxies reads networks, "10.0.0.0/8", or single addresses; nil if there are none.
func NewProxies(list []string, field ForwardField) (*Proxies, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > MaxProxies {
		return nil, fmt.Errorf("%d networks: want at most %d, each is looked at for every request", len(list), MaxProxies)
	}
	p := &Proxies{field: field}
	for i, text := range list {
		network, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("[%d] %q: %w", i, text, err)
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

var errNetwork = errors.New(`want a network such as "10.0.0.0/8", or an address`)

func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil || network.Addr().Is4In6():
		return netip.Prefix{}, errNetwork
	case network.Bits() == 0:
		return netip.Prefix{}, errors.New("is everybody: then anybody may say to have any address")
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits beyond its length: want %v", network.Masked())
	}
	return network, nil
}

// Trusts reports whether what comes from an address is believed.
func (p *Proxies) Trusts(a netip.Addr) bool {
	if p == nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Client is where a request comes from that peer has sent: the nearest that is not trusted of those it is said to have come by.
// An entry that names no address is not passed: it is whoever has said so. The port is 0 where it is not known.
func (p *Proxies) Client(peer netip.AddrPort, h http.Header) netip.AddrPort {
	if !p.Trusts(peer.Addr()) {
		return peer
	}
	for hop := range p.hops(h) {
		if !hop.IsValid() {
			break
		}
		peer = hop
		if !p.Trusts(peer.Addr()) {
			break
		}
	}
	return peer
}

// hops are where a request is said to have come by, the nearest first.
func (p *Proxies) hops(h http.Header) iter.Seq[netip.AddrPort] {
	switch p.field {
	case XForwardedFor:
		return proxy.XForwardedFor(h["X-Forwarded-For"])
	case Forwarded:
		return proxy.Forwarded(h["Forwarded"])
	case NoField:
	}
	return func(func(netip.AddrPort) bool) {}
}
