package config

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/streamweir/weir"
)

// options maps a document to weir.Options and books what its keys, each right by itself, contradict each other in.
func (r *reader) options(d *document) weir.Options {
	o := weir.Options{
		Shards:     d.Shards,
		Workers:    r.workers(&d.Workers),
		Outside:    weir.OutsideOptions{Max: d.Outside.Max, Queue: d.Outside.Queue},
		Memory:     weir.MemoryOptions{BudgetBytes: d.Memory.BudgetBytes, HighWatermark: d.Memory.HighWatermark},
		Management: r.management(d),
		Journal:    r.journal(d),
		Cluster:    r.cluster(&d.Cluster),
		Drain:      weir.DrainOptions{ClientsPerSecond: d.Drain.ClientsPerSecond, Timeout: d.Drain.Timeout},
		AuthFailures: weir.AuthFailures{
			Max: d.Access.Failures.Max, Window: d.Access.Failures.Window,
		},
	}
	o.Authenticate = r.authenticate(&d.Access)
	o.Hooks = r.hooks(&d.Hooks, d)
	o.Revoked = r.revoked(&d.Access.Revoked, o.Authenticate != nil || o.Hooks.Connect != "")
	for _, name := range slices.Sorted(maps.Keys(d.Servers)) {
		o.Servers = append(o.Servers, r.server(name, d.Servers[name], d))
	}
	r.listeners(d)
	r.warnRetentions(d)
	r.validate(&o)
	return o
}

// journal is the log on disk. A StreamFence file names its directory with each server; there is one journal for all.
func (r *reader) journal(d *document) weir.JournalOptions {
	k := &d.Journal
	o := weir.JournalOptions{
		Path: k.Path, Fsync: weir.Fsync(k.Fsync), Interval: k.Interval, MaxBytes: k.MaxBytes, WhenFull: weir.WhenFull(k.WhenFull),
	}
	if r.mode != streamFenceMode || k.Path != "" {
		return o
	}
	spills := false
	for _, name := range slices.Sorted(maps.Keys(d.Servers)) {
		s := d.Servers[name]
		for i := range s.Namespaces {
			n := &s.Namespaces[i]
			spills = spills || n.OverflowAction == weir.SpillToDisk || slices.ContainsFunc(n.Topics, func(t topic) bool { return t.OverflowAction == weir.SpillToDisk })
		}
		path := below("servers", name) + ".spillRootPath"
		switch {
		case s.SpillRootPath == "":
		case o.Path == "":
			o.Path = s.SpillRootPath
		case o.Path != s.SpillRootPath:
			r.warn(path, "there is one journal for all servers: it is in %s", o.Path)
		}
	}
	if spills && o.Path == "" {
		o.Path = streamFenceSpill
	}
	k.Path = o.Path // it is shown
	return o
}

// streamFenceSpill is where StreamFence spills unless it is told (protocol.md 3.13).
const streamFenceSpill = ".streamfence-spill"

// workers lowers the priority of handlers where that is possible (architecture.md D8): elsewhere only who asks for it is told.
func (r *reader) workers(w *workerKeys) weir.WorkerOptions {
	if runtime.GOOS != "linux" && !r.isSet("workers.nice") {
		w.Nice = 0
	}
	return weir.WorkerOptions{Max: w.Max, Nice: w.Nice, MailboxEvents: w.MailboxEvents, MailboxBytes: w.MailboxBytes}
}

func (r *reader) management(d *document) weir.ManagementOptions {
	m := &d.Management
	o := weir.ManagementOptions{
		Addr: r.address("management", m.Host, m.Port), PProf: m.Pprof,
		ReceiptTimeout: m.ReceiptTimeout, StreamFenceMetrics: d.Compat == "streamfence",
	}
	o.TLS = r.tls("management.tls", &m.TLS, m.TLS.isSet())
	names, keys := map[string]bool{}, map[string]string{}
	for i, k := range m.Keys {
		path := "management.keys[" + strconv.Itoa(i) + "]"
		if names[k.Name] && k.Name != "" {
			r.wrong(path+".name", "%q is the name of another key: want a name of its own, the log tells keys apart by it", k.Name)
		}
		if other, same := keys[k.Key]; same && k.Key != "" {
			r.wrong(path+".key", "is the same as that of %q: want a key of its own", other)
		}
		names[k.Name], keys[k.Key] = true, k.Name
		o.Keys = append(o.Keys, weir.ManagementKey{Name: k.Name, Key: k.Key, Allow: k.Allow, Namespaces: namespacesOrAll(k.Namespaces)})
	}
	if len(m.Keys) == 0 && !loopback(m.Host) {
		r.wrong("management.host", "%q is not a loopback address: there management.keys needs at least one entry", m.Host)
	}
	switch {
	case m.Probes.Port != 0:
		o.Probes = r.address("management.probes", m.Probes.Host, m.Probes.Port)
	case m.Probes.Host != "":
		r.wrong("management.probes.host", "has no effect without management.probes.port")
	}
	return o
}

// namespacesOrAll is a list as weir.ManagementKey has it.
func namespacesOrAll(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// hostName is one as resolvers take it (RFC 1123 2.1), and the underscore of containers' names.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

// address joins host and port after looking at the host.
func (r *reader) address(path, host string, port int) string {
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostName.MatchString(host) {
		r.wrong(path+".host", "%q: want a host name or an IP address, without scheme, brackets and port; 0.0.0.0 is every address of IPv4, :: of both", host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// listeners refuses two listeners for one port. The management port moves out of the way unless it was configured.
func (r *reader) listeners(d *document) {
	type listener struct {
		path, host string
		port       int
	}
	var taken []listener
	take := func(l listener) {
		for _, t := range taken {
			if t.port == l.port && l.port != 0 && !r.booked(t.path+".port") && (t.host == l.host || anyAddress(t.host) || anyAddress(l.host)) {
				r.wrong(l.path+".port", "%d is the port of %s as well: want another one", l.port, t.path)
				return
			}
		}
		taken = append(taken, l)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Servers)) {
		take(listener{below("servers", name), d.Servers[name].Host, d.Servers[name].Port})
	}
	m := &d.Management
	if r.isSet("management.host") || r.isSet("management.port") {
		take(listener{"management", m.Host, m.Port})
	}
	take(listener{"management.probes", m.Probes.Host, m.Probes.Port})
}

func anyAddress(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || (err == nil && ip.IsUnspecified())
}

func (r *reader) server(name string, s *server, d *document) weir.ServerOptions {
	path := below("servers", name)
	o := weir.ServerOptions{
		Name: name, Addr: r.address(path, s.Host, s.Port), SocketIO: r.socketIO(path, s),
		Origins: r.origins(path, s), Credentials: s.Credentials, Auth: s.Auth == "TOKEN",
		ProxyProtocol: s.ProxyProtocol,
		NotSentLowat:  s.NotSentLowatBytes, Driver: weir.Driver(strings.TrimPrefix(s.Driver, "auto")),
		Limits: weir.ServerLimits{
			HeaderTimeout:       s.Limits.HeaderTimeout,
			KeepAlive:           s.Limits.KeepAliveTimeout,
			MaxSilence:          s.Limits.MaxSilence,
			Connections:         s.Limits.MaxConnections,
			Pending:             s.Limits.MaxPending,
			HandshakesPerSecond: s.Limits.HandshakesPerSecond,
			PerAddress:          s.Limits.PerAddress,
			PerPrincipal:        s.Limits.PerPrincipal,

			TrustedProxies:  s.Limits.TrustedProxies,
			ForwardedHeader: weir.ForwardedHeader(strings.TrimPrefix(s.Limits.ForwardedHeader, "auto")),

			HandshakesPerSecondPerAddress: s.Limits.AddressHandshakes,

			SubscriptionsPerSocket: s.Limits.SubscriptionsPerSocket,
			RoomsPerSocket:         s.Limits.RoomsPerSocket,
			TopicsPerNamespace:     s.Limits.TopicsPerNamespace,
			Inbound:                r.inbound(path+".limits.inbound", s.Limits.Inbound),
		},
	}
	o.TLS = r.tls(path+".tls", &s.TLS, s.Transport == "WSS")
	if r.isSet(path + ".managementPort") {
		r.warn(path+".managementPort", "has no effect, as in StreamFence's files: the management API, with /metrics, listens on management.port, now %d", d.Management.Port)
	}
	if s.NotSentLowatBytes == 0 {
		o.NotSentLowat = weir.Off // in weir.ServerOptions 0 is the default
	}
	if o.Auth && len(d.Access.StaticTokens) == 0 && !d.Access.JWT.hasKeys() && d.Hooks.Connect == "" {
		r.wrong(path+".auth", "TOKEN would refuse everybody: access.staticTokens has no token, access.jwt no keys, and hooks.connect names no backend")
	}
	for i := range s.Namespaces {
		o.Namespaces = append(o.Namespaces, r.namespace(path+".namespaces["+strconv.Itoa(i)+"]", &s.Namespaces[i]))
	}
	return o
}

// inbound is what clients may send. In weir.InboundLimit 0 is the default.
func (r *reader) inbound(path string, list []inboundLimit) (limits []weir.InboundLimit) {
	for i, k := range list {
		l := weir.InboundLimit{
			Events: k.Events, Topics: k.Topics, Messages: k.Messages, Bytes: k.Bytes, Window: k.Window,
			Action: weir.InboundAction(k.Action), Per: weir.InboundScope(k.Per), DryRun: k.DryRun,
		}
		if at := path + "[" + strconv.Itoa(i) + "]"; k.Events == "" {
			r.wrong(at+".events", "is empty: want a name, or a prefix that ends in *; * is every event")
		} else if k.Messages == 0 && k.Bytes == 0 {
			r.wrong(at+".messages", "0, and so is bytes: it would limit nothing")
		}
		if k.Messages == 0 {
			l.Messages = weir.Off
		}
		if k.Bytes == 0 {
			l.Bytes = weir.Off
		}
		limits = append(limits, l)
	}
	return limits
}

// origins opens a StreamFence server to every page as long as no cookie authenticates (configuration.md).
func (r *reader) origins(path string, s *server) []string {
	if r.mode == weirMode || r.isSet(path+".origins") || s.Credentials {
		return s.Origins
	}
	r.warn(path+".origins", "pages of every origin may connect, as in StreamFence; to let in only some, list them: origins: [\"https://example.com\"]")
	s.Origins = []string{"*"}
	return s.Origins
}

func (r *reader) socketIO(path string, s *server) weir.SocketIOOptions {
	k := &s.SocketIO
	if !strings.HasPrefix(k.Path, "/") {
		r.wrong(path+".socketio.path", "%q: want a path that begins with \"/\"", k.Path)
	}
	return weir.SocketIOOptions{
		Path: k.Path, PingInterval: k.PingInterval, PingTimeout: k.PingTimeout, UpgradeTimeout: k.UpgradeTimeout,
		ConnectTimeout: k.ConnectTimeout, MaxHTTPBufferSize: k.MaxHTTPBufferSize, Transports: r.transports(path, s),
		NoUpgrades: !k.AllowUpgrades, NoClientFiles: !k.ServeClient, NoHTTPCompression: !k.HTTPCompression,
		PerMessageDeflate: k.PerMessageDeflate,
		Cookie:            k.Cookie.cookie(),
	}
}

// transports joins StreamFence's key and Socket.IO's.
func (r *reader) transports(path string, s *server) []string {
	list := s.SocketIO.Transports
	polling := slices.Contains(list, "polling")
	at := path + ".socketio.transports"
	if len(list) == 0 {
		r.wrong(at, "is empty: want polling, websocket or both")
	}
	switch only := s.EngineIoTransport == "WEBSOCKET_ONLY"; {
	case !r.isSet(path+".engineIoTransport") && !polling:
		s.EngineIoTransport = "WEBSOCKET_ONLY"
	case only && !r.isSet(at):
		s.SocketIO.Transports = []string{"websocket"}
	case only == polling:
		r.wrong(at, "contradicts engineIoTransport: %s: remove one of them", s.EngineIoTransport)
	}
	return s.SocketIO.Transports
}

func (c *cookieKeys) cookie() *http.Cookie {
	if !c.On {
		return nil
	}
	site := map[string]http.SameSite{"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode}
	return &http.Cookie{
		Name: c.Name, Path: c.Path, Domain: c.Domain, HttpOnly: c.HTTPOnly, Secure: c.Secure,
		SameSite: site[c.SameSite], MaxAge: c.MaxAge,
	}
}

func (r *reader) namespace(path string, n *namespace) weir.NamespaceOptions {
	o := weir.NamespaceOptions{
		Path: n.Path, Dialect: n.Dialect, AutoSubscribe: n.AutoSubscribe, ClientPublish: n.ClientPublish == "allow",
		ClientPublishGranted: n.ClientPublish == "permitted", ClientHistory: n.ClientHistory == "allow", ClientRooms: n.ClientRooms,
		EventsLane:  weir.Limits{Messages: n.EventsLane.MaxMessages, Bytes: n.EventsLane.MaxBytes},
		SlowPenalty: n.SlowPenalty, AuthRequired: n.AuthRequired,
	}
	if n.EventsLane.OverflowAction == weir.RejectNew {
		o.EventsOverflow = weir.EventsRejectNew
	}
	if n.InboundAckPolicy == "ACK_AFTER_HANDLER_SUCCESS" {
		o.InboundAck = weir.AckAfterHandlerSuccess
	}
	if len(n.Topics) == 0 && r.mode == streamFenceMode {
		r.wrong(path+".topics", "want at least one topic")
	}
	if n.MaxInFlight = max(n.MaxInFlight, 1); !r.isSet(path + ".maxInFlight") {
		n.MaxInFlight = min(n.MaxInFlight, n.MaxQueuedMessagesPerClient)
	}
	for i := range n.Topics {
		at := path + ".topics[" + strconv.Itoa(i) + "]"
		r.inherit(&n.policy, &n.Topics[i].policy, at)
		o.Topics = append(o.Topics, r.topic(&n.Topics[i], policyPaths{namespace: path, topic: at}))
	}
	o.Schemas = r.schemas(path+".schemas", n)
	r.warnNamespace(path, n)
	return o
}
