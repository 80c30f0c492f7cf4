package link

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/transport"
)

// Pollers are where the loops sleep if any door's connections are held by them; nil: none's are.
type Pollers []*transport.Poller

// NewPollers returns one for each loop, with the loops' clock.
func NewPollers(loops int, now func() int64) (ps Pollers, waiters []delivery.Waiter) {
	for range loops {
		p := transport.NewPoller(now)
		ps, waiters = append(ps, p), append(waiters, p)
	}
	return ps, waiters
}

// Open is called before the loops run.
func (ps Pollers) Open(h *delivery.Hub) error {
	for i, p := range ps {
		if err := p.Open(h.Shards()[i]); err != nil {
			ps.Close()
			return fmt.Errorf("epoll driver: %w", err)
		}
	}
	return nil
}

// Close is called when the loops have ended.
func (ps Pollers) Close() {
	for _, p := range ps {
		p.Close()
	}
}

// Accept makes an open port the door's.
func (d *Door) Accept(ln net.Listener) (net.Listener, error) {
	o := d.engine.TCPOptions()
	o.Ceiling, o.Full = guard.Ceiling(d.Descriptors()), d.house.NoRoom
	if d.opts.Epoll {
		return d.intake(ln, o)
	}
	l := &transport.Listener{Listener: ln, Options: o, Clear: d.opts.Secure == nil, Proxy: d.introductions(), HeadTimeout: d.opts.HeaderTimeout}
	d.lost.Store(&l.Failed)
	if d.opts.Secure != nil {
		return d.opts.Secure(l), nil
	}
	return l, nil
}

// introductions are what the door's ports expect of proxies; nil: nothing.
func (d *Door) introductions() *transport.ProxyOptions {
	if !d.opts.Introduced {
		return nil
	}
	return &transport.ProxyOptions{Trusts: d.opts.Proxies.Trusts, Refused: func(from netip.Addr, why error) {
		d.refused[proxyHeader].Add(1)
		d.reception.Refuses(guard.RefusalKey{Kind: RefusedProxy, Addr: from, Detail: why.Error()}, time.Time{}, &http.Request{})
	}}
}

// Herd is the hub's clients as the drain sees them.
type Herd struct{ *delivery.Hub }

// SendAway implements drain.Herd.
func (h Herd) SendAway(n int) { h.Hub.SendAway(n, base.CauseDraining) }

// SentAway implements drain.Herd.
func (h Herd) SentAway() int { return int(h.Cuts(base.CauseDraining)) }
