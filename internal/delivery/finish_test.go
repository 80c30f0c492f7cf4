package delivery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

func (c *client) wasCut() (causes []base.Cause) {
	c.do(func() { causes = append(causes, c.cuts...) })
	return causes
}

func TestFinishWritesEventsFirst(t *testing.T) {
	r := newRig(t, options(1))
	c := r.stalled(0)
	s := c.join()
	c.do(func() {
		s.Send(event("a"))
		s.Close(base.CauseServerDisconnect, disconnectFrame("/feed"))
		c.conn.Finish(base.CauseServerDisconnect)
	})
	r.settle()
	if len(c.wasCut()) != 0 {
		t.Fatal("cut with packets to write")
	}
	c.do(func() { c.take = func(int) int { return 5 } })
	for range 20 {
		c.open(wide)
	}
	wantTexts(t, c.texts(), `2/feed,["a"]`, "1/feed,")
	if got := c.wasCut(); len(got) != 1 || got[0] != base.CauseServerDisconnect {
		t.Errorf("cut for %v, want server_disconnect once", got)
	}
}

func TestFinishOfAnIdleConnectionIsAtOnce(t *testing.T) {
	r := newRig(t, options(1))
	c := r.stalled(0)
	c.join()
	c.do(func() { c.conn.Finish(base.CauseDraining) })
	r.settle()
	if got := c.wasCut(); len(got) != 1 || got[0] != base.CauseDraining {
		t.Errorf("cut for %v", got)
	}
}

// What waited and was dropped since is not waited for.
func TestFinishDoesNotWaitForWhatWasDropped(t *testing.T) {
	r := newRig(t, options(1))
	c := r.stalled(0)
	s := c.join()
	c.do(func() {
		s.Send(event("a"))
		s.Close(base.CauseClientDisconnect, nil)
		c.conn.Finish(base.CauseDraining)
	})
	c.open(wide)
	if got := c.wasCut(); len(got) != 1 {
		t.Errorf("nothing is left to write, and the connection stays until the deadline; cut %v", got)
	}
}

func TestFinishHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1))
		c := r.stalled(0)
		s := c.join()
		c.do(func() { s.Send(event("a")); c.conn.Finish(base.CauseDraining); c.conn.Finish(base.CauseAdmin) })
		time.Sleep(time.Minute - time.Second)
		if len(c.wasCut()) != 0 {
			t.Fatal("cut before the deadline")
		}
		time.Sleep(2 * time.Second)
		if got := c.wasCut(); len(got) != 1 || got[0] != base.CauseDraining {
			t.Errorf("cut for %v, want draining once", got)
		}
		c.do(func() {
			if n := c.shard.TimersArmed(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
		})
	})
}

// Sending away takes those of every shard, one by one where the rate is small, and goes on where there are any left.
func TestSendAwayForgetsNoShard(t *testing.T) {
	for _, shards := range []int{1, 2, 11, 16} {
		r := newRig(t, options(shards))
		for i := range 5 * shards {
			r.stalled(i % min(shards, 3)) // most shards have none
		}
		for sent := 0; sent < 5*shards; {
			n := min(1+sent%3, 5*shards-sent)
			r.SendAway(n, base.CauseDraining)
			for range 2 * shards { // a departure goes from shard to shard
				r.settle()
			}
			if sent += n; r.Cuts(base.CauseDraining) != uint64(sent) {
				t.Fatalf("%d shards: %d were sent away, want %d", shards, r.Cuts(base.CauseDraining), sent)
			}
		}
		if _, staying := r.Here(); staying != 0 {
			t.Errorf("%d shards: %d stay", shards, staying)
		}
	}
}

func TestSendAwayTakesThoseWhoAreNotLeavingYet(t *testing.T) {
	r := newRig(t, options(1))
	var clients []*client
	for range 10 {
		c := r.stalled(0)
		s := c.join()
		c.do(func() { s.Send(event("a")) })
		clients = append(clients, c)
	}
	for range 3 {
		r.SendAway(4, base.CauseDraining)
		r.settle()
	}
	if got := r.Cuts(base.CauseDraining); got != 10 {
		t.Errorf("%d sent away, want each of 10 once", got)
	}
	for _, c := range clients {
		if c.open(wide); len(c.wasCut()) != 1 || len(c.texts()) != 1 {
			t.Errorf("cut %v after %q", c.wasCut(), c.texts())
		}
	}
}

// A packet of a socket that has left, or of a connection that is gone, is nobody's.
func TestNothingIsKeptForThoseWhoHaveLeft(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	c := r.stalled(0)
	s := c.join()
	c.do(func() {
		c.conn.Close(base.CauseTransportClose)
		s.Send(event("late"))
		c.conn.Refuse(r.ns, event("refused"))
		_ = s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) {})
		_ = s.Join("room")
	})
	if held := r.account(); held != 0 {
		t.Errorf("%d bytes held", held)
	}
	c.do(func() {
		if left := c.shard.Residue(); left != nil {
			t.Errorf("left behind: %v", left)
		}
	})
}
