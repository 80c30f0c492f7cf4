package link

import (
	"net"

	"github.com/streamweir/weir/internal/transport"
)

// intake accepts on the loops; what does not ask for a websocket comes out of it for net/http.
func (d *Door) intake(ln net.Listener, o transport.TCPOptions) (net.Listener, error) {
	in, err := transport.NewIntake(ln, d.Pollers, transport.IntakeOptions{
		Socket: o, HeadTimeout: d.opts.HeaderTimeout, Proxy: d.introductions(), Arrive: d.arrive, Keep: d.Curious.Load,
	})
	if err != nil {
		return nil, err
	}
	d.lost.Store(&in.Failed)
	return in, nil
}

//weir:loop
func (d *Door) arrive(a *transport.Arrival) {
	if !d.house.Running() {
		a.PassOn()
		return
	}
	if from, is := d.behind(a.Request); is {
		a.Request.RemoteAddr = from
	}
	d.engine.Arrive(a)
}
