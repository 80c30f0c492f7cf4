package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// Options say which Redis, and how to use it.
type Options struct {
	// URL is redis://[user:password@]host:port[/db], or rediss:// for TLS, or unix:///path. With Sentinel it says how to log in at
	// whichever server is the master, and has no host: redis://[user:password@][/db], or "". Redis Cluster is not supported yet.
	URL string

	// Sentinel finds the server.
	Sentinel Sentinel

	// KeyPrefix begins every key and channel: default "weir". Two clusters on one Redis need two. Nothing else may use it.
	KeyPrefix string

	// LogTTL is how long a log outlives its last append: default a week, at least a minute. What comes after that
	// begins a new epoch.
	LogTTL time.Duration
}

// The defaults.
const (
	defaultPrefix = "weir"
	defaultTTL    = 7 * 24 * time.Hour
	minTTL        = time.Minute
	maxPrefix     = 128
)

// Broker is a Redis as a cluster.Broker.
type Broker struct {
	opts   Options
	client rueidis.ClientOption
	target string // for errors: the URL without its password
}

var _ cluster.Broker = (*Broker)(nil)

// New returns a broker, or what is wrong with the options; it does not connect.
func New(o Options) (*Broker, error) {
	b := &Broker{opts: o}
	if b.opts.KeyPrefix == "" {
		b.opts.KeyPrefix = defaultPrefix
	}
	if b.opts.LogTTL == 0 {
		b.opts.LogTTL = defaultTTL
	}
	if len(b.opts.KeyPrefix) > maxPrefix || strings.ContainsAny(b.opts.KeyPrefix, "{}\x00") {
		return nil, fmt.Errorf("KeyPrefix %q: want at most %d bytes, without braces and zero bytes", b.opts.KeyPrefix, maxPrefix)
	}
	if b.opts.LogTTL < minTTL {
		return nil, fmt.Errorf("LogTTL %s: want at least %s", b.opts.LogTTL, minTTL)
	}
	var err error
	if o.Sentinel.zero() {
		b.client, err = clientOption(o.URL)
	} else {
		b.client, err = sentinelOption(o.URL, &o.Sentinel)
	}
	if err != nil {
		return nil, err
	}
	b.target = strings.Join(b.client.InitAddress, ", ")
	return b, nil
}

// Addr is host and port of the server, or of each sentinel with ", " between, or the path of its socket: nothing secret.
func (b *Broker) Addr() string { return b.target }

// clientOption is what a URL means to rueidis.
func clientOption(text string) (rueidis.ClientOption, error) {
	o, err := rueidis.ParseURL(text)
	switch {
	case err != nil:
		return o, errors.New("URL: want redis://[user:password@]host:port[/db], rediss:// or unix://") // the error would tell the password
	case o.Sentinel.MasterSet != "" || len(o.InitAddress) != 1:
		return o, errors.New("URL: want one address, and no master_set: sentinels have options of their own")
	}
	o.ForceSingleClient, o.DisableCache, o.DisableRetry = true, true, true
	o.PipelineMultiplex, o.RingScaleEachConn = -1, 10
	o.ReadBufferEachConn, o.WriteBufferEachConn = bufferSize, bufferSize
	o.Dialer.Timeout, o.Dialer.KeepAlive, o.ConnWriteTimeout = dialTime, keepAlive, writeTime
	return o, nil
}

// sentinelOption is what a URL without a host means, where sentinels know the host.
func sentinelOption(text string, s *Sentinel) (rueidis.ClientOption, error) {
	if text == "" {
		text = "redis://"
	}
	if u, err := url.Parse(text); err == nil && (u.Host != "" || u.Scheme == "unix") {
		return rueidis.ClientOption{}, errors.New("URL: has a server, which the sentinels are to find: want redis://[user:password@][/db] or rediss://")
	}
	o, err := clientOption(text)
	if err == nil {
		err = s.apply(&o)
	}
	return o, err
}

// How a member is connected; what else there is to know is package anchor's.
const (
	bufferSize = 64 << 10

	dialTime   = 2 * time.Second
	keepAlive  = time.Second
	writeTime  = 2 * time.Second
	appendTime = time.Second // how long an append that is on its way is of any use, on the engine's clock
)

// Join implements cluster.Broker.
func (b *Broker) Join(ctx context.Context, node string, l cluster.Listener) (cluster.Member, error) {
	if err := cluster.CheckName(node); err != nil {
		return nil, err
	}
	client, err := b.reach(ctx, l)
	if err != nil {
		return nil, err
	}
	m := &member{of: b, names: newNames(b.opts.KeyPrefix), id: newID(), client: client}
	m.out.of = m
	m.Anchor = anchor.New(anchor.Options{Engine: b.engine(), Listener: l, Connect: m.connect, Own: m.names.probe + m.id})
	if err := m.Start(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// engine is what errors call it.
func (b *Broker) engine() string {
	if b.opts.Sentinel.zero() {
		return "redis at " + b.target
	}
	return "redis " + b.opts.Sentinel.Master + " of the sentinels at " + b.target
}

// reach makes a client, which does not work before it has had a connection. A Waiter is told why it waits.
func (b *Broker) reach(ctx context.Context, l cluster.Listener) (rueidis.Client, error) {
	waiter, told := l.(cluster.Waiter)
	for {
		client, err := rueidis.NewClient(b.client)
		if err == nil {
			return client, nil
		}
		if told {
			waiter.Waiting(fmt.Errorf("%s: %w", b.engine(), err))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w: %w", b.engine(), cluster.ErrAway, err)
		case <-time.After(anchor.RetryEvery):
		}
	}
}

//go:embed append.lua
var appendSource string

//go:embed read.lua
var readSource string

var (
	appendScript = rueidis.NewLuaScript(appendSource)
	readScript   = rueidis.NewLuaScript(readSource)
)

// names are the keys and channels of a cluster.
type names struct{ channel, live, log, probe string }

func newNames(prefix string) names {
	return names{prefix + ":ch:", prefix + ":live:", prefix + ":log:", prefix + ":probe:"}
}

// keys are those of a log: the stream and its state.
func (n *names) keys(log string) []string {
	key := n.log + "{" + log + "}"
	if strings.ContainsAny(log, "{}") {
		key = n.log + "{" + strings.NewReplacer("{", "(", "}", ")").Replace(log) + "}" + log
	}
	return []string{key, key + ":s"}
}

// newID is a name that nothing else has.
func newID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
