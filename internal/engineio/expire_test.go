package engineio_test

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// early has Expire called now, at a time that was not asked for; the deadline is armed again, unless the session is over.
func (h *host) early(t *testing.T) {
	t.Helper()
	h.do(func() {
		if h.over {
			return
		}
		at := h.rig.hosts[h]
		h.rig.hosts[h] = 0
		h.s.Expire(h.rig.clock.Load())
		if at != 0 && !h.over && h.rig.hosts[h] == 0 {
			t.Error("Expire came too early, and no deadline is armed after it")
		}
		if at != 0 && h.rig.hosts[h] < at-int64(timeout) {
			t.Errorf("deadline %v is long before %v", h.rig.hosts[h], at)
		}
	})
}

// creep is advance with an Expire too early now and then.
func (h *host) creep(t *testing.T, d time.Duration) {
	t.Helper()
	for d > 0 {
		step := min(d, 1+time.Duration(rand.Int64N(int64(time.Second))))
		h.rig.advance(step)
		d -= step
		h.early(t)
	}
}

func TestEarlyExpireChangesNothingForAWebSocket(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	for range 3 {
		h.creep(t, interval-time.Millisecond)
		h.send("before")
		c.want("4before")
		h.creep(t, time.Millisecond)
		c.want("2")
		c.send("3", "4after")
		h.wantMessage("after")
	}
	h.creep(t, interval)
	c.want("2")
	h.creep(t, timeout-time.Millisecond)
	h.wantOpen()
	h.creep(t, time.Millisecond)
	h.wantClosed(base.CausePingTimeout)
}

func TestEarlyExpireChangesNothingForPolling(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	for range 3 {
		waiting := h.waitingGet(q)
		h.creep(t, interval)
		(<-waiting).want(t, 200, "2")
		r.request("POST", q, "3").want(t, 200, "ok")
	}
	h.creep(t, interval+timeout-time.Millisecond)
	h.wantOpen()
	h.creep(t, time.Millisecond)
	h.wantClosed(base.CausePingTimeout)
}

// A timer fires late; whoever meets a session sees by the clock that its time is over.
func TestDeadlinesAreDecidedWhenLookedAt(t *testing.T) {
	late := func(r *rig, d time.Duration) { r.loop.Do(func() { r.clock.Add(int64(d)) }) } // no timer fires
	gone := func(t *testing.T, r *rig, h *host, q string, cause base.Cause) {
		t.Helper()
		r.request("GET", q, "").want(t, 400, unknownSID)
		r.request("POST", q, "4x").want(t, 400, unknownSID)
		r.request("PUT", q, "").want(t, 400, unknownSID)
		h.wantClosed(cause)
		if len(h.messages) > 0 {
			t.Error("a message of a session that is over was delivered")
		}
	}
	t.Run("heartbeat", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		late(r, interval+timeout-1)
		r.request("POST", q, "4in time").want(t, 200, "ok")
		h.wantMessage("in time")
		late(r, interval+timeout)
		gone(t, r, h, q, base.CausePingTimeout)
	})
	t.Run("probe of a session that is over", func(t *testing.T) {
		r := newRig(t, nil)
		h, _ := r.pollingSession()
		late(r, interval+timeout)
		r.dialRaw(newWebSocket+"&sid="+h.s.ID(), upgradeHeaders).want(t, 400, "Session ID unknown")
		h.wantClosed(base.CausePingTimeout)
	})
	t.Run("close", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		h.do(func() { h.s.Close(base.CauseAdmin) })
		late(r, 30*time.Second)
		gone(t, r, h, q, base.CauseAdmin)
	})
	t.Run("upgrade", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		c := r.probe(h)
		c.send("2probe")
		c.want("3probe")
		late(r, 10*time.Second)
		c.send("5")
		c.want("close:")
		waiting := h.waitingGet(q)
		h.send("still here")
		(<-waiting).want(t, 200, "4still here")
	})
}

func TestEarlyExpireOfAClosingPollingSession(t *testing.T) {
	for _, upgrading := range []string{"no", "asked", "probed"} {
		t.Run(upgrading, func(t *testing.T) {
			r := newRig(t, nil)
			h, _ := r.pollingSession()
			if upgrading != "no" {
				c := r.probe(h)
				if upgrading == "probed" {
					c.send("2probe")
					c.want("3probe")
				}
			}
			h.early(t)
			h.do(func() { h.s.Close(base.CauseAdmin); h.s.Close(base.CauseShutdown) })
			h.creep(t, 30*time.Second-time.Millisecond)
			if len(h.closed) > 0 {
				t.Fatal("the client was not waited for")
			}
			h.creep(t, time.Millisecond)
			h.wantClosed(base.CauseAdmin)
			h.early(t)
			h.do(func() { h.s.Expire(r.clock.Load()); h.s.Close(base.CauseAdmin); h.s.Abort(base.CauseAdmin) })
		})
	}
}

// A closing session that a client still fetches its last packet from, after an early Expire.
func TestEarlyExpireThenTheLastGet(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	h.do(func() { h.s.Close(base.CauseAdmin) })
	h.early(t)
	r.request(http.MethodGet, q, "").want(t, 200, "1")
	h.wantClosed(base.CauseAdmin)
	r.request(http.MethodGet, q, "").want(t, 400, `{"code":1,"message":"Session ID unknown"}`)
}

// An upgrade whose time is asked for early goes on; one that nobody probes ends in time.
func TestEarlyExpireDuringAnUpgrade(t *testing.T) {
	r := newRig(t, nil)
	h, _ := r.pollingSession()
	c := r.probe(h)
	h.early(t)
	c.send("2probe")
	c.want("3probe")
	h.creep(t, time.Second)
	c.send("5", "4up")
	h.wantMessage("up")
	h.early(t)
	h.creep(t, interval-2*time.Second)
	h.send("x")
	c.want("4x")
	h.do(func() { h.s.Close(base.CauseAdmin) })
	h.early(t)
	c.wantClosed()
	h.wantClosed(base.CauseAdmin)
}
