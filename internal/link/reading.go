package link

import (
	"context"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/workers"
)

// largeText is how many bytes a message may have that a loop reads itself, which takes it up to half a millisecond. A
// longer one, which is the client's own, is read by Shared.Readers, and the client is not read meanwhile. Handlers do not
// hold that up, though all of them wait for an answer.
const largeText = engineio.Owned

// largestLast is the longest message that a loop reads of a client that leaves, which cannot wait for a reader.
const largestLast = 512 << 10

// readingLimits say nothing: a mailbox of a reading has one job, which readAside counts.
var readingLimits workers.MailboxLimits

// reading is a large message on its way through a reader.
type reading struct {
	box  workers.Mailbox // its own: what a socket's handlers do does not hold it up
	c    *Client
	data []byte
	text socketio.Text
	err  error
}

// readAside gives a message to a reader, and holds reading of its client until the task has come back; false: there are
// no readers any more.
func (c *Client) readAside(data []byte) bool {
	r := &reading{c: c, data: data}
	r.box.Init(c.door.Readers, &readingLimits, nil)
	if r.box.Push(r, 0) == workers.Refused {
		return false
	}
	c.toWait().reading = r
	c.door.Hub.Hold(budget.Inbound, len(data))
	c.Pause()
	return true
}

// Run implements workers.Job.
func (r *reading) Run(context.Context) {
	r.text, r.err = socketio.ParseText(r.data)
	r.c.out.Shard().Post(hasRead{r})
}

// hasRead is the task that goes on with a client whose message was read.
//
//weir:loop
type hasRead struct{ r *reading }

// Run implements base.Task.
func (t hasRead) Run() {
	r, c := t.r, t.r.c
	w := c.waiting()
	if w == nil || w.reading != r {
		return // its client has left, with which it was handled
	}
	c.release(w, r)
	if err := c.handleText(r); err != nil {
		c.broke(err)
	}
	c.Resume()
}

// release forgets what was read.
func (c *Client) release(w *waiting, r *reading) {
	w.reading = nil
	c.door.Hub.Hold(budget.Inbound, -len(r.data))
}

// handleText is handle for a message that a reader has read.
func (c *Client) handleText(r *reading) error {
	before, err := c.proto.Held(), r.err
	if err == nil {
		err = c.proto.Take(c, r.text)
	}
	return c.handled(before, err)
}

// Occupy keeps a reader busy until release is called. It is for tests. Any goroutine but a loop.
func Occupy(readers *workers.Pool) (release func()) {
	held, open := make(chan struct{}), make(chan struct{})
	box := new(workers.Mailbox)
	box.Init(readers, &readingLimits, nil)
	box.Push(workers.JobFunc(func(context.Context) { close(held); <-open }), 0)
	<-held
	return func() { close(open) }
}
