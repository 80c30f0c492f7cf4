package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/drain"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/survey"
)

// fixture is a running hub with the management API in front of it.
type fixture struct {
	t       testing.TB
	hub     *delivery.Hub
	opts    admin.Options
	backend *backend
	log     *bytes.Buffer
	done    chan struct{}
	handler http.Handler
}

// setUp runs a hub with namespace /feed: topics prices (best effort, 4 messages),
// user:* (best effort) and orders (at least once). There are no keys, and the
// local rule admits all.
func setUp(t testing.TB, change ...func(*admin.Options)) *fixture {
	t.Helper()
	topic := func(name string, mode base.Mode, overflow base.Overflow) delivery.TopicSpec {
		return delivery.TopicSpec{Name: name, Policy: lane.Policy{
			Mode: mode, Overflow: overflow, MaxMessages: 4, MaxBytes: 64 << 10, MaxInFlight: 2,
			AckTimeout: time.Minute, MaxRetries: 1, Backoff: 1, Weight: 1,
		}}
	}
	f := &fixture{t: t, log: new(bytes.Buffer), done: make(chan struct{})}
	f.hub = delivery.New(delivery.Options{
		Shards: 2, FinishTimeout: time.Second,
		Namespaces: []delivery.NamespaceSpec{{
			Path:   "/feed",
			Events: lane.Policy{Overflow: base.Disconnect, MaxMessages: 64, MaxBytes: 1 << 20, Weight: 1},
			Topics: []delivery.TopicSpec{
				topic("prices", base.BestEffort, base.DropOldest), topic("user:*", base.BestEffort, base.DropOldest),
				topic("orders", base.AtLeastOnce, base.RejectNew),
			},
		}},
	})
	f.hub.Start()
	t.Cleanup(f.hub.Close)
	f.backend = &backend{hub: f.hub}
	f.opts = admin.Options{
		Hub: f.hub, Publisher: f.backend, Sockets: f.backend, State: f.backend, Gatherer: prometheus.NewRegistry(),
		Local: func(*http.Request) error { return nil }, Refused: nobodyRefused{}, Revocations: f.backend,
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: f.log}, nil)), Done: f.done,
	}
	f.opts.Ledger = admin.NewLedger(f.opts.Logger)
	for _, c := range change {
		c(&f.opts)
	}
	f.handler = admin.New(f.opts)
	return f
}

// lockedWriter lets the test read what handlers have logged.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// backend is the root's part: it publishes on the hub and remembers the rest.
type backend struct {
	hub *delivery.Hub

	mu        sync.Mutex
	published []admin.PublishRequest
	emitted   []admin.EmitRequest
	moved     []move
	cut       []admin.DisconnectRequest
	ready     error
	whole     error // of ready
	begun     error
	fail      error
	drained   int
	revoked   []admin.Revocation
}

type move struct {
	Action string
	Filter admin.Filter
	Rooms  []string
}

func (b *backend) Publish(ctx context.Context, r *admin.PublishRequest) (*delivery.Pending, error) {
	b.mu.Lock()
	kept := *r
	kept.Payload = bytes.Clone(r.Payload)
	b.published = append(b.published, kept)
	fail := b.fail
	b.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	target := delivery.Target{Socket: r.Socket, Principal: r.Principal}
	if r.Room != "" {
		target.Rooms = []string{r.Room}
	}
	return b.hub.Publish(ctx, b.hub.Namespace(r.Namespace), r.Topic, &delivery.Publication{
		Payload: r.Payload, Binary: r.Binary, Key: r.Key, ID: r.ID, TTL: r.TTL, Target: target,
	}, r.Receipt)
}

func (b *backend) Emit(_ context.Context, r *admin.EmitRequest) (func(context.Context) admin.Emitted, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.emitted = append(b.emitted, *r)
	return func(context.Context) admin.Emitted { return admin.Emitted{Receipt: delivery.Receipt{Complete: true}} }, b.fail
}

func (b *backend) Join(_ context.Context, f admin.Filter, rooms []string) (admin.Reached, error) {
	out, err := b.move("join", f, rooms)
	out.Skipped = 1
	return out, err
}

func (b *backend) Leave(_ context.Context, f admin.Filter, rooms []string) (admin.Reached, error) {
	return b.move("leave", f, rooms)
}

func (b *backend) move(action string, f admin.Filter, rooms []string) (admin.Reached, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved = append(b.moved, move{action, f, rooms})
	return admin.Reached{Sockets: 3}, b.fail
}

func (b *backend) Disconnect(_ context.Context, r admin.DisconnectRequest) (admin.Reached, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = append(b.cut, r)
	return admin.Reached{Sockets: 7}, b.fail
}

func (b *backend) Ready(whole bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if whole && b.whole != nil {
		return b.whole
	}
	return b.ready
}

func (b *backend) Begun() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun
}

func (b *backend) Drain() (drain.Progress, error) {
	b.mu.Lock()
	b.drained++
	b.ready = errors.New("draining")
	b.mu.Unlock()
	return b.Draining(), nil
}

func (b *backend) Ailing() string { return "" }

func (b *backend) Draining() drain.Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	return drain.Progress{Draining: b.drained > 0, Clients: 300, Left: 300 - b.drained, SentAway: b.drained, PerSecond: 200, SecondsLeft: 1.5, TimeoutSeconds: 60}
}

func (b *backend) Config() any { return map[string]any{"weir": 1} }

// do sends one request.
func (f *fixture) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// get sends a GET that must succeed, and decodes the answer.
func get[T any](f *fixture, target string) (v T) {
	f.t.Helper()
	w := f.do(http.MethodGet, target, "")
	if w.Code != http.StatusOK {
		f.t.Fatalf("GET %s: %d %s", target, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		f.t.Fatalf("GET %s: %v in %s", target, err, w.Body)
	}
	return v
}

// refusal is the error in an answer.
type refusal struct {
	Error struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		Retryable bool   `json:"retryable"`
	} `json:"error"`
}

func refusalIn(t testing.TB, body []byte) refusal {
	t.Helper()
	var r refusal
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.Error.Code == "" || r.Error.Message == "" {
		t.Fatalf("not an error as protocol.md 5 has it: %s (%v)", body, err)
	}
	return r
}

// client is a connected client whose connection takes bytes only while open.
type client struct {
	conn    *delivery.Conn
	socket  *delivery.Socket
	address string
	server  string
	open    bool
	wrote   bytes.Buffer
}

func (c *client) Window() int {
	if c.open {
		return 1 << 20
	}
	return 0
}

func (c *client) Write(p []byte, _ base.Packing) (int, error) { return c.wrote.Write(p) }
func (c *client) Deflates() bool                              { return false }
func (c *client) Control(dst []byte) []byte                   { return dst }
func (c *client) Unsent() int                                 { return 0 }
func (c *client) Cut(cause base.Cause)                        { c.conn.Close(cause) }
func (c *client) Reading(bool)                                {}
func (c *client) Describe(v *survey.Client)                   { v.Address, v.Server = c.address, c.server }
func (c *client) Gone(base.Cause)                             {}
func (c *client) Unread() *delivery.Unread                    { return nil }
func (c *client) Taken()                                      {}

// connection says what a client is.
type connection struct {
	shard     int
	principal string
	address   string
	stalled   bool
	topics    []string
}

func (f *fixture) connect(o connection) *client {
	f.t.Helper()
	c := &client{address: o.address, server: "default", open: !o.stalled}
	sh := f.hub.Shards()[o.shard]
	f.on(sh, func() {
		c.conn = sh.Open(c, c)
		c.socket = c.conn.OpenSocket(f.hub.Namespace("/feed"), c.conn.NewSocketID(), o.principal, c)
		for _, topic := range o.topics {
			if err := c.socket.Subscribe(topic, delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
				f.t.Errorf("subscribe %s: %v", topic, err)
			}
		}
	})
	return c
}

// on runs f on the shard's loop and waits for it.
func (f *fixture) on(sh *delivery.Shard, do func()) {
	done := make(chan struct{})
	sh.Post(task(func() { defer close(done); do() }))
	<-done
}

type task func()

func (t task) Run() { t() }

// forgetful is a backend that remembers nothing.
type forgetful struct{ *backend }

func (b forgetful) Publish(ctx context.Context, r *admin.PublishRequest) (*delivery.Pending, error) {
	return b.hub.Publish(ctx, b.hub.Namespace(r.Namespace), r.Topic, &delivery.Publication{Payload: r.Payload, Key: r.Key, ID: r.ID}, r.Receipt)
}

// nobodyRefused is a list of refusals that is empty.
type nobodyRefused struct{}

func (nobodyRefused) List() []admin.RefusedView    { return nil }
func (nobodyRefused) Clear(string, netip.Addr) int { return 0 }
func (nobodyRefused) Kinds() []string              { return []string{"origin", "auth_failures"} }
