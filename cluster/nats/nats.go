package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// Options say which NATS, and how to use it.
type Options struct {
	// URL is nats://[user:password@]host:port, or tls:// or ws:// or wss://; a user without a password is a token. Servers of one
	// cluster with commas between: of several one is chosen, another one when it cannot be reached. A member learns of the
	// cluster's other servers by itself.
	URL string

	// InProcess is a server in this process, instead of URL. The pipe between them holds nothing, so that a large message and
	// what comes the other way may wait for each other until a time-out of two seconds breaks the connection: seen with 3
	// MiB. Where messages are large, have the server listen on loopback, and use URL.
	InProcess nats.InProcessConnProvider

	// Credentials is the path of a file with a user's token and key (.creds), which is read again for each connection; empty:
	// the URL says who it is, or nobody asks.
	Credentials string

	// KeyPrefix begins every subject, and names the stream: default "weir". Letters, digits, - and _, at most 64. Two
	// clusters on one NATS account need two. Nothing else may use it.
	KeyPrefix string

	// LogTTL is how long an entry is kept: default a week, at least a minute. It gives way then even if its log has less than
	// what it was to keep; a log without entries begins a new epoch. The node that has started last has its way.
	LogTTL time.Duration

	// Replicas is on how many servers what is appended is kept before it is confirmed: 1, 3 or 5. 0: 3 where the server belongs
	// to a cluster, and 1 where it does not; and what a stream that is there has.
	Replicas int
}

// The defaults and limits.
const (
	defaultPrefix = "weir"
	defaultTTL    = 7 * 24 * time.Hour
	minTTL        = time.Minute
	maxPrefix     = 64
	maxReplicas   = 5
)

// Broker is a NATS as a cluster.Broker.
type Broker struct {
	opts   Options
	target string // for errors: hosts and ports
}

var _ cluster.Broker = (*Broker)(nil)

// New returns a broker, or what is wrong with the options; it does not connect.
func New(o Options) (*Broker, error) {
	if o.KeyPrefix == "" {
		o.KeyPrefix = defaultPrefix
	}
	if o.LogTTL == 0 {
		o.LogTTL = defaultTTL
	}
	switch {
	case len(o.KeyPrefix) > maxPrefix || strings.ContainsFunc(o.KeyPrefix, notOfPrefix):
		return nil, fmt.Errorf("KeyPrefix %q: want letters, digits, - and _, at most %d", o.KeyPrefix, maxPrefix)
	case o.LogTTL < minTTL:
		return nil, fmt.Errorf("LogTTL %s: want at least %s", o.LogTTL, minTTL)
	case o.Replicas < 0 || o.Replicas > maxReplicas || (o.Replicas > 0 && o.Replicas%2 == 0):
		return nil, fmt.Errorf("Replicas: %d: want 1, 3 or 5, or 0 for what fits", o.Replicas) //nolint:staticcheck // it is a field
	case o.InProcess != nil && o.URL != "":
		return nil, errors.New("URL: there is a server in this process already: want one of URL and InProcess")
	case o.InProcess != nil:
		return &Broker{opts: o, target: "this process"}, nil
	}
	target, err := addresses(o.URL)
	if err != nil {
		return nil, err
	}
	if err := credible(o.Credentials); err != nil {
		return nil, err
	}
	return &Broker{opts: o, target: target}, nil
}

// credible reports what is wrong with a file of credentials, without what is in it.
func credible(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("Credentials: %w", err) //nolint:staticcheck // it is a field
	}
	_, noKey := nkeys.ParseDecoratedUserNKey(data)
	if token, err := nkeys.ParseDecoratedJWT(data); err != nil || token == "" || noKey != nil {
		return fmt.Errorf("Credentials: %s: want a user's token and key, as nsc writes them (.creds)", path) //nolint:staticcheck // it is a field
	}
	return nil
}

func notOfPrefix(r rune) bool { return r > 'z' || !plain(byte(r)) || strings.ContainsRune("/:@", r) }

// errURL does not tell the URL, which may hold a password.
var errURL = errors.New("URL: want nats://[user:password@]host:port, tls://, ws:// or wss://; several with commas between")

// addresses are host and port of each server.
func addresses(list string) (string, error) {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Hostname() == "" {
			return "", errURL
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
			all = append(all, u.Host)
		default:
			return "", errURL
		}
	}
	return strings.Join(all, ", "), nil
}

// Addr is host and port of the servers: nothing secret.
func (b *Broker) Addr() string { return b.target }

// How a member is connected; what else there is to know is package anchor's.
const (
	dialTime  = 2 * time.Second
	writeTime = 2 * time.Second // of a write that the network does not take
	pingEvery = 5 * time.Second // by the client library, beside the anchor's probes
)

// Join implements cluster.Broker.
func (b *Broker) Join(ctx context.Context, node string, l cluster.Listener) (cluster.Member, error) {
	if err := cluster.CheckName(node); err != nil {
		return nil, err
	}
	m := b.member(node, l)
	if err := m.Start(ctx); err != nil {
		m.Close()
		return nil, err
	}
	m.running.Go(m.runTrims)
	return m, nil
}

// member is one that has not started. It has to be closed.
func (b *Broker) member(node string, l cluster.Listener) *member {
	m := &member{
		of: b, node: node, names: newNames(b.opts.KeyPrefix), id: newID(),
		shelves: make(map[string]*shelf), trims: make(chan string, maxTrims),
	}
	m.Anchor = anchor.New(anchor.Options{Engine: "nats at " + b.target, Listener: l, Connect: m.connect, Own: m.names.probe + m.id})
	return m
}
