package swarm

import (
	"bytes"

	"github.com/streamweir/weir/internal/wire/sio"
)

var (
	timeField = []byte(`,"t":`)
	idField   = []byte(`"messageId":"`)
	ackEnd    = []byte(`"}]`)
	refusal   = []byte(`[{"ok":false`)
)

// Packet implements peer.Handler. Of a delivery no more is looked at than how it begins and, if it is to be
// acknowledged, its message id: BenchmarkReceive.
func (c *client) Packet(text []byte) error {
	l := c.group.loop
	if rest, ok := bytes.CutPrefix(text, l.words.delivery); ok && l.spec.Event != "" {
		n, rest, ok := number(rest)
		if ok {
			rest, ok = bytes.CutPrefix(rest, timeField)
		}
		if ok {
			var at int64
			if at, rest, ok = number(rest); ok {
				c.deliver(n, at)
				c.acknowledge(rest)
				return nil
			}
		}
	}
	if rest, ok := bytes.CutPrefix(text, l.words.answer); ok {
		if id, args, ok := number(rest); ok {
			return c.answered(uint64(id), args)
		}
	}
	if _, err := sio.Parse(text); err != nil {
		return err
	}
	c.group.stats.Skipped++
	return nil
}

// deliver books a delivery that was sent at t, in microseconds of Clock.
func (c *client) deliver(n, t int64) {
	l, s := c.group.loop, &c.group.stats
	s.Deliveries++
	record(s.Latency, l.now/1000-t)
	before := c.seen.next - 1
	v := c.seen.take(n)
	s.Gaps += v.gap
	if v.disorder {
		s.Disorder++
	}
	if v.late {
		s.Late++
	}
	if v.duplicate {
		s.Duplicates++
	}
	if n > s.Newest {
		s.Newest, l.newest = n, max(l.newest, n)
	}
	c.track(before)
}

// acknowledge answers a delivery of a reliable topic. The id is searched from the end: metadata is the last argument.
func (c *client) acknowledge(delivery []byte) {
	l := c.group.loop
	if !l.spec.Ack {
		return
	}
	i := bytes.LastIndex(delivery, idField)
	if i < 0 {
		return
	}
	id, _, ok := bytes.Cut(delivery[i+len(idField):], []byte{'"'})
	if !ok {
		return
	}
	l.text = append(append(append(l.text[:0], l.words.ack...), id...), ackEnd...)
	l.out = appendText(l.out, l.text)
}

// answered takes an ack packet: to a subscribe request until the client is ready, then to an emitted event.
func (c *client) answered(id uint64, args []byte) error {
	if c.state != ready {
		return c.subscribed(args)
	}
	c.acked(id, args)
	return nil
}

// fast reports whether Swarm.Delivered waits for clients like this one.
func (c *client) fast() bool { return c.group.spec.ReadRate == 0 && c.group.loop.spec.Event != "" }

// count enters a client that has become ready in the ledger, if nobody has got anything yet: it has to get the first.
func (c *client) count() {
	l := c.group.loop
	if c.fast() && l.newest < 0 {
		c.counted = l.ledger.join(-1)
	}
}

// track moves the client forward in the ledger, or enters it.
func (c *client) track(before int64) {
	ledger := &c.group.loop.ledger
	switch now := c.seen.next - 1; {
	case c.state != ready || !c.fast():
	case !c.counted:
		c.counted = ledger.join(now)
	case now != before:
		c.counted = ledger.move(before, now)
	}
}

// uncount takes the client out of the ledger.
func (c *client) uncount() {
	if c.counted {
		c.group.loop.ledger.leave(c.seen.next - 1)
		c.counted = false
	}
}
