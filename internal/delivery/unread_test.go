package delivery_test

import (
	"context"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// What was sent to a client by name counts from the call on, wherever it is, until the kernel has it.
func TestUnreadCountsWhatIsOnItsWay(t *testing.T) {
	r := newRig(t, small(16, topic("prices", latest())))
	c := r.stalled(0)
	c.unread = new(delivery.Unread)
	s := c.join()
	send := map[string]func() error{
		"reply": func() error { return s.Reply(context.Background(), event("answer")) },
		"emit": func() error {
			return s.Emit(context.Background(), "news", delivery.Emission{Frame: event("news")}, false)
		},
	}
	for name, f := range send {
		release := r.block(c.shard) // nothing arrives at the lane
		for i := range 8 {
			if !s.Ready(c.unread) {
				t.Errorf("%s: not ready after %d of the 8 that make half", name, i)
			}
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		if s.Ready(c.unread) {
			t.Errorf("%s: ready with half of a lane on its way", name)
		}
		release()
		r.settle()
		c.do(func() {
			if c.taken != 0 || s.Ready(c.unread) {
				t.Errorf("%s: ready with half of a lane in it; told %d times", name, c.taken)
			}
		})
		c.open(wide)
		r.settle()
		c.do(func() {
			if c.taken != 1 || !s.Ready(c.unread) {
				t.Errorf("%s: told %d times that all is taken, want once", name, c.taken)
			}
			c.window, c.taken = 0, 0
		})
	}

	// What takes another lane is not the client's to read first.
	for range 40 {
		if err := s.Emit(context.Background(), "prices", delivery.Emission{Frame: event("prices")}, false); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Ready(c.unread) {
		t.Error("not ready, for what waits in the lane of a topic")
	}
}

// A count that begins late knows what waits; what leaves otherwise than to the kernel is taken off.
func TestUnreadBeginsWithWhatWaits(t *testing.T) {
	r := newRig(t, small(16))
	c := r.stalled(0)
	s := c.join()
	for range 8 {
		c.do(func() { s.Send(event("answer")) })
	}
	c.do(func() {
		c.unread = new(delivery.Unread)
		s.Counts()
		if s.Ready(c.unread) {
			t.Error("ready, though half a lane waited before it was counted")
		}
		s.Close(base.CauseClientDisconnect, nil)
		if c.taken != 1 || !s.Ready(c.unread) {
			t.Errorf("told %d times that there is no lane any more", c.taken)
		}
	})
}

// However sending, writing and asking meet, who was told no is told when that has changed.
func TestNoUnreadIsForgotten(t *testing.T) {
	const senders, each = 4, 500
	r := newRig(t, small(64))
	c := r.connect(0)
	c.unread = new(delivery.Unread)
	s := c.join()
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for range each {
				for !s.Ready(c.unread) {
					before := 0
					c.do(func() { before = c.taken })
					if before == 0 && s.Ready(c.unread) {
						break
					}
					c.do(func() { c.taken = 0 })
				}
				if err := s.Reply(context.Background(), event("answer")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	r.settle()
	if got := len(c.received()); got != senders*each {
		t.Errorf("%d answers of %d", got, senders*each)
	}
	if !s.Ready(c.unread) {
		t.Error("all is written, and it is not ready")
	}
}
