package delivery_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/survey"
)

const (
	budget  = 1 << 20
	message = 8 << 10
)

// hoard is a best-effort policy by which one client may hold the whole budget.
func hoard() lane.Policy {
	return lane.Policy{Overflow: base.DropOldest, MaxMessages: 1 << 16, MaxBytes: 64 << 20, Weight: 1}
}

func hoardReliable() lane.Policy {
	p := certain()
	p.MaxMessages, p.MaxBytes = 1<<16, 64<<20
	return p
}

// tight is a hub with a small budget.
func tight(shards int, topics ...delivery.TopicSpec) delivery.Options {
	o := options(shards, topics...)
	o.BudgetBytes = budget
	return o
}

// try publishes a message of that many bytes and reports whether it was taken.
func (r *rig) try(topic string, size int) bool {
	_, err := r.Publish(r.t.Context(), r.ns, topic, &delivery.Publication{Payload: make([]byte, size), Binary: true}, false)
	if err != nil && !errors.Is(err, delivery.ErrBusy) {
		r.t.Errorf("publish to %s: %v", topic, err)
	}
	return err == nil
}

// flood publishes until the server refuses, at most twice the budget, and gives
// the shards time to look at what they hold.
func (r *rig) flood(topic string, each func()) (accepted int) {
	for accepted < 2*budget/message && r.try(topic, message) {
		accepted++
		each()
	}
	return accepted
}

// What is held never exceeds the budget by more than a message per publisher,
// whatever the shards are doing (promise P1).
func TestBudgetBoundsWhatIsHeld(t *testing.T) {
	r := newRig(t, tight(2, topic("ticks", hoard())))
	for i := range 8 {
		r.stalled(i % 2).join("ticks")
	}
	const publishers = 4
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range 400 {
				r.try("ticks", message)
				if held := r.Held(); held > budget+publishers*2*(message+delivery.JobOverhead) {
					t.Errorf("%d bytes held, the budget is %d", held, budget)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A shard that is held up is no reason to fill its inbox beyond the budget.
func TestBudgetCountsInboxes(t *testing.T) {
	r := newRig(t, tight(1, topic("ticks", hoard())))
	c := r.stalled(0)
	c.join("ticks")
	release := r.block(c.shard)
	r.flood("ticks", func() {})
	held := r.Held()
	release()
	if held > budget+message+delivery.JobOverhead {
		t.Errorf("%d bytes held, the budget is %d", held, budget)
	}
}

func TestBudgetRefusesTheHeavyTopicAndNotTheLightOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard()), topic("light", latest())))
		c := r.stalled(0)
		c.join("heavy", "light")
		if n := r.flood("heavy", func() { time.Sleep(10 * time.Millisecond) }); n < budget/message/2 || n > budget/message {
			t.Errorf("%d messages of %d bytes were accepted into a budget of %d", n, message, budget)
		}
		for range 10 {
			if !r.try("light", 100) {
				t.Fatal("the light topic is refused too")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if r.try("heavy", 100) {
			t.Error("the heavy topic is accepted again without relief")
		}
		if got := r.ns.Declared("heavy").AllRefused(); got < 2 {
			t.Errorf("%d refusals counted", got)
		}
	})
}

// A burst that spends the whole budget before the loops have looked at who holds most refuses no topic that holds nothing:
// it waits until they have. Where that does not help, nobody waits for the next second.
func TestLightTopicOutlivesABurstOfHeavyOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard()), topic("light", latest())))
		c := r.stalled(0)
		c.join("heavy", "light")
		release := r.block(c.shard)
		for r.Held() < budget/2 {
			r.try("heavy", message)
		}
		r.Hold(accounts.Mailboxes, int(max(budget-r.Held(), 0))) // to the last byte
		light := make(chan bool)
		go func() { light <- r.try("light", 100) }()
		synctest.Wait() // it waits for the loop
		release()
		if !<-light {
			t.Error("the topic that holds nothing is refused")
		}
		r.settle()
		r.Hold(accounts.Mailboxes, budget)
		for i := range 2 {
			began := time.Now()
			if r.try("light", 100) {
				t.Fatal("accepted into a budget that others have spent")
			}
			if waited := time.Since(began); (waited > 0) != (i == 0) {
				t.Errorf("attempt %d waited %v", i, waited)
			}
		}
	})
}

// First publications to whoever holds most are refused, then the oldest of what it holds is evicted, and only where that
// does not help clients are cut (promise P1).
func TestBudgetRefusesThenEvictsThenCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard()), topic("orders", hoardReliable())))
		c := r.stalled(0)
		c.join("heavy", "orders")
		state := func() (refused, evicted, cut uint64) {
			r.settle()
			return r.ns.Declared("heavy").AllRefused(), r.totals("heavy").Dropped[base.ReasonBudget], r.Cuts(base.CauseMemoryBudget)
		}
		r.flood("heavy", func() { time.Sleep(10 * time.Millisecond) })
		if refused, evicted, cut := state(); refused == 0 || evicted != 0 || cut != 0 {
			t.Errorf("above the watermark: %d refused, %d evicted, %d cut", refused, evicted, cut)
		}
		for n := 0; n < budget/4/message; n++ {
			r.try("orders", message)
			time.Sleep(10 * time.Millisecond)
		}
		if _, evicted, cut := state(); evicted == 0 || cut != 0 {
			t.Errorf("between it and the limit: %d evicted, %d cut", evicted, cut)
		}
		r.Hold(accounts.Mailboxes, budget)
		time.Sleep(time.Second)
		if _, _, cut := state(); cut != 1 {
			t.Errorf("at the limit: %d cut", cut)
		}
		r.Hold(accounts.Mailboxes, -budget)
	})
}

// Once clients have taken what waited, everything is accepted again, at once and
// without anything else having to happen.
func TestBudgetRecoversAfterRelief(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(2, topic("heavy", hoard())))
		c := r.stalled(0)
		c.join("heavy")
		r.flood("heavy", func() { time.Sleep(10 * time.Millisecond) })
		time.Sleep(time.Second)
		c.open(wide)
		time.Sleep(100 * time.Millisecond)
		if !r.try("heavy", message) {
			t.Error("refused a tenth of a second after everything was written")
		}
	})
}

// Between the watermark and the limit the oldest messages of the heaviest topic
// go, from all lanes at once, because one that keeps them saves nothing.
func TestBudgetEvictsTheOldestEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard()), topic("vital", hoardReliable())))
		var clients []*client
		for range 3 {
			c := r.stalled(0)
			c.join("heavy", "vital")
			clients = append(clients, c)
		}
		for range 80 {
			r.try("heavy", message)
			time.Sleep(10 * time.Millisecond)
		}
		r.settle()
		r.Hold(accounts.Mailboxes, budget*28/100) // somebody else needs memory
		time.Sleep(2 * time.Second)
		r.settle()
		got := r.totals("heavy")
		if got.Dropped[base.ReasonBudget] == 0 || got.Dropped[base.ReasonBudget]%3 != 0 {
			t.Errorf("%d messages evicted, want the same ones from three lanes", got.Dropped[base.ReasonBudget])
		}
		if held := r.account(); held > budget {
			t.Errorf("%d bytes held after eviction, the budget is %d", held, budget)
		}
		r.Hold(accounts.Mailboxes, -budget*28/100)
		for _, c := range clients {
			if c.open(wide); len(c.wasCut()) != 0 {
				t.Errorf("cut for %v although evicting was enough", c.wasCut())
			}
			if n := len(c.received()); n != 80-int(got.Dropped[base.ReasonBudget]/3) {
				t.Errorf("client read %d messages", n)
			}
		}
	})
}

// One old message that a stalled kernel has begun to take cannot be evicted, and
// must not keep the others from it.
func TestBudgetEvictsBehindAPacketPartlyWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard())))
		c := r.connect(0)
		c.take = func(int) int { return 3 }
		c.join("heavy")
		r.try("heavy", message)
		time.Sleep(time.Hour)
		for range 80 {
			r.try("heavy", message)
			time.Sleep(10 * time.Millisecond)
		}
		r.Hold(accounts.Mailboxes, budget*28/100)
		r.settle() // a shard that sleeps learns of it with the next task
		time.Sleep(time.Second)
		r.settle()
		if got := r.totals("heavy").Dropped[base.ReasonBudget]; got == 0 {
			t.Error("nothing is evicted, because the oldest message is partly written")
		}
		r.Hold(accounts.Mailboxes, -budget*28/100)
	})
}

// Reliable messages are never shed; at the limit the client that pins the most
// is cut, and told of.
func TestBudgetCutsTheClientThatPinsMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cut []survey.CutNotice
		o := tight(1, topic("orders", hoardReliable()))
		o.OnCut = func(e survey.CutNotice) { cut = append(cut, e) }
		r := newRig(t, o)
		most, less, none := r.stalled(0), r.stalled(0), r.connect(0)
		most.join("orders")
		r.try("orders", message)
		less.join("orders")
		none.join()
		for range 60 {
			r.try("orders", message)
			time.Sleep(10 * time.Millisecond)
		}
		r.Hold(accounts.Mailboxes, budget)
		time.Sleep(time.Second)
		r.settle()
		r.Hold(accounts.Mailboxes, -budget)
		most.do(func() {
			if len(cut) == 0 || cut[0].Cause != base.CauseMemoryBudget || len(most.cuts) != 1 {
				t.Errorf("the client that pins most was cut for %v; told %d", most.cuts, len(cut))
			}
			if len(none.cuts) != 0 {
				t.Error("a client that holds nothing was cut")
			}
		})
		if got := r.totals("orders").Dropped; got[base.ReasonBudget] != 0 || got[base.ReasonOverflow] != 0 {
			t.Errorf("reliable messages were shed: %v", got)
		}
	})
}

func TestHeldIsNothingWhenAllHaveLeft(t *testing.T) {
	r := newRig(t, options(2, topic("ticks", hoard()), topic("orders", hoardReliable())))
	var clients []*client
	for i := range 6 {
		c := r.stalled(i % 2)
		c.join("ticks", "orders")
		clients = append(clients, c)
	}
	for i := range 50 {
		r.publish("ticks", fill(100+i))
		r.publish("orders", fill(100+i))
	}
	if held := r.account(); held == 0 {
		t.Error("nothing is held for stalled clients")
	}
	for _, c := range clients {
		c.do(func() { c.conn.Close(base.CauseTransportClose) })
	}
	if held := r.account(); held != 0 {
		t.Errorf("%d bytes held", held)
	}
	if got := fmt.Sprint(r.totals("orders").Dropped[base.ReasonDisconnect]); got != "300" {
		t.Errorf("%s booked as disconnect, want 300", got)
	}
}

// What others hold may never go. A topic that was heavy is taken again when what it held
// is gone, though no tenth below the watermark is free.
func TestTopicIsTakenAgainWhenWhatItHeldIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard())))
		c := r.stalled(0)
		c.join("heavy")
		const others = budget * 3 / 4 // more than nine tenths of the watermark
		r.Hold(accounts.Mailboxes, others)
		n := r.flood("heavy", func() { time.Sleep(10 * time.Millisecond) })
		if n == 0 || r.try("heavy", message) {
			t.Errorf("%d messages were taken, and one more", n)
		}
		c.open(wide)
		time.Sleep(100 * time.Millisecond)
		for range 3 {
			if !r.try("heavy", message) {
				t.Fatal("refused though it holds nothing")
			}
			time.Sleep(10 * time.Millisecond)
		}
		r.Hold(accounts.Mailboxes, -others)
	})
}

// A topic that is refused to publishers is refused to emits under its name, which take
// the same lanes.
func TestEmitsUnderTheNameOfAHeavyTopicAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("heavy", hoard())))
		s := r.stalled(0).join("heavy")
		r.flood("heavy", func() { time.Sleep(10 * time.Millisecond) })
		if err := s.Emit(t.Context(), "heavy", delivery.Emission{Frame: event("heavy", "1")}, false); !errors.Is(err, delivery.ErrBudget) {
			t.Errorf("emit to one under its name: %v", err)
		}
		emit := func(name string) error {
			return r.Emit(t.Context(), r.ns, name, delivery.Emission{Frame: event(name, "1")}, delivery.Target{})
		}
		if err := emit("heavy"); !errors.Is(err, delivery.ErrBudget) {
			t.Errorf("emit under its name: %v", err)
		}
		if err := emit("news"); err != nil {
			t.Errorf("emit under another: %v", err)
		}
	})
}

// Who is cut because the budget is spent is remembered, though there is no room for it.
func TestWhoIsCutForMemoryIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(1, topic("orders", hoardReliable())))
		c := r.stalled(0)
		c.join("orders")
		for range 60 {
			r.try("orders", message)
			time.Sleep(10 * time.Millisecond)
		}
		r.Hold(accounts.Mailboxes, budget)
		time.Sleep(time.Second)
		r.settle()
		if list := r.Cut(10); len(list) != 1 || list[0].Cause != base.CauseMemoryBudget.String() {
			t.Errorf("%d remembered", len(list))
		}
		r.Hold(accounts.Mailboxes, -budget)
	})
}

// Ids are not forgotten because others hold the memory: what was published is not
// published twice.
func TestIDsOutliveASpentBudget(t *testing.T) {
	r := newRig(t, tight(1, topic("a", latest())))
	publish := func(id string) (*delivery.Pending, error) {
		return r.Publish(t.Context(), r.ns, "a", &delivery.Publication{Payload: []byte("1"), ID: id}, false)
	}
	if _, err := publish("first"); err != nil {
		t.Fatal(err)
	}
	r.Hold(accounts.Mailboxes, budget)
	if _, err := publish("second"); !errors.Is(err, delivery.ErrBudget) {
		t.Errorf("the second: %v", err)
	}
	r.Hold(accounts.Mailboxes, -budget)
	if sent, err := publish("first"); err != nil || !sent.Duplicate || r.IDsForgotten() != 0 {
		t.Errorf("the first again: %+v, error %v; %d forgotten", sent, err, r.IDsForgotten())
	}
}

// A budget that is spent takes nobody into a room, but who is let in has its own; and what
// rooms take is counted at once.
func TestJoiningClaimsTheBudget(t *testing.T) {
	r := newRig(t, tight(1, topic("a", latest())))
	c := r.connect(0)
	s := c.join()
	c.do(func() {
		r.Hold(accounts.Mailboxes, budget)
		if err := s.Join("red"); !errors.Is(err, delivery.ErrBudget) || len(s.Rooms()) != 1 {
			t.Errorf("join: %v", err)
		}
		if err := s.Lodge("blue"); err != nil || len(s.Rooms()) != 2 {
			t.Errorf("lodge: %v", err)
		}
		r.Hold(accounts.Mailboxes, -budget)
		before := r.Accounts()[accounts.Rooms]
		if err := s.Join("red", "blue", s.ID); err != nil || r.Accounts()[accounts.Rooms] <= before {
			t.Errorf("join: %v, %d bytes, before %d", err, r.Accounts()[accounts.Rooms], before)
		}
		s.Leave("red")
		s.Leave("blue")
	})
	r.account()
	if n := r.Accounts()[accounts.Rooms]; n != 0 {
		t.Errorf("%d bytes when all have left", n)
	}
}

// Queues that a burst has left for reuse are not counted, but go before they make all
// that is held exceed the watermark.
func TestQueuesKeptForReuseGoWhenMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tight(2, topic("a", hoard())))
		clients, sockets := r.crowd(200)
		for i, c := range clients {
			c.do(func() { _ = sockets[i].Subscribe("a", delivery.SubscribeOptions{}, func(delivery.Subscription) {}) })
		}
		for range 64 {
			r.publish("a", "1")
		}
		for _, c := range clients {
			c.open(wide)
		}
		r.account()
		if n := r.Spare(); n < 200*64*16 || r.Accounts()[accounts.Queues] != 0 {
			t.Errorf("%d bytes are kept, %d counted", n, r.Accounts()[accounts.Queues])
		}
		r.Hold(accounts.Mailboxes, budget*7/10)
		r.account()
		if n := r.Spare(); n != 0 {
			t.Errorf("%d bytes are kept where memory is short", n)
		}
		r.Hold(accounts.Mailboxes, -budget*7/10)
	})
}

// What is held only to be faster is given back first, and once a second; a hub that is closed waits for that.
func TestMemoryIsRelievedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		var relieved atomic.Int32 // by a goroutine of the hub
		o := tight(1, topic("prices", latest()))
		o.Relieve = func() { relieved.Add(1); r.Hold(accounts.Journal, -budget/100) }
		r = newRig(t, o)
		time.Sleep(time.Second)
		r.Hold(accounts.Journal, budget/100)
		high := int(budget*80/100 - r.Held() + 1000)
		r.Hold(accounts.Mailboxes, high)
		r.account()
		r.account()
		synctest.Wait()
		if relieved.Load() != 1 || !r.try("prices", 10) {
			t.Errorf("relieved %d times", relieved.Load())
		}
		r.Hold(accounts.Mailboxes, budget/100)
		r.Hold(accounts.Journal, budget/100)
		r.account()
		synctest.Wait()
		if relieved.Load() != 1 {
			t.Errorf("relieved %d times within a second", relieved.Load())
		}
		time.Sleep(1100 * time.Millisecond)
		r.account()
		synctest.Wait()
		if relieved.Load() != 2 {
			t.Errorf("relieved %d times after a second", relieved.Load())
		}
		r.Hold(accounts.Mailboxes, -high-budget/100)
	})
}
