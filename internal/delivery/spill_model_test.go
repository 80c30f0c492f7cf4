package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// spillWorld is a node with a best-effort and a reliable topic that spill, some clients, and what a naive bookkeeper
// knows of each: a list of what is due to it.
type spillWorld struct {
	*rig
	rand    *rand.Rand
	fs      *memfs.FS
	disk    *disk
	options func() delivery.Options
	clients []*spillClient
	n       int                      // the number of the message published last
	left    map[string]cursor.Cursor // by client and topic: where a subscription has left off
	dead    map[int]time.Time        // by number: when it expires
	fsync   journal.Fsync
	unkept  map[int]bool  // by number: the log may not have it
	hung    chan struct{} // the disk hangs until it is closed; nil: it does not
	refuses bool          // the disk is read-only
}

// spillClient is a client that comes and goes. What it was sent is kept over its lives.
type spillClient struct {
	*reader
	name string
	due  map[string][]int // by topic, in order of publication
	got  map[string][]int // by topic, in order of arrival, over all its lives
	seen map[string]int   // by topic: how many deliveries of this life are in got
	on   map[string]bool  // subscribed
}

var spillTopics = []string{"best", "sure"}

func newSpillWorld(t *testing.T, seed uint64, keep int) *spillWorld {
	w := &spillWorld{
		rand: rand.New(rand.NewPCG(seed, 7)), fs: memfs.New(), left: map[string]cursor.Cursor{}, dead: map[int]time.Time{}, unkept: map[int]bool{},
		fsync: []journal.Fsync{journal.Always, journal.Never}[seed%2],
	}
	w.options = func() delivery.Options {
		best, sure := onDisk("best", narrow(1+int(seed%6))), onDisk("sure", strict(1+int(seed/7%8)))
		best.Retention.Records, sure.Retention.Records = keep, keep
		o := options(2, best, sure)
		o.OnLeft = func(l delivery.Left) { w.left[l.Socket.Principal+l.Cursor.Topic] = l.Cursor }
		return o
	}
	w.begin(t)
	for i := range 5 {
		c := &spillClient{name: fmt.Sprint("p", i), due: map[string][]int{}, got: map[string][]int{}}
		w.clients = append(w.clients, c)
		w.connects(c)
	}
	return w
}

func (w *spillWorld) begin(t testing.TB) {
	w.rig, w.disk = journaledOn(t, w.options(), newDiskWith(t, w.fs, journal.Options{Fsync: w.fsync, QueueBytes: 4000}))
	for _, topic := range spillTopics { // offsets are reserved before the disk breaks: else cursors are of a passing epoch
		w.publishWith(topic, delivery.Publication{Payload: []byte("0"), Target: delivery.Target{Principal: "nobody"}})
	}
}

// breaks has the disk hang, where best effort does not wait for it, or refuse.
func (w *spillWorld) breaks() {
	switch {
	case w.fsync == journal.Never && w.rand.IntN(2) == 0:
		hung := make(chan struct{})
		w.hung = hung
		w.fs.Hook(func(o memfs.Op) error {
			if o.Name != "lock" {
				<-hung
			}
			return nil
		})
	default:
		w.refuses = true
		w.fs.SetReadOnly(true)
	}
}

// mends ends that.
func (w *spillWorld) mends() {
	if w.refuses {
		w.refuses = false
		w.fs.SetReadOnly(false)
	}
	if w.hung != nil {
		w.fs.Hook(nil)
		close(w.hung)
		w.hung = nil
	}
	synctest.Wait()
}

// toggles breaks the disk, or mends it.
func (w *spillWorld) toggles() {
	if w.refuses || w.hung != nil {
		w.mends()
	} else {
		w.breaks()
	}
}

func (w *spillWorld) connects(c *spillClient) {
	conn := w.connect(w.rand.IntN(2))
	c.reader = &reader{client: conn}
	conn.do(func() { c.socket = conn.conn.OpenSocket(w.ns, conn.conn.NewSocketID(), c.name, conn) })
	c.seen, c.on = map[string]int{}, map[string]bool{}
}

// note takes what the client has read since it was last looked at.
func (c *spillClient) note() {
	for _, topic := range spillTopics {
		all := sequence(c.client, topic)
		for _, text := range all[c.seen[topic]:] {
			n, _ := strconv.Atoi(text)
			c.got[topic] = append(c.got[topic], n)
		}
		c.seen[topic] = len(all)
	}
}

func (w *spillWorld) publishes() {
	topic := spillTopics[w.rand.IntN(2)]
	if w.hung != nil {
		topic = "best"
	}
	for range 1 + w.rand.IntN(12) {
		w.n++
		p := delivery.Publication{Payload: []byte(fmt.Sprint(w.n))}
		to := w.clients
		switch w.rand.IntN(6) {
		case 0:
			to = to[w.rand.IntN(len(to)):][:1]
			p.Target = delivery.Target{Principal: to[0].name}
		case 1:
			p.TTL = 50 * time.Millisecond
			w.dead[w.n] = time.Now().Add(p.TTL)
		}
		sent, err := w.Publish(context.Background(), w.ns, topic, &p, true)
		if err != nil {
			if topic == "best" || !w.refuses {
				w.t.Errorf("%d is refused: %v", w.n, err)
			}
			continue
		}
		sent.Receipt(context.Background())
		if w.unkept[w.n] = sent.Unkept; sent.Unkept && !w.refuses && w.hung == nil {
			w.t.Errorf("%d is not kept by a disk that takes it", w.n)
		}
		for _, c := range to {
			if _, comesBack := w.left[c.name+topic]; c.on[topic] || comesBack {
				c.due[topic] = append(c.due[topic], w.n)
			}
		}
	}
}

// acts lets one client do something.
func (w *spillWorld) acts(t *testing.T) {
	c, topic := w.clients[w.rand.IntN(len(w.clients))], spillTopics[w.rand.IntN(2)]
	switch w.rand.IntN(9) {
	case 8:
		if w.rand.IntN(2) == 0 {
			w.unsubscribes(c, topic)
		}
	case 0, 1:
		c.open(0)
	case 2, 3:
		c.open([]int{100, 400, wide}[w.rand.IntN(3)])
	case 4, 5:
		c.acknowledge("sure", func(int) bool { return w.rand.IntN(3) > 0 })
	case 6:
		w.subscribes(c, topic)
	case 7:
		if w.rand.IntN(3) == 0 {
			w.leaves(t, c)
		}
	}
}

// unsubscribes ends a subscription; the client stays. It may come back, and then what it has not got is due to it.
func (w *spillWorld) unsubscribes(c *spillClient, topic string) {
	if !c.on[topic] {
		return
	}
	w.settle()
	c.do(func() { c.socket.Unsubscribe(topic) })
	w.settle()
	c.note()
	c.on[topic] = false
}

// subscribes goes on where the client has left off; what was published meanwhile is due to it as well.
func (w *spillWorld) subscribes(c *spillClient, topic string) {
	if c.on[topic] {
		return
	}
	o := delivery.SubscribeOptions{Tell: true}
	if at, ok := w.left[c.name+topic]; ok {
		o.From = &at
	} else if len(c.due[topic]) > 0 {
		return
	}
	c.subscribe(c.socket, topic, o)
	c.on[topic] = true
}

// leaves ends a client's connection; it comes back at once, and subscribes to what it did: so nothing is published that it misses.
func (w *spillWorld) leaves(t *testing.T, c *spillClient) {
	w.settle()
	c.do(func() { c.conn.Close(base.CauseTransportClose) })
	c.note() // now that nothing more is written to it
	w.returns(t, c)
}

func (w *spillWorld) returns(t *testing.T, c *spillClient) {
	t.Helper()
	was := c.on
	w.connects(c)
	for topic, on := range was {
		if on {
			w.subscribes(c, topic)
		}
	}
}

// restarts ends everything but the disk, and begins anew; every second time the process is killed, and nothing of its
// end reaches the disk.
func (w *spillWorld) restarts(t *testing.T) {
	w.mends()
	w.settle()
	for _, c := range w.clients {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
		c.note()
	}
	killed := w.rand.IntN(2) == 0
	if killed {
		w.fs.Hook(func(memfs.Op) error { return memfs.ErrCrashed })
	}
	w.Close()
	_ = w.disk.Close()
	if killed {
		w.fs.Hook(nil)
		w.fs.Kill()
	}
	w.begin(t)
	for _, c := range w.clients {
		w.returns(t, c)
	}
}

// balances holds P5 at this moment, of every lane and every topic.
func (w *spillWorld) balances(t *testing.T) {
	t.Helper()
	synctest.Wait() // totals are of one moment only while no loop works, and no read is under way
	for _, v := range w.survey(survey.Query{Limit: 100}).Clients {
		for _, l := range v.Lanes {
			if !l.Balanced {
				t.Errorf("%+v", l)
			}
		}
	}
	for _, topic := range spillTopics {
		n := w.totals(topic)
		done := n.Written
		if topic == "sure" {
			done = n.Acked
		}
		for _, d := range n.Dropped {
			done += d
		}
		if held := n.Queued + n.InFlight + n.Spilled; held < 0 || n.Offered != done+uint64(held) { //nolint:gosec // not negative
			t.Errorf("%s: %+v", topic, n)
		}
	}
	if n := w.Unbalanced.Load(); n > 0 {
		t.Errorf("%d unbalanced", n)
	}
}

// check compares what a client has read with what was due to it. What has expired, or what retention took, may be
// missing; nothing else may, and nothing may come in another order. Of a reliable topic what was not acknowledged may
// come again in another life.
func (w *spillWorld) check(t *testing.T, c *spillClient, topic string, whole bool) {
	t.Helper()
	got := c.got[topic]
	if topic == "sure" {
		slices.Sort(got)
		got = slices.Compact(got)
	}
	i := 0
	for _, n := range c.due[topic] {
		switch at, mortal := w.dead[n]; {
		case i < len(got) && got[i] == n:
			i++
		case w.unkept[n]:
		case whole && (!mortal || time.Now().Before(at)):
			t.Errorf("%s %s: %d is missing\ndue %d\ngot %d", c.name, topic, n, c.due[topic], got)
			return
		}
	}
	if i < len(got) {
		t.Errorf("%s %s: %d was not due, or comes too late\ndue %d\ngot %d", c.name, topic, got[i], c.due[topic], got)
	}
}

// Whatever is published, however clients stall, read on, acknowledge, unsubscribe, leave and come back, and though the
// node is restarted: every client gets all that is due to it, in order, but what has expired or what the log had to
// give up; and the books balance at every moment.
func TestSpillEqualsModel(t *testing.T) {
	for round := range 12 {
		seed := rand.Uint64()
		keep := []int{0, 0, 64}[round%3]
		ok := t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playSpill(t, seed, keep) })
		})
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
}

func playSpill(t *testing.T, seed uint64, keep int) {
	w := newSpillWorld(t, seed, keep)
	for _, c := range w.clients {
		for _, topic := range spillTopics {
			w.subscribes(c, topic)
		}
	}
	for step := range 150 {
		switch w.rand.IntN(10) {
		case 0, 1, 2, 3:
			w.publishes()
		case 4:
			if time.Sleep(time.Duration(w.rand.IntN(40)) * time.Millisecond); w.rand.IntN(3) == 0 {
				w.toggles()
			}
		default:
			w.acts(t)
		}
		if step%10 == 0 {
			w.balances(t)
		}
		if step == 100 && w.rand.IntN(2) == 0 {
			w.restarts(t)
		}
	}
	w.mends()
	for _, c := range w.clients {
		for _, topic := range spillTopics {
			w.subscribes(c, topic)
		}
	}
	for {
		for _, c := range w.clients {
			c.open(wide)
			c.acknowledge("sure", func(int) bool { return true })
		}
		best, sure := w.totals("best"), w.totals("sure")
		if best.Behind+best.Queued+sure.Behind+sure.Queued+sure.InFlight == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.balances(t)
	for _, c := range w.clients {
		c.note()
		for _, topic := range spillTopics {
			w.check(t, c, topic, keep == 0)
		}
	}
}
