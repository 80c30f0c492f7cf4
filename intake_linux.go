package weir

import (
	"net"

	"github.com/streamweir/weir/internal/transport"
)

// intake accepts on the loops; what does not ask for a websocket comes out of it for net/http.
func (d *door) intake(ln net.Listener, o transport.TCPOptions) (net.Listener, error) {
	in, err := transport.NewIntake(ln, d.srv.pollers, transport.IntakeOptions{
		Socket: o, HeadTimeout: d.opts.Limits.HeaderTimeout, Arrive: d.arrive, Keep: d.curious.Load,
	})
	if err != nil {
		return nil, err
	}
	d.lost.Store(&in.Failed)
	return in, nil
}

//weir:loop
func (d *door) arrive(a *transport.Arrival) {
	if !d.srv.running() {
		a.PassOn()
		return
	}
	d.engine.Arrive(a)
}
