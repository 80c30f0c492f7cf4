package guard_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

func TestAdmissionWithoutLimitsWelcomesAll(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{})
	now := time.Unix(1, 0)
	for range 10_000 {
		if v := a.Check(now); v != guard.Welcome || !a.Enter() {
			t.Fatalf("verdict %v", v)
		}
	}
}

func TestAdmissionKeepsTheRate(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{HandshakesPerSecond: 10})
	now, start := time.Unix(1, 0), time.Unix(1, 0)
	welcome := 0
	for now.Sub(start) < 10*time.Second { // a flood of a thousand a second
		if a.Check(now) == guard.Welcome {
			welcome++
		}
		now = now.Add(time.Millisecond)
	}
	if welcome < 108 || welcome > 110 {
		t.Errorf("%d in 10 s, want 10 at once and 10 a second", welcome)
	}
	if now = now.Add(time.Hour); a.Check(now) != guard.Welcome {
		t.Error("not welcome after a quiet hour")
	}
	for range 9 {
		a.Check(now)
	}
	if v := a.Check(now); v != guard.TooFast {
		t.Errorf("verdict %v: a quiet hour saved more than a second's handshakes", v)
	}
}

func TestAdmissionCountsWhoIsPending(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{Pending: 2})
	now := time.Unix(1, 0)
	a.Enter()
	a.Enter()
	if v := a.Check(now); v != guard.Crowded {
		t.Errorf("verdict %v, want crowded", v)
	}
	a.Joined()
	if v := a.Check(now); v != guard.Welcome {
		t.Errorf("verdict %v after one has joined", v)
	}
	a.Enter()
	a.Leave(guard.HasJoined)
	if v := a.Check(now); v != guard.Crowded {
		t.Errorf("verdict %v: one that had joined before left", v)
	}
	a.Leave(guard.NeverJoined)
	if v := a.Check(now); v != guard.Welcome {
		t.Errorf("verdict %v after a pending one left", v)
	}
}

// However many come at the same moment, no more get in than may.
func TestAdmissionLimitOfConnectionsIsExact(t *testing.T) {
	const limit = 100
	a := guard.NewAdmission(guard.AdmissionLimits{Connections: limit})
	var in atomic.Int64
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			if a.Check(time.Unix(1, 0)) != guard.Welcome {
				return
			}
			if a.Enter() {
				in.Add(1)
				return
			}
			a.Leave(guard.NeverJoined)
		})
	}
	all.Wait()
	if in.Load() != limit {
		t.Errorf("%d are in, want %d", in.Load(), limit)
	}
	if v := a.Check(time.Unix(1, 0)); v != guard.Full {
		t.Errorf("verdict %v, want full", v)
	}
}
