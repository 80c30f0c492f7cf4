package lane_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// TestMain makes the machine's runs long enough to fill a window; a flag on the
// command line wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.steps", "80"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestLaneEqualsModel runs random operations on several lanes of one class and
// on naive models of them, for every valid mode x overflow.
func TestLaneEqualsModel(t *testing.T) {
	for mode, overflows := range map[base.Mode][]base.Overflow{
		base.BestEffort:  {base.DropOldest, base.RejectNew, base.Coalesce, base.SnapshotOnly, base.Disconnect, base.SpillToDisk},
		base.AtLeastOnce: {base.RejectNew, base.Disconnect, base.SpillToDisk},
	} {
		for _, overflow := range overflows {
			t.Run(fmt.Sprintf("%s/%s", mode, overflow), rapid.MakeCheck(func(t *rapid.T) {
				m := newMachine(t, mode, overflow)
				t.Repeat(m.actions())
				m.finish(t)
			}))
		}
	}
}

// machine is one class, its clients' lanes and what they ought to hold.
type machine struct {
	readBack bool // something was read back
	class    *lane.Class
	clients  []*client
	retired  books // of lanes that were closed
	now      int64
	offset   uint64
}

// client is one lane, its model, and the entries taken and not yet reported.
type client struct {
	lane  *lane.Lane
	model *model
	form  base.Form
	out   []taken

	forced  bool              // Force was used: the limits do not hold
	forgone bool              // Forgo was used: the bytes spilled are about right
	last    map[string]uint64 // offset last written for the first time, by key for COALESCE
	acked   []string
}

type taken struct {
	entry lane.Entry
	held  *held
}

func newMachine(t *rapid.T, mode base.Mode, overflow base.Overflow) *machine {
	p := lane.Policy{
		Mode: mode, Overflow: overflow, Weight: 1,
		MaxMessages: rapid.SampledFrom([]int{60, 1, 2, 3, 10, 45}).Draw(t, "maxMessages"),
		MaxBytes:    rapid.SampledFrom([]int{2000, 20, 70, 150, 400}).Draw(t, "maxBytes"),
		MaxInFlight: rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(31, 34)).Draw(t, "window"), // scanSpan is 32
		AckTimeout:  20,
		MaxRetries:  rapid.IntRange(0, 3).Draw(t, "maxRetries"),
		Backoff:     rapid.SampledFrom([]float64{0, 1, 2}).Draw(t, "backoff"),
	}
	m := &machine{class: &lane.Class{Policy: p}, now: 1}
	for _, f := range []base.Form{base.Plain, base.Envelope, base.Plain} {
		c := &client{lane: new(lane.Lane), form: f}
		m.open(c)
		m.clients = append(m.clients, c)
	}
	return m
}

// open gives c a new, empty lane.
func (m *machine) open(c *client) {
	c.lane.Init(m.class, c.form, true)
	c.model = &model{policy: m.class.Policy}
	c.last, c.acked, c.forced, c.forgone = make(map[string]uint64), nil, false, false
}

// actions are numbered because rapid prefers what sorts first: lanes should fill
// and windows open more often than lanes are closed.
func (m *machine) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"":          m.check,
		"1 publish": m.publish,
		"2 flush":   m.flush,
		"3 publish": m.publish,
		"4 flush":   m.flush,
		"5 wait":    m.wait,
		"8 look":    m.look,
		"8 expire":  m.expire,
		"8 tell":    m.tell,
		"8 trim":    func(t *rapid.T) { m.client(t).lane.Trim(); m.class.Trim() },
		"9 close":   m.close,
	}
	p := &m.class.Policy
	events := p.Mode == base.BestEffort && p.Overflow == base.Disconnect // the class of events lanes too, which are forced and have no log
	if !events {                                                         // a lane of any policy is behind when its subscription begins at a cursor
		actions["3 unspill"], actions["5 unspill"], actions["8 forgo"], actions["7 spill"] = m.unspill, m.unspill, m.forgo, m.spill
	}
	if p.Mode == base.AtLeastOnce {
		actions["6 due"], actions["6 flush"], actions["7 ack"], actions["7 busy"] = m.due, m.flush, m.ack, m.busy
		return actions
	}
	actions["7 abandon"], actions["7 evict"], actions["7 refuse"] = m.abandon, m.evict, m.refuse
	if events {
		actions["7 force"] = m.force
	}
	return actions
}

func (m *machine) wait(t *rapid.T) { m.now += rapid.SampledFrom([]int64{1, 20, 40, 7}).Draw(t, "step") }

func (m *machine) client(t *rapid.T) *client {
	return m.clients[rapid.IntRange(0, len(m.clients)-1).Draw(t, "client")]
}

func (m *machine) message(t *rapid.T) *base.Message {
	m.offset++
	b := base.NewMessage(sized(rapid.IntRange(1, 60).Draw(t, "size")))
	b.ID = fmt.Sprint("m", m.offset)
	b.Offset, b.At = m.offset, m.now
	b.Key = rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key")
	if ttl := rapid.IntRange(-20, 60).Draw(t, "ttl"); ttl > 0 {
		b.Expires = m.now + int64(ttl)
	}
	return b
}

// publish offers a burst of messages, each to some of the lanes.
func (m *machine) publish(t *rapid.T) {
	for range rapid.SampledFrom([]int{1, 2, 5, 12, 40}).Draw(t, "burst") {
		b := m.message(t)
		it := m.class.Hold(b)
		mask := rapid.SampledFrom([]int{7, 1, 2, 3, 4, 5, 6, 0}).Draw(t, "subscribers")
		for i, c := range m.clients {
			if mask>>i&1 == 0 {
				continue
			}
			if len(c.model.spilled) > 0 && m.class.Policy.Overflow != base.SpillToDisk { // its user knows that it is behind
				c.lane.Spill(b)
				c.model.spill(b, b.Frame(c.form).Len())
				continue
			}
			got, want := c.lane.Offer(it, m.now), c.model.offer(b, b.Frame(c.form).Len(), m.now)
			if got != want {
				t.Fatalf("offer %s to client %d: outcome %d, want %d", b.ID, i, got, want)
			}
		}
		m.class.Release(it)
	}
}

// spill is for a lane that is behind although nothing of it was counted yet.
func (m *machine) spill(t *rapid.T) {
	c, b := m.client(t), m.message(t)
	if got, want := c.lane.Spill(b), c.model.spill(b, b.Frame(c.form).Len()); got != want {
		t.Fatalf("spill %s: outcome %d, want %d", b.ID, got, want)
	}
}

// unspill gives a lane back what it has spilled, as long as there is room: another message with the same content.
func (m *machine) unspill(t *rapid.T) {
	c := m.client(t)
	for range rapid.IntRange(1, 10).Draw(t, "records") {
		if len(c.model.spilled) == 0 {
			return
		}
		was := c.model.spilled[0]
		b := base.NewMessage(sized(was.msg.Frame(base.Plain).Len()))
		b.ID, b.Offset, b.At, b.Key, b.Expires = was.msg.ID, was.msg.Offset, was.msg.At, was.msg.Key, was.msg.Expires
		it := m.class.Hold(b)
		got, want := c.lane.Unspill(it, true, m.now), c.model.unspill(b, m.now)
		m.class.Release(it)
		m.readBack = true
		if got != want {
			t.Fatalf("unspill %s: needs %d bytes, want %d", b.ID, got, want)
		}
		if got > 0 {
			return
		}
	}
}

func (m *machine) forgo(t *rapid.T) {
	c, n := m.client(t), rapid.IntRange(1, 5).Draw(t, "gone")
	c.lane.Forgo(uint64(n), base.ReasonSpillFailed) //nolint:gosec // positive
	c.model.forgo(n, base.ReasonSpillFailed)
	c.forgone = true
}

func (m *machine) force(t *rapid.T) {
	c, b := m.client(t), m.message(t)
	it := m.class.Hold(b)
	c.lane.Force(it)
	m.class.Release(it)
	c.model.force(b, b.Frame(c.form).Len())
	c.forced = true
}

func (m *machine) refuse(t *rapid.T) {
	c := m.client(t)
	c.lane.Refuse(base.ReasonRejected)
	c.model.refuse(base.ReasonRejected)
}

// take takes up to n entries and compares each with the model's.
func (m *machine) take(t *rapid.T, c *client, n int) (got []taken) {
	for range n {
		e, ok := c.lane.Take(m.now)
		h := c.model.take(m.now)
		if ok != (h != nil) {
			t.Fatalf("take: %v, want %v", ok, h != nil)
		}
		if !ok {
			break
		}
		form := c.form
		if h.tries > 0 {
			form |= base.Redelivered
		}
		if e.Message() != h.msg || e.Frame() != h.msg.Frame(form) {
			t.Fatalf("take: %s, want %s in form %d", e.Message().ID, h.msg.ID, form)
		}
		got = append(got, taken{e, h})
	}
	return got
}

func (m *machine) untake(c *client, entries []taken) {
	for _, x := range slices.Backward(entries) {
		c.lane.Untake(x.entry)
		c.model.untake(x.held)
	}
}

// flush takes a batch behind what is still being written. The kernel takes a
// part of it all, an entry or more stay half written, the rest goes back.
func (m *machine) flush(t *rapid.T) {
	c := m.client(t)
	fresh := m.take(t, c, rapid.SampledFrom([]int{1, 2, 3, 10, 45, 0}).Draw(t, "batch"))
	back := fresh[len(fresh)-rapid.IntRange(0, len(fresh)).Draw(t, "back"):]
	m.untake(c, back)
	c.out = append(c.out, fresh[:len(fresh)-len(back)]...)
	n := len(c.out) - rapid.IntRange(0, len(c.out)).Draw(t, "pinned")
	for _, x := range c.out[:n] {
		m.wrote(t, c, x)
	}
	c.out = slices.Clone(c.out[n:])
}

// wrote also holds promise P4 against what is written.
func (m *machine) wrote(t *rapid.T, c *client, x taken) {
	if b := x.held.msg; x.held.tries == 0 && !x.held.settled {
		stream := ""
		if m.class.Policy.Overflow == base.Coalesce {
			stream = b.Key
		}
		if b.Offset <= c.last[stream] {
			t.Fatalf("wrote offset %d after %d", b.Offset, c.last[stream])
		}
		c.last[stream] = b.Offset
	}
	c.lane.Wrote(x.entry, m.now)
	c.model.wrote(x.held, m.now)
	if w := c.model.window; len(w) > m.class.Policy.MaxInFlight {
		t.Fatalf("%d messages past the oldest unacknowledged, window %d", len(w), m.class.Policy.MaxInFlight)
	}
}

// look takes everything there is to take and puts it back.
func (m *machine) look(t *rapid.T) {
	c := m.client(t)
	m.untake(c, m.take(t, c, all))
}

func (m *machine) abandon(t *rapid.T) {
	c := m.client(t)
	if len(c.out) == 0 {
		return
	}
	x := c.out[len(c.out)-1]
	c.out = c.out[:len(c.out)-1]
	c.lane.Abandon(x.entry, base.ReasonDisconnect)
	c.model.abandon(x.held, base.ReasonDisconnect)
}

// ack acknowledges what is in flight, in any order; or something that never was,
// has been acknowledged before, or is only queued.
func (m *machine) ack(t *rapid.T) {
	c := m.client(t)
	known := append([]string{"", "nonsense"}, c.acked...)
	for _, h := range c.model.entries() {
		known = append(known, h.msg.ID)
	}
	for _, id := range rapid.SliceOfN(rapid.SampledFrom(known), 1, 20).Draw(t, "ids") {
		at, ok := c.lane.Ack(id)
		wantAt, want := c.model.ack(id)
		if at != wantAt || ok != want {
			t.Fatalf("ack %q: %d %v, want %d %v", id, at, ok, wantAt, want)
		}
		if ok {
			c.acked = append(c.acked, id)
		}
	}
}

func (m *machine) due(t *rapid.T) {
	c := m.client(t)
	again, exhausted := c.lane.Due(m.now)
	wantAgain, wantExhausted := c.model.due(m.now)
	if again != wantAgain || exhausted != wantExhausted {
		t.Fatalf("due: %d again, %d exhausted, want %d, %d", again, exhausted, wantAgain, wantExhausted)
	}
}

func (m *machine) busy(t *rapid.T) {
	c := m.client(t)
	c.lane.Busy(m.now)
	c.model.busy(m.now)
}

func (m *machine) expire(t *rapid.T) {
	c := m.client(t)
	c.lane.Expire(m.now)
	c.model.expire(m.now)
}

// evict takes what is old from every lane at once, as the budget does.
func (m *machine) evict(t *rapid.T) {
	at := rapid.Int64Range(max(0, m.now-50), m.now).Draw(t, "at")
	for i, c := range m.clients {
		if got, want := c.lane.Evict(at), c.model.evict(at); got != want {
			t.Fatalf("evict what is from %d or before from client %d: %d, want %d", at, i, got, want)
		}
	}
}

// tell takes the loss; sometimes the notice could not be written.
func (m *machine) tell(t *rapid.T) {
	c := m.client(t)
	n, r, ok := c.lane.TakeLoss()
	if n != c.model.untold || ok != (n > 0) || (ok && r != c.model.because) {
		t.Fatalf("loss: %d for %s (%v), want %d for %s", n, r, ok, c.model.untold, c.model.because)
	}
	if ok && rapid.Bool().Draw(t, "unwritten") {
		c.lane.ReturnLoss(n, r)
		return
	}
	c.model.untold = 0
}

// close ends the lane as an unsubscribe or a disconnect does, with entries half
// written, and opens another.
func (m *machine) close(t *rapid.T) {
	c := m.client(t)
	c.lane.Close(base.ReasonUnsubscribe)
	c.model.close(base.ReasonUnsubscribe)
	m.compare(t, c)
	for i, x := range c.out {
		if i%2 == 0 {
			c.lane.Wrote(x.entry, m.now)
			c.model.wrote(x.held, m.now)
			continue
		}
		c.lane.Abandon(x.entry, base.ReasonDisconnect)
		if m.class.Policy.Mode == base.BestEffort {
			c.model.abandon(x.held, base.ReasonDisconnect)
		}
	}
	c.out = nil
	m.compare(t, c)
	if c.lane.Depth() != 0 || c.lane.Bytes() != 0 {
		t.Fatalf("closed lane holds %d entries, %d bytes", c.lane.Depth(), c.lane.Bytes())
	}
	m.retired.add(&c.model.books)
	m.open(c)
}
