package delivery_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/delivery/linger"
	"github.com/streamweir/weir/internal/lane"
)

// delayed is a topic whose messages may wait so long for others.
func delayed(name string, p lane.Policy, d time.Duration) delivery.TopicSpec {
	spec := topic(name, p)
	spec.FlushDelay = d
	return spec
}

const flushDelay = 20 * time.Millisecond

// writes is how often something was written to the client so far.
func (c *client) writes() (n int) {
	c.rig.settle()
	c.do(func() { n = len(c.batches) })
	return n
}

func (c *client) wantWrites(what string, want int) {
	c.rig.t.Helper()
	if got := c.writes(); got != want {
		c.rig.t.Errorf("%s: %d writes, want %d", what, got, want)
	}
}

// lazily is a client of the delayed topic "ticks" and the undelayed "news", to which
// nothing was written yet.
func lazily(t *testing.T, p lane.Policy) (*rig, *client, *delivery.Socket) {
	t.Helper()
	r := newRig(t, options(1, delayed("ticks", p, flushDelay), topic("news", latest())))
	c := r.connect(0)
	s := c.join("ticks", "news")
	return r, c, s
}

func TestMessagesWithinTheFlushDelayShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := lazily(t, latest())
		var want []string
		for i := range 10 {
			r.publish("ticks", fmt.Sprint(i))
			want = append(want, fmt.Sprintf(`2/feed,["ticks",%d]`, i))
			time.Sleep(flushDelay / 11)
		}
		c.wantWrites("within the delay", 0)
		time.Sleep(flushDelay / 11)
		c.wantWrites("after it", 1)
		wantTexts(t, c.texts(), want...)
	})
}

func TestWithoutFlushDelayAnIdleShardWritesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := lazily(t, latest())
		for i := range 10 {
			r.publish("news", fmt.Sprint(i))
			c.wantWrites("message", i+1)
		}
	})
}

// The delay counts from the first message that waits, for each lane, however they
// follow upon each other.
func TestNoMessageWaitsLongerThanTheFlushDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 7 * time.Millisecond
		r := newRig(t, options(1, delayed("ticks*", latest(), delay)))
		var clients []*client
		for i := range 5 {
			c := r.connect(0)
			c.join("ticks.all", fmt.Sprint("ticks.", i))
			clients = append(clients, c)
		}
		sent := make([][]time.Time, len(clients)) // what each is to get, and since when
		for i := range 400 {
			k := i % (len(clients) + 1)
			name := fmt.Sprint("ticks.", k)
			for n := range clients {
				if k == len(clients) {
					name = "ticks.all"
				} else if k != n {
					continue
				}
				sent[n] = append(sent[n], time.Now())
			}
			r.publish(name, "0")
			time.Sleep(time.Duration(1+i%3) * 300 * time.Microsecond)
			for n, c := range clients {
				got := len(c.received())
				if got < len(sent[n]) && time.Since(sent[n][got]) > delay {
					t.Fatalf("client %d has not got message %d after %v", n, got, time.Since(sent[n][got]))
				}
			}
		}
		time.Sleep(delay)
		for n, c := range clients {
			if got := len(c.received()); got != len(sent[n]) {
				t.Errorf("client %d has %d of %d messages", n, got, len(sent[n]))
			}
			if got := c.writes(); got > len(sent[n])/3 {
				t.Errorf("client %d: %d writes for %d messages: nothing has waited", n, got, len(sent[n]))
			}
		}
	})
}

func TestWhateverIsWrittenTakesDelayedMessagesAlong(t *testing.T) {
	for what, write := range map[string]func(*rig, *client, *delivery.Socket){
		"another topic":   func(r *rig, _ *client, _ *delivery.Socket) { r.publish("news", "1") },
		"a plain event":   func(_ *rig, c *client, s *delivery.Socket) { c.do(func() { s.Send(event("a")) }) },
		"a control frame": func(_ *rig, c *client, _ *delivery.Socket) { c.do(c.conn.Writable) },
	} {
		synctest.Test(t, func(t *testing.T) {
			r, c, s := lazily(t, latest())
			r.publish("ticks", "1")
			c.wantWrites(what+", before", 0)
			write(r, c, s)
			c.wantWrites(what, 1)
			if got := r.totals("ticks"); got.Written != 1 {
				t.Errorf("%s did not take the message along", what)
			}
			time.Sleep(2 * flushDelay)
			c.wantWrites(what+", when the delay is over", 1)
		})
	}
}

func TestUrgentMessagesDoNotWaitForTheFlushDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := latest()
		p.MaxMessages = 8
		r, c, _ := lazily(t, p)
		for i := range 3 {
			r.publish("ticks", fmt.Sprint(i))
		}
		c.wantWrites("below half of the lane's limit", 0)
		r.publish("ticks", "3")
		c.wantWrites("half of the lane's messages", 1)
		r.publish("ticks", fmt.Sprintf("%q", fill(p.MaxBytes/2)))
		c.open(1 << 20)
		c.wantWrites("half of the lane's bytes", 2)

		r.publishWith("ticks", delivery.Publication{Payload: []byte("4"), TTL: flushDelay})
		c.wantWrites("a message that would expire meanwhile", 3)
		r.publishWith("ticks", delivery.Publication{Payload: []byte("5"), TTL: flushDelay + time.Millisecond})
		c.wantWrites("a message that lives longer", 3)
		time.Sleep(flushDelay)
		c.wantWrites("a message that lives longer, later", 4)
		if got := r.totals("ticks"); got.Written != got.Offered {
			t.Errorf("books: %+v", got)
		}
	})
}

// First sends wait; repeats do not, nor what an ack makes room for.
func TestRepeatsDoNotWaitForTheFlushDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := patient()
		p.MaxInFlight = 1
		const delay = 700 * time.Millisecond
		r := newRig(t, options(1, delayed("orders", p, delay)))
		c := r.connect(0)
		s := c.join("orders")
		id := r.publish("orders", "1").MessageID
		r.publish("orders", "2")
		c.wantWrites("first send, at once", 0)
		time.Sleep(delay)
		c.wantWrites("first send", 1)
		time.Sleep(1100 * time.Millisecond)
		c.wantWrites("repeat", 2)
		c.do(func() { s.Ack("orders", id) })
		c.wantWrites("what the window lets go", 3)
	})
}

// Who is sent away gets what waits first, if the kernel takes it.
func TestLeavingDoesNotWaitForTheFlushDelay(t *testing.T) {
	for what, leave := range map[string]func(*client, *delivery.Socket){
		"Finish": func(c *client, _ *delivery.Socket) { c.conn.Finish(base.CauseDraining) },
		"Close": func(_ *client, s *delivery.Socket) {
			s.Close(base.CauseServerDisconnect, disconnectFrame("/feed"))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, c, s := lazily(t, latest())
			for i := range 3 {
				r.publish("ticks", fmt.Sprintf("%q", fill(20_000+i)))
			}
			r.settle()
			c.do(func() { leave(c, s) })
			if got := r.totals("ticks"); got.Written != 3 {
				t.Errorf("%s: %d of 3 messages were written: %+v", what, got.Written, got)
			}
			r.settle()
			if left := len(c.wasCut()) == 1 || s.Closed(); !left {
				t.Errorf("%s: the client is still there", what)
			}
		})
	}
}

// What waits when a lane is closed is booked, and neither its connection nor one
// that comes after it hears of the delay again.
func TestLanesClosedWithinTheFlushDelayAreBooked(t *testing.T) {
	type closing struct {
		reason base.Reason
		close  func(*client, *delivery.Socket)
	}
	for what, x := range map[string]closing{
		"unsubscribe":   {base.ReasonUnsubscribe, func(_ *client, s *delivery.Socket) { s.Unsubscribe("ticks") }},
		"client leaves": {base.ReasonDisconnect, func(_ *client, s *delivery.Socket) { s.Close(base.CauseClientDisconnect, nil) }},
		"connection":    {base.ReasonDisconnect, func(c *client, _ *delivery.Socket) { c.conn.Close(base.CauseTransportClose) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, c, s := lazily(t, latest())
			other := r.connect(0)
			other.join("ticks")
			r.publish("ticks", "1")
			r.settle()
			c.do(func() { x.close(c, s) })
			time.Sleep(flushDelay)
			c.wantWrites(what, 0)
			other.wantWrites(what+", the other client", 1)
			if got := r.totals("ticks"); got.Dropped[x.reason] != 1 || got.Written != 1 || got.Queued != 0 {
				t.Errorf("%s: books %+v", what, got)
			}
			if n := r.Unbalanced.Load(); n != 0 {
				t.Errorf("%s: the books of %d lanes do not add up", what, n)
			}
			r.publish("ticks", "2")
			time.Sleep(flushDelay)
			other.wantWrites(what+", later", 2)
		})
	}
}

// A client that subscribes again while its old lane is still waiting has a wait of
// its own.
func TestSubscribingAgainWithinTheFlushDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, s := lazily(t, latest())
		r.publish("ticks", "1")
		r.settle()
		c.do(func() { s.Unsubscribe("ticks") })
		c.subscribe(s, "ticks", delivery.SubscribeOptions{})
		time.Sleep(flushDelay / 2)
		r.publish("ticks", "2")
		time.Sleep(flushDelay)
		wantTexts(t, c.texts(), `2/feed,["ticks",2]`)
	})
}

// All subscribers of a shard are woken by one timer, more of them than one turn of
// the loop wakes.
func TestFlushDelayWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 2*linger.Slice + 100
		r := newRig(t, options(1, delayed("ticks", latest(), flushDelay)))
		writes := new(int)
		sh := r.Shards()[0]
		r.on(sh, func() {
			for range clients {
				c := sh.Open(&sink{writes}, &sink{writes})
				s := c.OpenSocket(r.ns, c.NewSocketID(), "", nil)
				if err := s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
					t.Error(err)
				}
			}
		})
		for range 3 {
			for range 5 {
				r.publish("ticks", "1")
			}
			r.settle()
			r.on(sh, func() {
				if n := r.ns.Declared("ticks").Delayed(sh); *writes != 0 || n != clients {
					t.Errorf("before the delay is over: %d writes, %d of %d lanes wait", *writes, n, clients)
				}
			})
			time.Sleep(flushDelay)
			r.settle()
			r.on(sh, func() {
				if *writes != clients {
					t.Errorf("%d writes for five messages to each of %d clients", *writes, clients)
				}
				*writes = 0
			})
		}
		if got := r.totals("ticks"); got.Written != 15*clients {
			t.Errorf("%d written, want %d", got.Written, 15*clients)
		}
	})
}

// A flow through delayed lanes makes no garbage beyond the publications themselves.
func TestFlushDelayAllocatesNothingForEachClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 1000
		r := newRig(t, options(1, delayed("ticks", latest(), flushDelay)))
		writes := new(int)
		sh := r.Shards()[0]
		r.on(sh, func() {
			for range clients {
				c := sh.Open(&sink{writes}, &sink{writes})
				s := c.OpenSocket(r.ns, c.NewSocketID(), "", nil)
				if err := s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
					t.Error(err)
				}
			}
		})
		p := &delivery.Publication{Payload: []byte("1")}
		n := testing.AllocsPerRun(20, func() {
			for range 3 {
				if _, err := r.Publish(context.Background(), r.ns, "ticks", p, false); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * flushDelay)
			synctest.Wait()
		})
		if n > clients/10 {
			t.Errorf("%v allocations for 3 messages to %d clients", n, clients)
		}
		if *writes == 0 {
			t.Error("nothing was written")
		}
	})
}
