package delivery_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	frames "github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// The property test of the flush: a running hub, clients whose kernels take what
// they like, and drivers that do everything a server does, all at random. What
// each client reads is checked against what happened on its shard: see audit.

const (
	rounds       = 12
	drivers      = 3
	opsPerDriver = 250
	clientsEach  = 3 // per shard
	maxInFlight  = 4
)

var worldTopics = []string{"oldest", "reject", "prices", "snap", "strict", "orders", "vital", "room:1", "room:2", "lazy", "late"}

func worldSpecs() []delivery.TopicSpec {
	best := func(name string, o base.Overflow, messages int) delivery.TopicSpec {
		return topic(name, lane.Policy{Overflow: o, MaxMessages: messages, MaxBytes: 128 << 10, Weight: 1 + messages%3})
	}
	sure := func(name string, o base.Overflow) delivery.TopicSpec {
		return topic(name, lane.Policy{
			Mode: base.AtLeastOnce, Overflow: o, MaxMessages: 24, MaxBytes: 128 << 10, Weight: 1,
			MaxInFlight: maxInFlight, AckTimeout: 30 * time.Millisecond, MaxRetries: 2, Backoff: 1.5,
		})
	}
	prices := best("prices", base.Coalesce, 8)
	prices.Key = func(p []byte) string {
		var m mark
		_ = json.Unmarshal(p, &m)
		return m.Key
	}
	rooms := best("room:*", base.DropOldest, 16)
	rooms.TTL = 40 * time.Millisecond
	lazy, late := best("lazy", base.DropOldest, 12), sure("late", base.RejectNew)
	lazy.FlushDelay, late.FlushDelay = 15*time.Millisecond, 5*time.Millisecond
	return []delivery.TopicSpec{
		lazy, late, best("oldest", base.DropOldest, 12), best("reject", base.RejectNew, 7), prices, best("snap", base.SnapshotOnly, 4),
		best("strict", base.Disconnect, 60), sure("orders", base.RejectNew), sure("vital", base.Disconnect), rooms,
	}
}

// mark is the payload by which a message is known again.
type mark struct {
	Pub    uint64 `json:"p,omitempty"` // a publication
	Source int    `json:"s,omitempty"` // an emit's driver, counted from 1; 0: the loop
	Seq    uint64 `json:"n,omitempty"` // its place among that source's emits of this kind
	Key    string `json:"k,omitempty"`
	Pad    string `json:"x,omitempty"`
}

func (m mark) json() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// world is one round.
type world struct {
	*rig
	seed uint64
	ids  atomic.Uint64

	mu      sync.Mutex
	offsets map[uint64]uint64 // of publications, by mark
	keys    map[uint64]string
	clients []*actor
}

// actor is a client of the world. Its shard owns it.
type actor struct {
	*client
	world   *world
	rand    *rand.Rand
	sockets []*delivery.Socket
	sends   map[string]uint64 // loop sends by namespace
	log     []moment
}

// moment is something that happened to an actor when its stream was so long.
type moment struct {
	at        int
	what      byte // 's'ubscribed, 'u'nsubscribed, 'j'oined, 'l'eft
	namespace string
	topic     string
	from      uint64
}

func (a *actor) note(what byte, namespace, topic string, from uint64) {
	a.log = append(a.log, moment{len(a.wire), what, namespace, topic, from})
}

var worldNamespaces = []string{"/feed", "/other"}

func newWorld(t *testing.T, seed uint64) *world {
	o := options(2, worldSpecs()...)
	o.FinishTimeout = 50 * time.Millisecond
	o.Namespaces[0].Subscriptions = 6
	o.Namespaces[0].Events.MaxMessages = 80
	o.Namespaces = append(o.Namespaces, delivery.NamespaceSpec{Path: "/other", Events: o.Namespaces[0].Events, Topics: worldSpecs(), Subscriptions: 6},
		delivery.NamespaceSpec{Path: "/lobby", Events: o.Namespaces[0].Events})
	w := &world{rig: newRig(t, o), seed: seed, offsets: make(map[uint64]uint64), keys: make(map[uint64]string)}
	if seed%2 == 0 { // every other round in tiny slices
		w.pace(1+int(seed>>8)%4, 1+int(seed>>16)%3)
	}
	for i := range 2 * clientsEach {
		w.connect(i%2, rand.New(rand.NewPCG(seed, uint64(100+i))))
	}
	return w
}

func (w *world) connect(shard int, rnd *rand.Rand) *actor {
	a := &actor{world: w, rand: rnd, sends: make(map[string]uint64)}
	a.client = &client{rig: w.rig, shard: w.Shards()[shard], window: wide}
	a.take = func(offered int) int { return a.kernel(offered) }
	a.do(func() {
		a.conn = a.shard.Open(a.client, a)
		a.rejoin()
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clients = append(w.clients, a)
	return a
}

// kernel decides how much of a write is taken.
func (a *actor) kernel(offered int) int {
	switch a.rand.IntN(6) {
	case 0:
		return 0
	case 1:
		return a.rand.IntN(offered + 1)
	case 2:
		return min(offered, 1+a.rand.IntN(40))
	default:
		return offered
	}
}

// Cut closes the connection at once, or as a transport does, a moment later.
func (a *actor) Cut(cause base.Cause) {
	a.cuts = append(a.cuts, cause)
	if a.rand.IntN(2) == 0 {
		a.conn.Close(cause)
		return
	}
	a.shard.Post(taskFunc(func() { a.conn.Close(cause) }))
}

// drain opens the window again, so or so wide.
func (a *actor) drain() {
	a.window = []int{0, 64, 2000, wide, 48 << 10, wide}[a.rand.IntN(6)]
	a.unsent = max(0, a.rand.IntN(30)-20)
	if a.rand.IntN(4) == 0 {
		a.control = append(a.control, ws.AppendFrame(nil, ws.Ping, nil)...)
	}
	a.conn.Writable()
}

// rejoin puts the actor into the namespaces it is not in.
func (a *actor) rejoin() {
	a.sockets = a.sockets[:0]
	for _, path := range worldNamespaces {
		if s := a.in(path); s != nil {
			a.sockets = append(a.sockets, s)
			continue
		}
		if a.lingers(path) {
			continue // a client joins again when it has read the DISCONNECT
		}
		s := a.conn.OpenSocket(a.world.Namespace(path), a.conn.NewSocketID(), fmt.Sprint("p", a.rand.IntN(3)), a)
		a.sockets = append(a.sockets, s)
		a.note('j', path, "", 0)
		a.sends[path] = 1 // each socket counts its own
		s.Send(a.world.event(path, "send", mark{Seq: 1}, 0))
		_ = s.Join("red", fmt.Sprint("r", a.rand.IntN(3)))
	}
}

func (a *actor) in(path string) *delivery.Socket {
	for _, s := range a.conn.Sockets() {
		if !s.Closed() && s.Namespace.Path == path {
			return s
		}
	}
	return nil
}

// lingers reports whether the last packets of a socket that has left are still to
// be written.
func (a *actor) lingers(path string) bool {
	for _, s := range a.conn.Sockets() {
		if s.Namespace.Path == path {
			return true
		}
	}
	return false
}

// act does one thing on the loop.
func (a *actor) act() {
	if a.conn.Closed() {
		return
	}
	if a.rejoin(); len(a.sockets) == 0 {
		a.drain()
		return
	}
	s := a.sockets[a.rand.IntN(len(a.sockets))]
	path, name := s.Namespace.Path, worldTopics[a.rand.IntN(len(worldTopics))]
	switch a.rand.IntN(14) {
	case 0, 1, 2:
		a.trySubscribe(s, name)
	case 3:
		if s.Unsubscribe(name) {
			a.note('u', path, name, 0)
		}
	case 4, 5:
		a.sends[path]++
		s.Send(a.world.event(path, "send", mark{Seq: a.sends[path]}, 0))
	case 6, 7, 8:
		a.acknowledge(s)
	case 9:
		a.conn.Refuse(a.world.Namespace("/lobby"), frames.NewFrame(32, func(dst []byte) []byte {
			return sio.AppendConnectError(dst, "/refused", "no", nil)
		}))
	case 10:
		a.conn.Trim()
		s.Leave("red")
	case 11:
		if a.rand.IntN(3) == 0 {
			s.Close(base.CauseServerDisconnect, disconnectFrame(path)) // writes what waits, and only then the socket has left
			a.note('l', path, "", 0)
		}
	default:
		a.drain()
	}
}

func (a *actor) trySubscribe(s *delivery.Socket, name string) {
	if s.Subscribed(name) {
		return
	}
	o := delivery.SubscribeOptions{Shape: base.Shape(a.rand.IntN(2)), Tell: a.rand.IntN(2) == 0, Callback: a.rand.IntN(3) == 0}
	path := s.Namespace.Path
	_ = s.Subscribe(name, o, func(at delivery.Subscription) {
		a.note('s', path, name, at.Offset)
		a.sends[path]++
		s.Send(a.world.event(path, "send", mark{Seq: a.sends[path], Key: name}, 0))
	})
}

// acknowledge answers for some of the reliable messages among the last read.
func (a *actor) acknowledge(s *delivery.Socket) {
	packets, _ := decode(a.rig.t, a.wire)
	for i := max(0, len(packets)-20); i < len(packets); i++ {
		p := &packets[i]
		if string(p.Namespace) != s.Namespace.Path || a.rand.IntN(3) == 0 {
			continue
		}
		if p.HasID {
			s.Answer(p.ID, delivery.Answer{})
		} else if d := parseDelivery(p); d.id != "" {
			s.Ack(p.name(), d.id)
		}
	}
}

// event is a frame of a plain event with as many attachments.
func (w *world) event(path, name string, m mark, attachments int) *base.Frame {
	parts := make([][]byte, attachments)
	for i := range parts {
		parts[i] = m.json()
	}
	return frames.NewFrame(64, func(dst []byte) []byte {
		return sio.AppendEvent(dst, sio.EventHeader{Namespace: path, Attachments: attachments}, fmt.Appendf(nil, "%q", name), m.json())
	}, parts...)
}

func TestEverythingAtOnceKeepsItsPromises(t *testing.T) {
	for round := range rounds {
		seed := rand.Uint64()
		ok := t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playRound(t, seed) })
		})
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
}

// pause lets the bubble's time go on by some milliseconds.
func (d *driver) pause() { time.Sleep(time.Duration(d.rand.IntN(4)) * time.Millisecond) }

func playRound(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	var wg sync.WaitGroup
	for n := range drivers {
		d := &driver{world: w, n: n + 1, rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		wg.Go(func() { d.run(t.Context()) })
	}
	wg.Wait()
	for range 30 { // slow clients may catch up
		for _, a := range w.clients {
			a.do(func() {
				if !a.conn.Closed() {
					a.drain()
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, a := range w.clients {
		a.do(func() { a.conn.Close(base.CauseTransportClose) })
	}
	w.settle()
	for _, a := range w.clients {
		w.audit(a)
	}
	w.auditBooks()
}
