package swarm

import (
	"bytes"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/wire/sio"
)

// emitter is the events a client has under way. An event's ack id is its place in the window plus a multiple of the
// window's size, which tells it from those before it there.
type emitter struct {
	places []place
	under  int // way: places taken
	look   int // for a free place
	count  int64
	next   int64 // nanos: when the next event of an open loop is meant to be sent
}

// place is one event under way.
type place struct {
	id    uint64
	since int64 // µs of Clock: when it was sent, in an open loop when it was meant to be
	taken bool
}

func (e *emitter) reset() {
	clear(e.places)
	*e = emitter{places: e.places}
}

// take finds a free place; there has to be one.
func (e *emitter) take() *place {
	for e.places[e.look].taken {
		e.look = (e.look + 1) % len(e.places)
	}
	p := &e.places[e.look]
	p.taken = true
	p.id = uint64(e.look) + uint64(len(e.places))*uint64(e.count)
	e.under++
	return p
}

// release frees the place of an id; false if nothing is under way by that id.
func (e *emitter) release(id uint64) (since int64, ok bool) {
	p := &e.places[id%uint64(len(e.places))]
	if !p.taken || p.id != id {
		return 0, false
	}
	p.taken = false
	e.under--
	return p.since, true
}

// beginEmit lets a client that is ready emit, unless its group is held. The clients of an open loop spread over its interval.
func (c *client) beginEmit() {
	g := c.group
	if g.spec.Emit == nil || g.held {
		return
	}
	if c.emitter == nil {
		c.emitter = &emitter{places: make([]place, max(g.spec.Emit.Window, 1))}
	}
	if g.step > 0 {
		c.emitter.next = g.loop.now + g.loop.random.Int64N(g.step)
	}
	c.emitDue()
}

// nextEmit is when the timer is needed for the next event; 0: it is not, an ack comes first or there is nothing to send.
func (c *client) nextEmit() int64 {
	if c.emitter == nil || c.group.step == 0 || c.emitter.under == len(c.emitter.places) {
		return 0
	}
	return c.emitter.next
}

// emitDue emits what is due, as far as the window goes. In a closed loop something always is.
func (c *client) emitDue() {
	e := c.emitter
	if e == nil {
		return
	}
	for e.under < len(e.places) {
		if c.group.step == 0 {
			c.emit(c.group.loop.now)
			continue
		}
		if e.next > c.group.loop.now {
			return
		}
		c.emit(e.next)
		e.next += c.group.step
	}
}

// emit sends an event that is meant to be sent at a moment, in nanos.
func (c *client) emit(at int64) {
	g, l, e := c.group, c.group.loop, c.emitter
	p := e.take()
	p.since = at / 1000
	h := sio.EventHeader{Namespace: l.script.Namespace(), ID: p.id, HasID: true}
	l.text = append(sio.AppendHeader(append(l.text[:0], '4'), sio.Event, h), g.event...)
	payload := len(l.text) - len(`{"n":`)
	l.text = append(strconv.AppendInt(l.text, e.count, 10), timeField...)
	l.text = append(strconv.AppendInt(l.text, p.since, 10), `,"pad":"`...)
	for len(l.text)-payload < g.spec.Emit.Size-len(`"}`) {
		l.text = append(l.text, 'x')
	}
	l.text = append(l.text, `"}]`...)
	l.out = appendText(l.out, l.text)
	e.count++
	g.stats.Emitted++
}

// acked takes the answer to an emitted event, and emits what may follow.
func (c *client) acked(id uint64, args []byte) {
	s := &c.group.stats
	if c.emitter == nil {
		s.Skipped++
		return
	}
	since, ok := c.emitter.release(id)
	if !ok {
		s.Skipped++
		return
	}
	s.Acked++
	if bytes.HasPrefix(args, refusal) {
		s.Refused++
	}
	record(s.EmitLatency, (c.group.loop.now-since*int64(time.Microsecond))/1000)
	c.emitDue()
}
