package link

import (
	"bytes"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/engineio"
)

// A batch of messages has been read when the first of them may hold reading: a mailbox is full, an answer has no room, a large
// message is with a reader. So the rest of the batch waits here, and a limit stops the client at the very message that reached it.
//
//	          ┌────────── Resume, the last, and all is handled ─────────┐
//	          v                                                         │
//	Message, read ── Pause ──> held ── Resume, the last ──> catching up: the backlog, message by message
//	   │                        │ Message: to the backlog          │
//	   │                        ^                                  │
//	   │                        └── Pause, by what is handled ─────┤
//	   v                                                           v
//	  take ── small ──> handle                                   take
//	      └── large ──> readAside, a Pause ··· hasRead: handle, Resume
//
// A client that leaves is not held by anything: what it had sent is handled at once, in order (finishBacklog).

// message is an Engine.IO message that waits in a backlog.
type message struct {
	data   []byte
	binary bool
}

// held is what the budget counts for a message that waits: of many small ones their
// places take most.
func (m *message) held() int { return len(m.data) + 64 }

// Message implements engineio.Host.
func (c *Client) Message(data []byte, binary bool) error {
	if c.expelLate(c.door.Hub.Now()) { // decided by the clock: the timer is late, or the step
		return nil
	}
	if w := c.waiting(); w != nil && (w.pauses > 0 || len(w.backlog) > 0) {
		if len(data) <= engineio.Owned { // else it is the client's own
			data = bytes.Clone(data)
		}
		m := message{data, binary}
		w.backlog = append(w.backlog, m)
		c.door.Hub.Hold(budget.Inbound, m.held())
		return nil
	}
	return c.take(message{data, binary})
}

// take handles a message, or has a large one read first.
func (c *Client) take(m message) error {
	if !m.binary && len(m.data) > largeText && c.readAside(m.data) {
		return nil
	}
	return c.handle(m)
}

// handle gives a message to its namespace.
func (c *Client) handle(m message) error {
	before := c.proto.Held()
	return c.handled(before, c.proto.Message(c, m.data, m.binary))
}

// handled counts what is kept since then of a packet whose attachments are missing, and returns what was wrong.
func (c *Client) handled(before int, err error) error {
	c.door.Hub.Hold(budget.Inbound, c.proto.Held()-before)
	if err != nil {
		c.door.opts.Log.Debug("client broke the protocol", "address", c.Remote(), "error", err)
	}
	return err
}

// Reading implements delivery.Peer.
func (c *Client) Reading(on bool) {
	if on {
		c.Resume()
	} else {
		c.Pause()
	}
}

// Pause stops reading from the client until as many calls of Resume have followed.
func (c *Client) Pause() {
	w := c.toWait()
	if w.pauses++; w.pauses == 1 && !c.closed {
		c.session.Pause()
	}
}

// Resume ends what Pause began.
func (c *Client) Resume() {
	w := c.waiting()
	if w.pauses--; w.pauses == 0 && !c.closed && !w.catching {
		c.catchUp(w)
	}
	c.tidy()
}

// Deaf implements delivery.Deaf: what the client has sent waits, its acks with it.
func (c *Client) Deaf() bool {
	w := c.waiting()
	return w != nil && (w.pauses > 0 || len(w.backlog) > 0)
}

// catchUp handles the backlog, as far as reading is not held again, and reads on.
func (c *Client) catchUp(w *waiting) {
	w.catching = true
	defer func() { w.catching = false }()
	for len(w.backlog) > 0 {
		if err := c.take(c.next(w)); err != nil {
			c.broke(err)
			return
		}
		if w.pauses > 0 || c.closed {
			return
		}
	}
	w.backlog = nil
	c.session.Resume()
}

// next takes the first message of the backlog, which has one.
func (c *Client) next(w *waiting) message {
	m := w.backlog[0]
	w.backlog[0] = message{}
	w.backlog = w.backlog[1:]
	c.door.Hub.Hold(budget.Inbound, -m.held())
	return m
}

// broke ends the session of a client that has broken the protocol in a message that had waited.
func (c *Client) broke(err error) {
	c.dropBacklog()
	c.session.Fault(base.CauseParseError, err)
}

// finishBacklog handles what had been read of a client that is leaving: one batch at
// most. Its handlers get all that had arrived.
func (c *Client) finishBacklog() {
	w := c.waiting()
	if w == nil {
		return
	}
	catching, leaving := w.catching, w.leaving
	w.catching, w.leaving = true, true
	defer func() { w.catching, w.leaving = catching, leaving }()
	if c.lateDue() != 0 {
		w.pauses--
		c.arriveLate()
	}
	if r := w.reading; r != nil {
		c.release(w, r)
		w.pauses--
		c.handleLast(message{data: r.data})
	}
	for len(w.backlog) > 0 {
		c.handleLast(c.next(w))
	}
	w.backlog = nil
}

// handleLast handles a message of a client that leaves. What comes after one that breaks the protocol is forgotten.
func (c *Client) handleLast(m message) {
	if !m.binary && len(m.data) > largestLast {
		c.door.opts.Log.Debug("message not read: its client has left", "address", c.Remote(), "bytes", len(m.data))
		return
	}
	if err := c.handle(m); err != nil {
		c.dropBacklog()
	}
}

// Held implements delivery.Hoarder: what the client has sent, is incomplete or waits, and what it has joined with.
func (c *Client) Held() int {
	n := c.proto.Held() + c.session.Held()
	for _, d := range c.out.Sockets() {
		if s, ok := d.Peer.(keeper); ok {
			n += s.Keeps()
		}
	}
	w := c.waiting()
	if w == nil {
		return n
	}
	for i := range w.backlog {
		n += w.backlog[i].held()
	}
	if w.reading != nil {
		n += len(w.reading.data)
	}
	if w.inflow != nil && w.inflow.late != nil {
		n += w.inflow.bytes
	}
	return n
}

// dropBacklog forgets what a client had sent after it had broken the protocol.
func (c *Client) dropBacklog() {
	w := c.waiting()
	if w == nil {
		return
	}
	for len(w.backlog) > 0 {
		c.next(w)
	}
	w.backlog = nil
}
