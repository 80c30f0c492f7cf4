package weir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/drain"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/ports"
	"github.com/streamweir/weir/internal/transport"
)

// Management returns the management API of protocol.md 5, to be mounted behind the
// application's own access control: the handler itself asks for the configured
// keys, and without keys for nothing.
func (s *Server) Management() http.Handler {
	o := s.adminOptions()
	o.Local = func(*http.Request) error { return nil }
	return admin.New(o)
}

func (s *Server) adminOptions() admin.Options {
	o := admin.Options{
		Hub: s.hub, Publisher: publisher{s}, Sockets: sockets{s}, State: state{s}, Refused: refusedList{s}, Handlers: handlers{s}, Revocations: revocations{s}, History: s.history, Extra: s.extra, Troubles: s.disk.troubles,
		Gatherer: s.registry, Local: guard.CheckLocal, PProf: s.opts.Management.PProf,
		ReceiptTimeout: s.opts.Management.ReceiptTimeout, Views: s.views, Ledger: s.ledger, Logger: s.log, Done: s.closing,
		Reload: s.extras.Reload,
	}
	if keys := s.keys(s.opts.Management.Keys); keys.Len() > 0 {
		s.bearers.CompareAndSwap(nil, &keys)
		o.Authorize = func(token string) (string, admin.Allow, bool) {
			k, ok := s.bearers.Load().Authorize(token)
			return k.Name, admin.Allow{
				Publish: k.Allow.Has(guard.AllowPublish), Read: k.Allow.Has(guard.AllowRead), Admin: k.Allow.Has(guard.AllowAdmin), Namespaces: k.Namespaces,
			}, ok
		}
	}
	return o
}

// keys are the configured ones; Validate has seen that they are in order.
func (s *Server) keys(configured []ManagementKey) guard.Keys {
	var list []guard.Key
	for _, k := range configured {
		allow, err := guard.ParseAllow(k.Allow)
		if err != nil {
			continue
		}
		list = append(list, guard.Key{Name: k.Name, Key: k.Key, Allow: allow, Namespaces: k.Namespaces})
	}
	keys, err := guard.NewKeys(list)
	if err != nil {
		s.log.Error("management keys", "error", err)
	}
	return keys
}

// managementHeaderTimeout is how long a request's header, and a TLS handshake before it, has to arrive there.
const managementHeaderTimeout = 5 * time.Second

// managementPorts are the management port and the probes, as far as configured.
func (s *Server) managementPorts() (specs []ports.Spec) {
	m := s.opts.Management
	if m.Addr != "" {
		specs = append(specs, ports.Spec{
			Name: "management", Addr: m.Addr, Handler: admin.New(s.adminOptions()), HeaderTimeout: managementHeaderTimeout,
			NextFree: s.extras.ManagementAddrDefaulted, Accept: s.acceptManagement,
		})
	}
	if m.Probes != "" {
		specs = append(specs, ports.Spec{
			Name: "probes", Addr: m.Probes, Handler: admin.Probes(s.adminOptions()), HeaderTimeout: managementHeaderTimeout,
		})
	}
	return specs
}

// acceptManagement makes an open port the management API's.
func (s *Server) acceptManagement(ln net.Listener) (net.Listener, error) {
	if s.managementTLS == nil {
		return ln, nil
	}
	return s.managementTLS.listen(s, &transport.Listener{Listener: ln}, managementHeaderTimeout), nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// The binary and weirtest have what embedders are not offered.
func init() {
	attach.To = func(server any, e attach.Extras) { server.(*Server).extras = e }
	attach.Apply = func(server, options any, p attach.Parts) { server.(*Server).apply(options.(*Options), p) }
	attach.FirstDoor = func(server any) (name, path string) {
		d := server.(*Server).doors[0]
		return d.opts.Name, d.path()
	}
}

// register makes the metrics, and gives them to the embedder's registry too.
func (s *Server) register() error {
	s.exposed = metrics.New(metrics.Options{Hub: s.hub, Extra: s.extra, StreamFence: s.opts.Management.StreamFenceMetrics})
	var err error
	if s.registry, err = s.exposed.Registry(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if s.opts.Registerer == nil {
		return nil
	}
	return s.registerWith(s.opts.Registerer)
}

// maxNamesakes is how many servers without a name may share a Registerer.
const maxNamesakes = 1000

// registerWith gives the metrics to a registerer that other servers may use too: the label node tells them apart. A
// server without a name is "", or the first number from 2 on that is free.
func (s *Server) registerWith(r prometheus.Registerer) error {
	for n := 1; ; n++ {
		name := s.opts.Name
		if name == "" && n > 1 {
			name = strconv.Itoa(n)
		}
		named := prometheus.WrapRegistererWith(prometheus.Labels{"node": name}, r)
		err := named.Register(s.exposed)
		var taken prometheus.AlreadyRegisteredError
		switch {
		case err == nil:
			s.registered = named
			return nil
		case !errors.As(err, &taken):
			return fmt.Errorf("metrics: register with Options.Registerer: %w", err)
		case s.opts.Name != "":
			return fmt.Errorf("metrics: another server with Options.Name %q has registered with this Options.Registerer and was not closed", name)
		case n == maxNamesakes:
			return fmt.Errorf("metrics: %d servers have registered with this Options.Registerer and were not closed", n)
		}
	}
}

func (s *Server) unregister() {
	if s.registered != nil {
		s.registered.Unregister(s.exposed)
	}
}

// state implements admin.State.
type state struct{ s *Server }

// Ready implements admin.State.
func (st state) Ready(whole bool) error {
	switch {
	case st.s.leaving():
		return inward(coded(ErrDraining, "the server is draining"))
	case !st.s.running():
		return inward(errNotRunning)
	}
	return st.begun(whole)
}

// Begun implements admin.State.
func (st state) Begun() error { return st.begun(true) }

// begun says what is waited for, and why if it is for those who may know addresses.
func (st state) begun(whole bool) error {
	select {
	case <-st.s.ready:
		return nil
	case <-st.s.closing: // which other errors say
		return nil
	default:
	}
	if st.s.state.Load() == stateNew {
		return nil
	}
	if why := st.s.fleet.lacks.err(); why != nil && st.s.fleet.member.Load() == nil {
		if !whole {
			return inward(coded(ErrUnavailable, "the server does not serve yet: it waits for its cluster, the log says why"))
		}
		return inward(coded(ErrUnavailable, fmt.Sprintf("the server does not serve yet: it waits for its cluster: %v", why)))
	}
	return inward(coded(ErrUnavailable, "the server does not serve yet"))
}

// Ailing implements admin.State.
func (st state) Ailing() string { return st.s.fleet.ailing() }

// Drain implements admin.State: Run drains and returns.
func (st state) Drain() (drain.Progress, error) {
	if !st.s.leave() {
		return drain.Progress{}, inward(errNotRunning)
	}
	return st.s.drain.Progress(), nil
}

// Draining implements admin.State.
func (st state) Draining() drain.Progress { return st.s.drain.Progress() }

// Config implements admin.State.
func (st state) Config() any {
	if f := st.s.extras.Config; f != nil {
		return f()
	}
	return map[string]any{}
}

// publisher implements admin.Publisher.
type publisher struct{ s *Server }

// Publish implements admin.Publisher.
func (p publisher) Publish(ctx context.Context, r *admin.PublishRequest) (*delivery.Pending, error) {
	n := p.s.byPath.Find(r.Namespace)
	if n == nil {
		return nil, inward(coded(ErrUnknown, "unknown namespace "+r.Namespace))
	}
	pub := &delivery.Publication{Payload: r.Payload, Binary: r.Binary, Key: r.Key, ID: r.ID, TTL: r.TTL}
	pub.Target.Socket, pub.Target.Principal = r.Socket, r.Principal
	if r.Room != "" {
		pub.Target.Rooms = []string{r.Room}
	}
	pending, err := n.begin(ctx, byApplication, r.Topic, pub, r.Receipt)
	return pending, inward(err)
}
