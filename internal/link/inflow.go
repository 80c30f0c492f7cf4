package link

import (
	"slices"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/survey"
)

// What a client sends is judged by the server's rules (guard.Inbound) as it comes, before anything is made of it. What is
// beyond a rule that throttles waits here for its turn, alone: its client is not read meanwhile, and what had been read with
// it waits in the backlog behind it. So the kernel's buffers fill, and the client's own, and it sends at the rate it may.
//
//	event ── Judge ─┬─ within all rules ────────────────────> its socket
//	                ├─ Throttle ── Delay, a Pause ··> its turn ──^
//	                └─ Drop, Disconnect ──> its socket says so

// Late is what has come before its turn.
//
//weir:loop
type Late interface {
	// Arrive does what would have been done at once.
	Arrive()
}

// inflow is what a connection keeps of what its client has sent.
type inflow struct {
	meters []socketMeters // by namespace, as long as they matter: also of those that it has left
	late   Late           // waits for its turn; nil: nothing does
	since  int64
	at     int64
	bytes  int
	waited int64 // how long the first CONNECT has waited, if it had to; 0: it has not

	limited survey.Limited
	noted   int64 // when NoteNow was true last
}

// socketMeters measure what the connection has sent to one namespace, whichever socket of it.
type socketMeters struct {
	namespace *delivery.Namespace
	of        []guard.Meter
}

// held is what the budget counts for them.
func (m *socketMeters) held() int {
	return int(unsafe.Sizeof(*m)) + len(m.of)*int(unsafe.Sizeof(guard.Meter{}))
}

// Inbound is the rules of the client's server; nil: there are none.
//
//weir:any
func (c *Client) Inbound() *guard.Inbound { return c.door.Inbound }

// Judge says what becomes of what a client has sent to a namespace, by the server's rules, of which there are some.
func (c *Client) Judge(n *delivery.Namespace, principal string, l *guard.Load) guard.Ruling {
	s := guard.Sender{Principal: principal, Addr: c.Remote()}
	if c.door.Inbound.Meters() > 0 {
		s.Meters = c.metersOf(n)
	}
	v := c.door.Inbound.Judge(&s, l, c.out.Shard().Now())
	if v.Action != guard.Pass || v.Dry != nil {
		c.noteBeyond(&v)
	}
	return v
}

// inflow is what is kept of what the client has sent.
func (c *Client) inflow() *inflow {
	w := c.toWait()
	if w.inflow == nil {
		w.inflow = new(inflow)
	}
	return w.inflow
}

// metersOf are those of the client in a namespace. There are no more than the application has namespaces: others have the lobby's
// together.
func (c *Client) metersOf(n *delivery.Namespace) []guard.Meter {
	f := c.inflow()
	for i := range f.meters {
		if m := &f.meters[i]; m.namespace == n {
			return m.of
		}
	}
	m := socketMeters{n, make([]guard.Meter, c.door.Inbound.Meters())}
	c.door.Hub.Hold(budget.Limits, m.held())
	f.meters = append(f.meters, m)
	return m.of
}

// forgetMeters forgets those of sockets, all with nil.
func (c *Client) forgetMeters(of func(*socketMeters) bool) {
	w := c.waiting()
	if w == nil || w.inflow == nil {
		return
	}
	f := w.inflow
	f.meters = slices.DeleteFunc(f.meters, func(m socketMeters) bool {
		gone := of == nil || of(&m)
		if gone {
			c.door.Hub.Hold(budget.Limits, -m.held())
		}
		return gone
	})
	if len(f.meters) == 0 {
		f.meters = nil
	}
	if f.nothing() {
		w.inflow = nil
		c.tidy()
	}
}

// trimMeters forgets the meters that would let everything through.
func (c *Client) trimMeters() {
	if c.door.Inbound != nil {
		now := c.out.Shard().Now()
		c.forgetMeters(func(m *socketMeters) bool { return c.door.Inbound.Idle(m.of, now) })
	}
}

// nothing reports whether there is nothing to keep.
func (f *inflow) nothing() bool {
	return f == nil || len(f.meters) == 0 && f.late == nil && f.waited == 0 && f.limited == survey.Limited{}
}

// noteBeyond counts what was beyond a rule, for those who look at the client.
func (c *Client) noteBeyond(v *guard.Ruling) {
	l := &c.inflow().limited
	l.Last = c.door.Hub.Time(c.out.Shard().Now())
	switch v.Action {
	case guard.Throttle:
		l.Throttled++
		l.Rule = v.Rule.Says
	case guard.Drop, guard.Disconnect:
		l.Dropped++
		l.Rule = v.Rule.Says
	case guard.Pass:
		l.WouldBe++
		l.Rule = v.Dry.Says
	}
}

// Delay keeps what has come, which holds so many bytes, until its turn, and does not read on before. It reports false for a
// client that is leaving, which waits for nothing.
func (c *Client) Delay(late Late, at int64, bytes int) bool {
	if c.Leaving() {
		return false
	}
	f := c.inflow()
	f.late, f.since, f.at, f.bytes = late, c.out.Shard().Now(), at, bytes
	c.door.Hub.Hold(budget.Inbound, bytes)
	c.door.Throttled.Add(1)
	c.Pause()
	c.session.Rearm()
	return true
}

// Leaving reports whether the client is on its way out: what it had sent is dealt with at once, and for the last time.
func (c *Client) Leaving() bool {
	w := c.waiting()
	return c.closed || w != nil && w.leaving
}

// lateDue is when the turn of what waits is; 0: nothing does.
func (c *Client) lateDue() int64 {
	if w := c.waiting(); w != nil && w.inflow != nil && w.inflow.late != nil {
		return max(w.inflow.at, 1)
	}
	return 0
}

// lookAtLate lets arrive what waits, if it is its turn, and reads on.
func (c *Client) lookAtLate(now int64) {
	if at := c.lateDue(); at == 0 || now < at {
		return
	}
	c.arriveLate()
	c.Resume()
}

// arriveLate lets arrive what waits, which something does. Resume, or the end of the client, follows.
func (c *Client) arriveLate() {
	f := c.inflow()
	late := f.late
	f.late = nil
	if c.joined == guard.NeverJoined && f.waited == 0 {
		f.waited = max(c.out.Shard().Now()-f.since, 1)
	}
	c.door.Hub.Hold(budget.Inbound, -f.bytes)
	c.door.Throttled.Add(-1)
	late.Arrive()
}

// describeLimits adds to a view what limits have done to the client.
func (c *Client) describeLimits(v *survey.Client) {
	w := c.waiting()
	if w == nil || w.inflow == nil || w.inflow.limited == (survey.Limited{}) {
		return
	}
	l := w.inflow.limited
	if at := c.lateDue(); at != 0 {
		l.ForMs = max(time.Duration(at-c.out.Shard().Now()), 0).Milliseconds()
	}
	v.Limited = &l
}

// noteEvery is how often it is noted that a client has sent too much.
const noteEvery = int64(time.Second)

// NoteNow reports whether it is to be noted that the client has sent too much: once a second, of those that do so often.
func (c *Client) NoteNow() bool {
	f, now := c.inflow(), c.out.Shard().Now()
	if f.noted != 0 && now-f.noted < noteEvery {
		return false
	}
	f.noted = max(now, 1)
	return true
}

// Offender is whom an offence of a socket of the client falls on: its principal, or else as a penalty does.
func (c *Client) Offender(principal string) string {
	if principal != "" {
		return "principal " + principal
	}
	return guard.PenaltyKey(c.Remote(), c.agent)
}

// SendAway ends the connection once its client has been given its last words, and reads nothing more. What it had sent and
// waits is not dealt with.
func (c *Client) SendAway(cause base.Cause) {
	c.Pause()
	c.dropBacklog()
	c.out.Finish(cause)
}
