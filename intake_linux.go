package weir

import (
	"net"

	"github.com/streamweir/weir/internal/transport"
)

// intake accepts on the loops; what does not ask for a websocket comes out of it for net/http.
func (d *door) intake(ln net.Listener, o transport.SocketOptions) (net.Listener, error) {
	return transport.NewIntake(ln, d.srv.pollers, transport.IntakeOptions{
		Socket: o, HeadTimeout: d.opts.Limits.HeaderTimeout, Arrive: d.arrive, Keep: d.curious.Load,
	})
}

func (d *door) arrive(a *transport.Arrival) {
	if !d.srv.running() {
		a.PassOn()
		return
	}
	d.engine.Arrive(a)
}
