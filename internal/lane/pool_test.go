package lane_test

import (
	"testing"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

func TestIdleLaneIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(lane.Lane{}); n > 64 {
		t.Errorf("a lane takes %d bytes, want at most 64", n)
	}
}

// crowd is many lanes of one class that get the same message.
type crowd struct {
	class *lane.Class
	lanes []lane.Lane
	msg   *base.Message
}

func newCrowd(o base.Overflow, n int) *crowd {
	c := &crowd{class: &lane.Class{Policy: lane.Policy{Overflow: o, MaxMessages: 64, MaxBytes: 1 << 16}}, msg: base.NewMessage(sized(1))}
	c.msg.Key = "k"
	c.open(n)
	return c
}

// open gives the crowd new lanes.
func (c *crowd) open(n int) {
	c.lanes = make([]lane.Lane, n)
	for i := range c.lanes {
		c.lanes[i].Init(c.class, base.Plain, false)
	}
}

// send is some messages to the lanes from one to another at the same time.
func (c *crowd) send(from, to, messages int) {
	for range messages {
		it := c.class.Hold(c.msg)
		for i := range c.lanes[from:to] {
			c.lanes[from+i].Offer(it, 0)
		}
		c.class.Release(it)
	}
	for i := range c.lanes[from:to] {
		l := &c.lanes[from+i]
		for e, ok := l.Take(0); ok; e, ok = l.Take(0) {
			l.Wrote(e, 0)
		}
	}
}

// What a lane needs for its messages, others of its class had before it and get
// after it.
func TestLanesShareWhatOnlyBusyOnesNeed(t *testing.T) {
	const lanes = 100
	for _, o := range []base.Overflow{base.DropOldest, base.Coalesce, base.SnapshotOnly} {
		c := newCrowd(o, lanes)
		n := testing.AllocsPerRun(10, func() {
			c.open(lanes)
			for i := range lanes {
				c.send(i, i+1, 5)
			}
		})
		if n > 1 { // the lanes themselves
			t.Errorf("%s: %v allocations for messages through %d new lanes, one after another", o, n-1, lanes)
		}
	}
}

// Alternating between empty and one message is a steady state too, also when all
// lanes of a class do so together and memory is given back meanwhile.
func TestLanesThatAlternateAllocateNothing(t *testing.T) {
	c := newCrowd(base.DropOldest, 1000)
	n := testing.AllocsPerRun(10, func() {
		c.send(0, 1000, 1)
		c.class.Trim()
	})
	if n > 0 {
		t.Errorf("%v allocations for a message to 1,000 lanes", n)
	}
}

// After a wave the class gives back what nobody needs any more (promise P10), and
// keeps what some do.
func TestTrimGivesBackWhatAWaveHasLeft(t *testing.T) {
	c := newCrowd(base.DropOldest, 100)
	c.send(0, 100, 1)
	c.class.Trim()
	kept := testing.AllocsPerRun(10, func() {
		c.send(0, 10, 1)
		c.class.Trim()
	})
	again := testing.AllocsPerRun(10, func() {
		c.class.Trim()
		c.class.Trim()
		c.send(0, 100, 1)
	})
	if kept > 0 || again < 100 {
		t.Errorf("%v allocations for lanes that are busy all the time, %v for 100 after a quiet time", kept, again)
	}
}

// A lane that was long makes no others of its class heavy.
func TestLongQueuesAreNotKept(t *testing.T) {
	c := newCrowd(base.DropOldest, 1)
	c.class.Policy.MaxMessages = 1000
	long := testing.AllocsPerRun(10, func() { c.send(0, 1, 1000) })
	short := testing.AllocsPerRun(10, func() { c.send(0, 1, 64) })
	if long == 0 || short > 0 {
		t.Errorf("%v allocations for 1,000 messages at a time, %v for 64", long, short)
	}
}
