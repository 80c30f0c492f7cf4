package delivery_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
)

// patient is a reliable policy whose acks are due after a second, then two, then
// four.
func patient() lane.Policy {
	p := certain()
	p.AckTimeout, p.Backoff = time.Second, 2
	return p
}

// ordersAt is a hub in a bubble with a client of the reliable topic orders.
func ordersAt(t *testing.T, p lane.Policy) (*rig, *client, *delivery.Socket) {
	t.Helper()
	r := newRig(t, options(1, topic("orders", p)))
	c := r.connect(0)
	s := c.join("orders")
	return r, c, s
}

func redelivered(p packet) bool { return strings.Contains(p.text, `"redelivered":true`) }

func TestRetryComesAfterTheAckTimeoutAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, s := ordersAt(t, patient())
		id := r.publish("orders", "1").MessageID
		r.settle()
		time.Sleep(900 * time.Millisecond)
		if got := c.received(); len(got) != 1 || redelivered(got[0]) {
			t.Fatalf("before the timeout: %q", c.texts())
		}
		time.Sleep(200 * time.Millisecond)
		if got := c.received(); len(got) != 2 || !redelivered(got[1]) || !strings.Contains(got[1].text, id) {
			t.Fatalf("after the timeout: %q", c.texts())
		}
		c.do(func() {
			if !s.Ack("orders", id) || s.Ack("orders", id) {
				t.Error("the first ack settles the message, and only that")
			}
		})
		time.Sleep(time.Minute)
		if got := c.received(); len(got) != 2 {
			t.Errorf("sent again after its ack: %q", c.texts())
		}
		if got := r.totals("orders"); got.Acked != 1 || got.Written != 1 || got.Retries != 1 {
			t.Errorf("books: %+v", got)
		}
	})
}

func TestRetriesEndInExhaustionWhichIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := ordersAt(t, patient())
		r.publish("orders", "1")
		time.Sleep(20 * time.Second)
		if got := r.totals("orders"); got.Dropped[base.ReasonExhausted] != 1 || got.Retries != 2 || got.InFlight != 0 {
			t.Errorf("books: %+v", got)
		}
		r.publish("orders", "2")
		got := c.received()
		if len(got) != 5 || got[3].text != `2/feed,["weir:lost",{"topic":"orders","count":1,"reason":"exhausted"}]` {
			t.Errorf("client read %q", c.texts())
		}
	})
}

// The clock stands still while the kernel has not passed everything on (D10).
func TestAckClockStandsStillWhileBytesAreUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := ordersAt(t, patient())
		c.do(func() { c.unsent = 100 })
		r.publish("orders", "1")
		time.Sleep(time.Hour)
		if got := c.received(); len(got) != 1 {
			t.Fatalf("sent %d times while the first copy is unsent", len(got))
		}
		c.do(func() { c.unsent = 0 })
		time.Sleep(700 * time.Millisecond)
		if got := c.received(); len(got) != 1 {
			t.Errorf("sent again before the client had a second to answer")
		}
		time.Sleep(time.Second)
		if got := c.received(); len(got) != 2 {
			t.Errorf("sent %d times, want a retry once the clock has run out", len(got))
		}
	})
}

// A link that takes most of the ack timeout to pass a message on leaves the
// client the whole time-out all the same.
func TestAckClockStartsWhenTheLastByteIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, s := ordersAt(t, patient())
		c.do(func() { c.unsent = 100 })
		id := r.publish("orders", "1").MessageID
		time.Sleep(950 * time.Millisecond)
		c.do(func() { c.unsent = 0 })
		time.Sleep(500 * time.Millisecond)
		c.do(func() { s.Ack("orders", id) })
		if got := r.totals("orders"); got.Retries != 0 || got.Acked != 1 {
			t.Errorf("acknowledged half a second after it was sent, with a time-out of one: %d retries", got.Retries)
		}
	})
}

// Nor does it run while a packet is partly written.
func TestAckClockStandsStillWhileAPacketIsPartlyWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, s := ordersAt(t, patient())
		id := r.publish("orders", "1").MessageID
		r.settle()
		c.do(func() { c.take = func(int) int { return 3 } })
		r.publish("orders", "2")
		time.Sleep(time.Hour)
		if got := r.totals("orders"); got.Retries != 0 {
			t.Errorf("%d retries behind a packet that does not get out", got.Retries)
		}
		c.do(func() { c.take = nil; s.Ack("orders", id) })
		c.open(wide)
		if got := c.received(); len(got) != 2 {
			t.Errorf("client read %q", c.texts())
		}
	})
}

// A retry is not queued while an earlier copy is still unsent: a client that is
// stalled for an hour finds one copy of each.
func TestStalledClientIsNotFloodedWithRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := ordersAt(t, patient())
		c.do(func() { c.window, c.unsent = 0, 1 })
		for i := range 5 {
			r.publish("orders", fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		c.do(func() { c.unsent = 0 })
		c.open(wide)
		if got := c.received(); len(got) != 5 {
			t.Errorf("client read %d messages of 5", len(got))
		}
	})
}

// Unknown is not unsent: where the kernel does not tell, the clock runs.
func TestAckClockRunsWhereTheKernelDoesNotTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := ordersAt(t, patient())
		c.do(func() { c.unsent = -1 })
		r.publish("orders", "1")
		time.Sleep(1100 * time.Millisecond)
		if got := c.received(); len(got) != 2 {
			t.Errorf("sent %d times, want a retry", len(got))
		}
	})
}

// A redelivery never lets a newer message overtake by more than the window (P4).
func TestWindowHoldsNewMessagesBackUntilTheOldestIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := patient()
		p.MaxInFlight = 3
		r, c, s := ordersAt(t, p)
		var ids []string
		for i := range 6 {
			ids = append(ids, r.publish("orders", fmt.Sprint(i)).MessageID)
		}
		r.settle()
		c.do(func() { s.Ack("orders", ids[1]); s.Ack("orders", ids[2]) })
		if got := len(c.received()); got != 3 {
			t.Errorf("%d sent while the oldest of a window of 3 is open", got)
		}
		c.do(func() { s.Ack("orders", ids[0]) })
		if got := len(c.received()); got != 6 {
			t.Errorf("%d sent after the oldest was settled", got)
		}
	})
}

func TestCallbackAcknowledges(t *testing.T) {
	r := newRig(t, options(1, topic("orders", certain())))
	c := r.connect(0)
	s := c.join()
	c.subscribe(s, "orders", delivery.SubscribeOptions{Callback: true})
	r.publish("orders", "1")
	r.publish("orders", "2")
	got := c.received()
	if len(got) != 2 || !got[0].HasID || got[0].ID == got[1].ID {
		t.Fatalf("client read %q", c.texts())
	}
	c.do(func() {
		s.Answer(got[1].ID, delivery.Answer{})
		s.Answer(got[1].ID, delivery.Answer{})
		s.Answer(9999, delivery.Answer{})
	})
	if totals := r.totals("orders"); totals.Acked != 1 || totals.InFlight != 1 {
		t.Errorf("books: %+v", totals)
	}
}

func TestMessagesExpireInTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := topic("ticks", latest())
		spec.TTL = time.Second
		r := newRig(t, options(1, spec))
		c := r.stalled(0)
		c.join("ticks")
		r.publish("ticks", "1")
		r.publishWith("ticks", delivery.Publication{Payload: []byte("2"), TTL: time.Hour})
		time.Sleep(1100 * time.Millisecond)
		if got := r.totals("ticks"); got.Dropped[base.ReasonExpired] != 1 || got.Queued != 1 {
			t.Errorf("books: %+v", got)
		}
		c.open(wide)
		wantTexts(t, c.texts(), `2/feed,["ticks",2]`)
	})
}

// TestMessageThatExpiresWithinAStepIsNotWritten: what has expired is told by the clock when it is looked at, not by when
// the step began, nor by a timer: a step may take long, and the first of a lane's messages may have no time to live.
func TestMessageThatExpiresWithinAStepIsNotWritten(t *testing.T) {
	for _, p := range []lane.Policy{latest(), certain()} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, options(1, topic("ticks", p)))
			c := r.stalled(0)
			c.join("ticks")
			r.publish("ticks", "1")
			r.publishWith("ticks", delivery.Publication{Payload: []byte("2"), TTL: 20 * time.Millisecond})
			r.publishWith("ticks", delivery.Publication{Payload: []byte("3"), TTL: time.Second})
			r.settle()
			c.do(func() {
				time.Sleep(21 * time.Millisecond) // the step holds the loop, and writes then
				c.window = wide
				c.conn.Writable()
			})
			if got := c.received(); len(got) != 2 || !strings.Contains(got[0].text, `["ticks",1`) || !strings.Contains(got[1].text, `["ticks",3`) {
				t.Errorf("%v: the client read %q", p.Mode, c.texts())
			}
			if got := r.totals("ticks"); got.Dropped[base.ReasonExpired] != 1 {
				t.Errorf("%v: books %+v", p.Mode, got)
			}
		})
	}
}
