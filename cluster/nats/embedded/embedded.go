// Package embedded runs a NATS server with JetStream in the process of each node, and joins nodes by them: alone, or as a cluster
// of three or five, with no other service. Who does not import it does not link the server.
//
//	node n1 ──loopback──> server n1 ──routes── server n2 <──loopback── node n2
//
// A server lives from the Join of its node until that member is closed. Nodes may start in any order: a Join goes on until
// more than half of the servers have found each other; the very first time until all have, on which the logs are then kept.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/nats"
)

// Options say what the servers are.
type Options struct {
	// StoreDir is where this node's server keeps what was appended: made if it is not there (0700), for one node of one name, which
	// is written into it. Required.
	StoreDir string

	// Listen is host:port on which the server takes the other ones; empty: it is alone.
	Listen string

	// Peers are host:port of the servers of all nodes, this one among them, the same on each: three or five, or one or none for
	// a node that is alone. Of three one may be away, of five two; the first time all have to be there.
	Peers []string

	// Secret is what servers show each other, at least 16 bytes. Required with Listen. It is not encrypted on its way, nor is
	// anything else: the network between them has to be one's own.
	Secret string

	// SyncAlways has each append be on disk before it is confirmed. Otherwise a machine that loses power loses up to a second of
	// what only it has.
	SyncAlways bool

	// KeyPrefix and LogTTL are those of package nats.
	KeyPrefix string
	LogTTL    time.Duration

	// Logger has what the servers say that needs somebody's eyes; nil: nothing has.
	Logger *slog.Logger
}

// Limits and times of a server.
const (
	minSecret  = 16
	maxPeers   = 5
	maxPayload = 8 << 20 // of a message; larger ones go in pieces
	syncEvery  = time.Second
	startTime  = 30 * time.Second
	userOf     = "weir"
	clusterOf  = "weir"
)

// Broker is a cluster.Broker on servers in the processes of the nodes.
type Broker struct{ opts Options }

var _ cluster.Broker = (*Broker)(nil)

// New returns a broker, or what is wrong with the options; it starts nothing.
func New(o Options) (*Broker, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Broker{opts: o}, nil
}

// LogTo says where the servers' lines go, in place of Options.Logger. Not to be called once a node has joined.
func (b *Broker) LogTo(log *slog.Logger) { b.opts.Logger = log }

// Peers are host:port of the servers of all nodes; none: there is one node.
func (b *Broker) Peers() []string { return b.opts.Peers }

func (o *Options) validate() error {
	if _, err := nats.New(nats.Options{URL: "nats://127.0.0.1", KeyPrefix: o.KeyPrefix, LogTTL: o.LogTTL}); err != nil {
		return err
	}
	n := len(o.Peers)
	switch {
	case o.StoreDir == "":
		return wrong("StoreDir: is missing: want a directory for what is appended")
	case n > maxPeers || (n > 0 && n%2 == 0):
		return wrong("Peers: %d: want all nodes' servers, this one's among them: 3 or 5, or 1", n)
	case n > 1 && o.Listen == "":
		return wrong("Listen: is missing: the other servers have to reach this one")
	case n <= 1 && o.Listen != "":
		return wrong("Peers: are missing: want all nodes' servers, this one's among them: 3 or 5")
	case o.Listen == "" && o.Secret != "":
		return wrong("Secret: has no effect without Listen")
	case o.Listen != "" && len(o.Secret) < minSecret:
		return wrong("Secret: of %d bytes: want at least %d: whoever reaches %s could join the cluster", len(o.Secret), minSecret, o.Listen)
	}
	if o.Listen != "" {
		if _, _, err := split(o.Listen, true); err != nil {
			return wrong("Listen: %q: %w", o.Listen, err)
		}
	}
	seen := make(map[string]bool)
	for _, p := range o.Peers {
		if _, _, err := split(p, false); err != nil {
			return wrong("Peers: %q: %w", p, err)
		}
		if seen[p] {
			return wrong("Peers: %q is there twice", p)
		}
		seen[p] = true
	}
	return nil
}

func wrong(format string, args ...any) error { return fmt.Errorf(format, args...) }

// split is host and port of an address.
func split(addr string, any bool) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, errAddr
	}
	if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 || (host == "" && !any) {
		return "", 0, errAddr
	}
	return host, port, nil
}

var errAddr = errors.New("want host:port")

// replicas is on how many servers the logs are: on all, so that as many may be away as the cluster can be without.
func (o *Options) replicas() int { return max(1, len(o.Peers)) }

// Join implements cluster.Broker: it starts the server, and waits until its cluster serves.
func (b *Broker) Join(ctx context.Context, node string, l cluster.Listener) (cluster.Member, error) {
	if err := cluster.CheckName(node); err != nil {
		return nil, err
	}
	s, err := b.start(node)
	if err != nil {
		return nil, err
	}
	m, err := s.join(ctx, node, l)
	if err != nil {
		s.close()
		return nil, err
	}
	return &member{Member: m, server: s}, nil
}

// member is one whose server ends with it.
type member struct {
	cluster.Member
	server *running
	once   sync.Once
}

// Close implements cluster.Member.
func (m *member) Close() {
	m.once.Do(func() {
		m.Member.Close()
		m.server.close()
	})
}

// running is a server that has been started.
type running struct {
	of       *Broker
	server   *server.Server
	password string // of this process's clients
	dir      *storeDir
}

// start starts the server of a node.
func (b *Broker) start(node string) (*running, error) {
	dir, err := openStore(b.opts.StoreDir, node)
	if err != nil {
		return nil, err
	}
	r := &running{of: b, password: rand.Text(), dir: dir}
	said := &journal{log: b.opts.Logger}
	if r.server, err = server.NewServer(b.opts.server(node, r.password)); err != nil {
		dir.close()
		return nil, fmt.Errorf("embedded nats: %w", err)
	}
	r.server.SetLoggerV2(said, false, false, false)
	r.server.Start()
	if !r.server.ReadyForConnections(startTime) {
		r.close()
		return nil, fmt.Errorf("embedded nats: it does not start: %s", said.worst())
	}
	return r, nil
}

// server is what the options mean to the server.
func (o *Options) server(node, password string) *server.Options {
	s := &server.Options{
		ServerName: node, Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: userOf, Password: password,
		JetStream: true, StoreDir: o.StoreDir, SyncAlways: o.SyncAlways, SyncInterval: syncEvery, MaxPayload: maxPayload,
		NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
	}
	if o.Listen == "" {
		return s
	}
	host, port, _ := split(o.Listen, true) // validated
	s.Cluster = server.ClusterOpts{
		Name: clusterOf, Host: host, Port: port, Username: userOf, Password: o.Secret, NoAdvertise: true, PoolSize: -1,
		PingInterval: routePing, MaxPingsOut: routePings,
	}
	for _, p := range o.Peers {
		s.Routes = append(s.Routes, &url.URL{Scheme: "nats-route", Host: p, User: url.UserPassword(userOf, o.Secret)})
	}
	return s
}

// How soon a server notices that another one is silent.
const (
	routePing  = 2 * time.Second
	routePings = 2
)

// join joins by the server.
func (r *running) join(ctx context.Context, node string, l cluster.Listener) (cluster.Member, error) {
	o := &r.of.opts
	u := url.URL{Scheme: "nats", Host: r.server.Addr().String(), User: url.UserPassword(userOf, r.password)}
	b, err := nats.New(nats.Options{URL: u.String(), KeyPrefix: o.KeyPrefix, LogTTL: o.LogTTL, Replicas: o.replicas()})
	if err != nil {
		return nil, err
	}
	m, err := b.Join(ctx, node, &listener{Listener: l, Holder: cluster.HolderOf(l), server: r})
	if err != nil {
		return nil, r.waits(err)
	}
	return m, nil
}

// waits says which servers are missing, where that is why something does not succeed.
func (r *running) waits(err error) error {
	n := len(r.of.opts.Peers)
	if there := r.there(); there < n {
		return fmt.Errorf("of the peers (%s) %d of %d are there, this one with them: %d have to be, and the first time %d: %w",
			strings.Join(r.of.opts.Peers, ", "), there, n, n/2+1, r.of.opts.replicas(), err)
	}
	return err
}

// there is how many servers there are, with this one.
func (r *running) there() int {
	routes, err := r.server.Routez(nil)
	if err != nil {
		return 1
	}
	names := map[string]bool{r.server.Name(): true}
	for _, x := range routes.Routes {
		names[x.RemoteName] = true
	}
	return len(names)
}

// close ends the server and waits for its end: leadership goes to others before.
func (r *running) close() {
	r.server.Shutdown()
	r.server.WaitForShutdown()
	r.dir.close()
}

// listener is a node's, which is told too which servers a Join waits for.
type listener struct {
	cluster.Listener
	cluster.Holder
	server *running
}

// Lost implements cluster.Loser.
func (l *listener) Lost(messages int) {
	if to, ok := l.Listener.(cluster.Loser); ok {
		to.Lost(messages)
	}
}

// Waiting implements cluster.Waiter.
func (l *listener) Waiting(why error) {
	if w, ok := l.Listener.(cluster.Waiter); ok {
		w.Waiting(l.server.waits(why))
	}
}
