package weir

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/kept"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/workers"
)

// Defaults that more than one place needs.
const (
	defaultMessages      = 64
	defaultBytes         = 512 << 10
	defaultEventMessages = 1024
	defaultEventBytes    = 1 << 20
	defaultAckTimeout    = 5 * time.Second
	defaultMaxRetries    = 5
	defaultBackoff       = 2
	defaultInFlight      = 32
	defaultSnapshot      = 1000
	defaultSnapshotBytes = 1 << 20
	maxSnapshot          = 100_000
	defaultSlowPenalty   = 5 * time.Second
	defaultPerSocket     = 1000
	defaultTopics        = 200_000 // made from patterns, in one namespace
)

// maxFlushDelay bounds TopicOptions.FlushDelay.
const maxFlushDelay = time.Second

// problems collects everything that is wrong with the options.
type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

// address refuses what no port could be opened for, but for a name that has to be looked up; "" is none.
func (p *problems) address(at, addr string) {
	if addr == "" {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		p.add("%s %q: want host:port (%v)", at, addr, err)
	}
}

// Validate reports every problem of the options at once, joined; New calls it.
func (o *Options) Validate() error {
	var p problems
	if i := o.defaultServer(); i >= 0 && o.Addr != "" && o.Servers[i].Addr != "" {
		p.add("Addr %q: Servers[%d].Addr, of the same server, is %q", o.Addr, i, o.Servers[i].Addr)
	}
	if !utf8.ValidString(o.Name) {
		p.add("Name %q: not UTF-8", o.Name)
	}
	paths, names, addrs := map[string]string{}, map[string]bool{}, map[string]string{}
	for i, s := range o.servers() {
		at := fmt.Sprintf("Servers[%d]", i)
		if names[s.Name] {
			p.add("%s.Name %q: another server has it", at, s.Name)
		}
		names[s.Name] = true
		if s.Addr != "" && !strings.HasSuffix(s.Addr, ":0") {
			if other, taken := addrs[s.Addr]; taken {
				p.add("%s.Addr %q: server %q has it", at, s.Addr, other)
			}
			addrs[s.Addr] = s.Name
		}
		p.address(at+".Addr", s.Addr)
		s.validate(&p, at, o.authenticates(), o.Journal.Path)
		for j, n := range s.Namespaces {
			n.validateCluster(&p, fmt.Sprintf("%s.Namespaces[%d]", at, j), &o.Cluster)
			if other, taken := paths[n.Path]; taken {
				p.add("%s.Namespaces[%d].Path %q: server %q has it; a process serves a namespace once", at, j, n.Path, other)
			}
			paths[n.Path] = s.Name
		}
	}
	o.numbers(&p)
	o.Journal.validate(&p)
	o.Cluster.validate(&p)
	o.Revoked.validate(&p, o.authenticates())
	o.Hooks.validate(&p, slices.ContainsFunc(o.servers(), func(s ServerOptions) bool { return s.Auth }))
	o.Workers.validateDeadline(&p)
	if o.Workers.Nice != 0 && !workers.NiceSupported {
		p.add("Workers.Nice %d: only Linux can run handlers at another priority", o.Workers.Nice)
	}
	o.Management.validate(&p)
	return errors.Join(p...)
}

func (s *ServerOptions) validate(p *problems, at string, canAuth bool, journal string) {
	if _, err := guard.NewOrigins(s.Origins); err != nil {
		p.add("%s.Origins: %w", at, err)
	}
	s.Driver.validate(p, at)
	s.TLS.validate(p, at+".TLS")
	if s.TLS != nil && s.Driver == DriverEpoll {
		p.add("%s.Driver %q: TLS needs a goroutine for each connection: want goroutine or nothing", at, s.Driver)
	}
	if s.TLS != nil && s.Addr == "" {
		p.add("%s.TLS: without an Addr no port is opened that could speak it; a mounted server has the TLS of the HTTP server it is mounted in", at)
	}
	s.numbers(p, at)
	s.Limits.validateInbound(p, at+".Limits")
	s.validateProxies(p, at)
	if io := s.SocketIO; s.Limits.MaxSilence != 0 {
		if least := orDefault(io.PingInterval, 25*time.Second) + orDefault(io.PingTimeout, 20*time.Second); s.Limits.MaxSilence < least {
			p.add("%s.Limits.MaxSilence %v: want at least PingInterval + PingTimeout, %v", at, s.Limits.MaxSilence, least)
		}
	}
	if s.Auth && !canAuth {
		p.add("%s.Auth: neither Options.Authenticate nor Options.Hooks.Connect is set", at)
	}
	for _, t := range s.SocketIO.Transports {
		if t != "polling" && t != "websocket" {
			p.add("%s.SocketIO.Transports %q: want polling or websocket", at, t)
		}
	}
	if s.Credentials {
		for _, o := range s.Origins {
			if o == "*" {
				p.add("%s.Credentials with Origins \"*\": every site could act for the user; list the origins", at)
			}
		}
	}
	for i := range s.Namespaces {
		s.Namespaces[i].validate(p, fmt.Sprintf("%s.Namespaces[%d]", at, i), s.Auth, journal)
	}
}

func (n *NamespaceOptions) validate(p *problems, at string, auth bool, journal string) {
	if !strings.HasPrefix(n.Path, "/") || strings.ContainsAny(n.Path, ",?") {
		p.add("%s.Path %q: want a path that begins with \"/\" and has no comma or question mark", at, n.Path)
	}
	if n.AuthRequired && !auth {
		p.add("%s.AuthRequired: the server's Auth is off, so nobody would be asked", at)
	}
	if n.EventsOverflow > EventsRejectNew {
		p.add("%s.EventsOverflow %d: want EventsDisconnect or EventsRejectNew", at, n.EventsOverflow)
	}
	n.numbers(p, at)
	n.validateRooms(p, at)
	n.validateSchemas(p, at)
	seen := map[string]bool{}
	for i := range n.Topics {
		t := &n.Topics[i]
		where := fmt.Sprintf("%s.Topics[%d] (%s)", at, i, t.Name)
		if seen[t.Name] {
			p.add("%s: declared twice", where)
		}
		seen[t.Name] = true
		if t.AuthRequired && !auth {
			p.add("%s.AuthRequired: the server's Auth is off, so nobody would be asked", where)
		}
		t.validate(p, where)
		t.validateJournal(p, where, journal)
	}
	for _, name := range n.AutoSubscribe {
		switch t := n.declares(name); {
		case t == nil:
			p.add("%s.AutoSubscribe %q: no such topic is declared", at, name)
		case t.AuthRequired && !n.AuthRequired:
			p.add("%s.AutoSubscribe %q: the topic asks for a token, which nobody has been asked for: set AuthRequired on the namespace too", at, name)
		}
	}
}

// declares returns the topic a concrete name falls under, nil if none: the exact
// one, else that with the longest prefix.
func (n *NamespaceOptions) declares(name string) (found *TopicOptions) {
	if name == "" || strings.HasSuffix(name, "*") {
		return nil
	}
	longest := -1
	for i := range n.Topics {
		t := &n.Topics[i]
		if t.Name == name {
			return t
		}
		prefix, pattern := strings.CutSuffix(t.Name, "*")
		if pattern && len(prefix) > longest && strings.HasPrefix(name, prefix) {
			found, longest = t, len(prefix)
		}
	}
	return found
}

func (t *TopicOptions) validate(p *problems, at string) {
	checkTopicName(p, at, t.Name)
	t.numbers(p, at)
	if t.Mode == AtLeastOnce && t.Overflow != RejectNew && t.Overflow != DisconnectClient && t.Overflow != SpillToDisk {
		p.add("%s.Overflow %v: an AT_LEAST_ONCE topic cannot drop messages; want REJECT_NEW, SPILL_TO_DISK or DISCONNECT", at, t.Overflow)
	}
	if t.Key != "" && t.Overflow != Coalesce {
		p.add("%s.Key %q: only COALESCE uses a key", at, t.Key)
	}
	if t.Key != "" && !strings.HasPrefix(t.Key, "/") {
		p.add("%s.Key %q: want a JSON pointer that begins with \"/\"", at, t.Key)
	}
	t.validateSnapshot(p, at)
	t.validateHistory(p, at)
}

func (t *TopicOptions) validateSnapshot(p *problems, at string) {
	if m := t.SnapshotMax.Messages; m < Off || m > maxSnapshot {
		p.add("%s.SnapshotMax.Messages %d: want 1 to %d, or Off", at, m, maxSnapshot)
	}
	if t.Snapshot && t.SnapshotMax.Messages == Off {
		p.add("%s.Snapshot: nothing is kept to send, SnapshotMax.Messages is Off", at)
	}
}

// checkTopicName refuses names that mean something else on the wire (protocol.md 4).
func checkTopicName(p *problems, at, name string) {
	if !isUnicode(name) {
		p.add("%s.Name %q: holds U+FFFD or bytes that are no UTF-8", at, name)
	}
	if strings.TrimSpace(name) == "" || name == "*" {
		p.add("%s: a topic needs a name; a prefix needs at least one character before \"*\"", at)
	}
	if len(name) > maxTopicName {
		p.add("%s: a name of %d bytes: want at most %d", at, len(name), maxTopicName)
	}
	if why := reservedTopic(name); why != "" {
		p.add("%s: %s", at, why)
	}
}

// reservedTopic says why a name cannot be a topic's, "" if it can: its deliveries
// are events of that name.
func reservedTopic(name string) string {
	switch {
	case sio.Reserved(name):
		return fmt.Sprintf("%q is an event of the protocol", name)
	case strings.HasPrefix(name, "weir:"):
		return "names that begin with \"weir:\" are Weir's own"
	case deliveryEvents[name]:
		return fmt.Sprintf("%q is a delivery event of clients", name)
	}
	return ""
}

func (m *ManagementOptions) validate(p *problems) {
	names := map[string]bool{}
	for i, k := range m.Keys {
		at := fmt.Sprintf("Management.Keys[%d]", i)
		if k.Name == "" || names[k.Name] {
			p.add("%s.Name %q: want a name of its own", at, k.Name)
		}
		names[k.Name] = true
		if k.Key == "" {
			p.add("%s.Key: empty", at)
		}
		for _, a := range k.Allow {
			if a != "publish" && a != "read" && a != "admin" {
				p.add("%s.Allow %q: want publish, read or admin", at, a)
			}
		}
		if k.Namespaces != nil && len(k.Namespaces) == 0 {
			p.add("%s.Namespaces: empty: want at least one, or nil for all", at)
		}
		for _, n := range k.Namespaces {
			if !strings.HasPrefix(n, "/") {
				p.add("%s.Namespaces %q: want a path such as /feed", at, n)
			}
		}
	}
	m.TLS.validate(p, "Management.TLS")
	if m.TLS != nil && m.Addr == "" {
		p.add("Management.TLS: without an Addr no port is opened that could speak it")
	}
	p.address("Management.Addr", m.Addr)
	p.address("Management.Probes", m.Probes)
	if m.Addr != "" && len(m.Keys) == 0 && !isLoopback(m.Addr) {
		p.add("Management.Addr %q: off loopback at least one key is required", m.Addr)
	}
}

// authenticates reports whether anybody can be asked who a client is.
func (o *Options) authenticates() bool { return o.Authenticate != nil || o.Hooks.Connect != "" }

// defaultName is the server's that Options.Addr and Options.Namespaces belong to.
const defaultName = "default"

// defaultServer is the index in Servers of that server, -1 if it is not one of them.
func (o *Options) defaultServer() int {
	return slices.IndexFunc(o.Servers, func(s ServerOptions) bool { return s.Name == "" || s.Name == defaultName })
}

// doors returns the servers, Addr and Namespaces being with the one they belong to.
func (o *Options) doors() []ServerOptions {
	list := slices.Clone(o.Servers)
	if len(list) > 0 && o.Addr == "" && len(o.Namespaces) == 0 {
		return list
	}
	i := o.defaultServer()
	if i < 0 {
		return append([]ServerOptions{{Addr: o.Addr, Namespaces: o.Namespaces, Auth: o.authenticates()}}, list...)
	}
	s := &list[i]
	s.Addr = cmp.Or(s.Addr, o.Addr)
	s.Namespaces = slices.Concat(o.Namespaces, s.Namespaces)
	return list
}

// servers returns the doors with their defaults filled in.
func (o *Options) servers() []ServerOptions {
	list := o.doors()
	out := make([]ServerOptions, len(list))
	for i, s := range list {
		s.Name = cmp.Or(s.Name, defaultName)
		s.Limits.HeaderTimeout = orDefault(s.Limits.HeaderTimeout, 5*time.Second)
		s.Limits.KeepAlive = orDefault(s.Limits.KeepAlive, 75*time.Second)
		s.Limits.SubscriptionsPerSocket = orDefault(s.Limits.SubscriptionsPerSocket, defaultPerSocket)
		s.Limits.RoomsPerSocket = orDefault(s.Limits.RoomsPerSocket, defaultPerSocket)
		s.Limits.TopicsPerNamespace = orDefault(s.Limits.TopicsPerNamespace, defaultTopics)
		s.SocketIO.ConnectTimeout = orDefault(s.SocketIO.ConnectTimeout, 45*time.Second)
		s.SocketIO.MaxHTTPBufferSize = orDefault(s.SocketIO.MaxHTTPBufferSize, 1_000_000)
		s.SocketIO.PingInterval = orDefault(s.SocketIO.PingInterval, 25*time.Second)
		s.SocketIO.PingTimeout = orDefault(s.SocketIO.PingTimeout, 20*time.Second)
		s.SocketIO.UpgradeTimeout = orDefault(s.SocketIO.UpgradeTimeout, 10*time.Second)
		out[i] = s
	}
	return out
}

// policy is the lane policy of a topic, defaults filled in.
func (t *TopicOptions) policy() lane.Policy {
	p := lane.Policy{
		Mode: base.Mode(t.Mode), Overflow: base.Overflow(t.Overflow),
		MaxMessages: orDefault(t.Max.Messages, defaultMessages), MaxBytes: orDefault(t.Max.Bytes, defaultBytes),
		Weight: orDefault(t.Weight, 1),
	}
	if t.Mode == AtLeastOnce {
		p.MaxInFlight = min(orDefault(t.MaxInFlight, defaultInFlight), p.MaxMessages)
		p.AckTimeout = orDefault(t.AckTimeout, defaultAckTimeout)
		p.MaxRetries = max(orDefault(t.MaxRetries, defaultMaxRetries), 0)
		p.Backoff = orDefault(t.RetryBackoff, defaultBackoff)
	}
	return p
}

// keep is what is kept of each topic for who subscribes later.
func (t *TopicOptions) keep() kept.Limits {
	if t.SnapshotMax.Messages == Off {
		return kept.Limits{}
	}
	return kept.Limits{
		Keys:  orDefault(t.SnapshotMax.Messages, defaultSnapshot),
		Bytes: orDefault(t.SnapshotMax.Bytes, defaultSnapshotBytes),
	}
}

func (n *NamespaceOptions) eventsPolicy() lane.Policy {
	return lane.Policy{
		Overflow:    n.EventsOverflow.overflow(),
		MaxMessages: orDefault(n.EventsLane.Messages, defaultEventMessages),
		MaxBytes:    orDefault(n.EventsLane.Bytes, defaultEventBytes),
		Weight:      1,
	}
}

// orDefault is v, or d where v is the zero value.
func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}
