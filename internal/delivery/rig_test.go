package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
	frames "github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// taskFunc is a base.Task.
type taskFunc func()

func (f taskFunc) Run() { f() }

// rig is a running hub with one namespace, /feed.
type rig struct {
	*delivery.Hub
	t  testing.TB
	ns *delivery.Namespace
}

// The window of a websocket, and an age that no test reaches.
const (
	wide    = 32 << 10
	longAgo = time.Hour
)

func eventsPolicy() lane.Policy {
	return lane.Policy{Overflow: base.Disconnect, MaxMessages: 1024, MaxBytes: 1 << 20, Weight: 1}
}

// latest is a roomy best-effort policy, certain a roomy reliable one.
func latest() lane.Policy {
	return lane.Policy{Overflow: base.DropOldest, MaxMessages: 64, MaxBytes: 1 << 19, Weight: 1}
}

func certain() lane.Policy {
	return lane.Policy{
		Mode: base.AtLeastOnce, Overflow: base.RejectNew, MaxMessages: 64, MaxBytes: 1 << 19,
		MaxInFlight: 8, AckTimeout: longAgo, MaxRetries: 2, Backoff: 1, Weight: 1,
	}
}

func topic(name string, p lane.Policy) delivery.TopicSpec {
	return delivery.TopicSpec{Name: name, Policy: p}
}

// options is a hub of that many shards without a budget.
func options(shards int, topics ...delivery.TopicSpec) delivery.Options {
	return delivery.Options{
		Shards: shards, FinishTimeout: time.Minute,
		Namespaces: []delivery.NamespaceSpec{{Path: "/feed", Events: eventsPolicy(), Topics: topics}},
	}
}

func newRig(t testing.TB, o delivery.Options) *rig {
	t.Helper()
	h := delivery.New(o)
	h.Start()
	t.Cleanup(h.Close)
	return &rig{Hub: h, t: t, ns: h.Namespace(o.Namespaces[0].Path)}
}

// on runs f on a shard and waits for it.
func (r *rig) on(sh *delivery.Shard, f func()) {
	done := make(chan struct{})
	sh.Post(taskFunc(func() { defer close(done); f() }))
	<-done
}

// settle waits until no shard has anything left to do at this moment.
func (r *rig) settle() {
	for _, sh := range r.Shards() {
		for idle := 0; idle < 2; {
			r.on(sh, func() {
				if idle++; !sh.Idle() {
					idle = 0
				}
			})
		}
	}
}

// account makes Held exact, and returns it without what stays while nothing is sent.
func (r *rig) account() int64 {
	r.settle()
	for _, sh := range r.Shards() {
		r.on(sh, sh.Account)
	}
	by := r.Accounts()
	return r.Held() - by[accounts.Lanes] - by[accounts.Topics] - by[accounts.Rooms] - by[accounts.IDs] - by[accounts.Cut] - by[accounts.Queues] - by[accounts.History]
}

// block holds a shard until the returned function is called.
func (r *rig) block(sh *delivery.Shard) (release func()) {
	held, open := make(chan struct{}), make(chan struct{})
	sh.Post(taskFunc(func() { close(held); <-open }))
	<-held
	return func() { close(open) }
}

func (r *rig) publish(topic, payload string) *delivery.Pending {
	r.t.Helper()
	return r.publishWith(topic, delivery.Publication{Payload: []byte(payload)})
}

func (r *rig) publishWith(topic string, p delivery.Publication) *delivery.Pending {
	r.t.Helper()
	sent, err := r.Publish(context.Background(), r.ns, topic, &p, true)
	if err != nil {
		r.t.Fatalf("publish to %s: %v", topic, err)
	}
	return sent
}

// do has an operation done to sockets of /feed.
func (r *rig) do(o *op.Op) op.Outcome {
	r.t.Helper()
	o.Namespace = r.ns.Path
	out, err := r.Do(context.Background(), o)
	if err != nil || out.Partial {
		r.t.Fatalf("%s: %+v, %v", o.Kind, out, err)
	}
	return out
}

func (r *rig) totals(topic string) delivery.Totals { return r.ns.Declared(topic).Totals() }

// client is one connection as its transport sees it: Outlet, Peer and SocketPeer.
// All but the constructor's fields is the loop's.
type client struct {
	rig   *rig
	shard *delivery.Shard
	conn  *delivery.Conn

	window   int
	take     func(offered int) int // how much of a Write is taken; nil = all
	unsent   int
	control  []byte
	deflates bool
	how      base.Packing // of the last Write
	fault    error
	linger   bool   // Cut is recorded only
	viewed   func() // called when a survey describes the client

	wire    []byte
	batches []batch
	cuts    []base.Cause
	reading []bool
	gone    []base.Cause
	unread  *delivery.Unread // kept by whoever has handlers; does not change once there are sockets
	taken   int              // calls of Taken
}

// batch is one Write.
type batch struct{ at, offered, taken, window int }

func (c *client) Window() int { return c.window }

func (c *client) Deflates() bool { return c.deflates }

func (c *client) Write(p []byte, how base.Packing) (int, error) {
	c.how = how
	if c.fault != nil {
		c.window = 0
		return 0, c.fault
	}
	n := len(p)
	if c.take != nil {
		n = min(c.take(n), n)
	}
	c.batches = append(c.batches, batch{at: len(c.wire), offered: len(p), taken: n, window: c.window})
	c.wire = append(c.wire, p[:n]...)
	if n < len(p) {
		c.window = 0
	}
	return n, nil
}

func (c *client) Control(dst []byte) []byte {
	dst = append(dst, c.control...)
	c.control = nil
	return dst
}

func (c *client) Unsent() int { return c.unsent }

func (c *client) Cut(cause base.Cause) {
	c.cuts = append(c.cuts, cause)
	if !c.linger {
		c.conn.Close(cause)
	}
}

func (c *client) Reading(on bool)       { c.reading = append(c.reading, on) }
func (c *client) Gone(cause base.Cause) { c.gone = append(c.gone, cause) }

func (c *client) Unread() *delivery.Unread { return c.unread }
func (c *client) Taken()                   { c.taken++ }

// connect opens a connection on a shard with an open window.
func (r *rig) connect(shard int) *client {
	c := &client{rig: r, shard: r.Shards()[shard], window: wide}
	c.do(func() { c.conn = c.shard.Open(c, c) })
	r.t.Cleanup(func() { c.do(func() { c.conn.Close(base.CauseTransportClose) }) })
	return c
}

// stalled is connect with a window that is shut.
func (r *rig) stalled(shard int) *client {
	c := r.connect(shard)
	c.do(func() { c.window = 0 })
	return c
}

// do runs f on the client's shard and waits.
func (c *client) do(f func()) {
	select {
	case <-c.shard.Done():
	default:
		c.rig.on(c.shard, f)
	}
}

// join puts the client into /feed and its topics.
func (c *client) join(topics ...string) *delivery.Socket {
	c.rig.t.Helper()
	var s *delivery.Socket
	c.do(func() { s = c.conn.OpenSocket(c.rig.ns, c.conn.NewSocketID(), "", c) })
	for _, name := range topics {
		c.subscribe(s, name, delivery.SubscribeOptions{})
	}
	return s
}

func (c *client) subscribe(s *delivery.Socket, topic string, o delivery.SubscribeOptions) {
	c.rig.t.Helper()
	var err error
	c.do(func() { err = s.Subscribe(topic, o, func(delivery.Subscription) {}) })
	if err != nil {
		c.rig.t.Fatalf("subscribe %s: %v", topic, err)
	}
}

// open sets the window and lets the client take what waits.
func (c *client) open(window int) {
	c.do(func() { c.window = window; c.conn.Writable() })
	c.rig.settle()
}

// received is what the client has read so far.
func (c *client) received() []packet {
	c.rig.t.Helper()
	c.rig.settle()
	var wire []byte
	c.do(func() { wire = slices.Clone(c.wire) })
	packets, rest := decode(c.rig.t, wire)
	if rest > 0 {
		c.rig.t.Fatalf("the stream ends with %d bytes of a packet", rest)
	}
	return packets
}

// texts are the packets' texts, control frames as "ping".
func (c *client) texts() []string {
	c.rig.t.Helper()
	var out []string
	for _, p := range c.received() {
		out = append(out, p.text)
	}
	return out
}

// packet is one Socket.IO packet with its attachments, or a control frame.
type packet struct {
	sio.Packet
	at          int // where it begins in the stream
	text        string
	attachments [][]byte
	args        [][]byte
	control     bool
}

func (p *packet) name() string {
	if p.control || (p.Type != sio.Event && p.Type != sio.BinaryEvent) {
		return ""
	}
	name, _ := sio.EventName(p.args[0])
	return name
}

// decode cuts a stream into packets and fails unless it is made of whole server
// frames with attachments right behind their headers. rest is what follows the
// last whole packet.
func decode(t testing.TB, wire []byte) (packets []packet, rest int) {
	t.Helper()
	missing, at, end := 0, 0, 0
	for op, data := range base.Parts(wire) {
		start := at
		at += ws.HeaderLen(len(data)) + len(data)
		switch {
		case op == ws.Binary && missing > 0:
			missing--
			last := &packets[len(packets)-1]
			last.attachments = append(last.attachments, data)
		case missing > 0:
			t.Fatalf("frame %q of type %d at %d while %d attachments are missing", data, op, start, missing)
		case op == ws.Ping:
			packets = append(packets, packet{at: start, control: true, text: "ping"})
		case op == ws.Text:
			p := parsePacket(t, data, start)
			missing = p.Attachments
			packets = append(packets, p)
		default:
			t.Fatalf("frame %q of type %d at %d", data, op, start)
		}
		if missing == 0 {
			end = at
		}
	}
	if missing > 0 {
		packets = packets[:len(packets)-1]
	}
	return packets, len(wire) - end
}

func parsePacket(t testing.TB, data []byte, at int) packet {
	t.Helper()
	if len(data) == 0 || data[0] != '4' {
		t.Fatalf("text frame %q at %d is not an Engine.IO message", data, at)
	}
	if data[1] == byte(sio.ConnectError) || data[1] == byte(sio.Connect) {
		p := sio.Packet{Type: sio.Type(data[1])}
		return packet{Packet: p, at: at, text: string(data[1:])}
	}
	p, err := sio.Parse(data[1:])
	if err != nil {
		t.Fatalf("packet %q at %d: %v", data, at, err)
	}
	return packet{Packet: p, at: at, text: string(data[1:]), args: sio.SplitArgs(p.Data, nil)}
}

// event is the frame of a plain event of /feed.
func event(name string, args ...string) *base.Frame {
	return frames.NewFrame(64, func(dst []byte) []byte {
		all := [][]byte{fmt.Appendf(nil, "%q", name)}
		for _, a := range args {
			all = append(all, []byte(a))
		}
		return sio.AppendEvent(dst, sio.EventHeader{Namespace: "/feed"}, all...)
	})
}

func disconnectFrame(namespace string) *base.Frame {
	return frames.NewFrame(16, func(dst []byte) []byte { return sio.AppendDisconnect(dst, namespace) })
}

func wantTexts(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("client read\n%q, want\n%q", got, want)
	}
}
