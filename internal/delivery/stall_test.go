package delivery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/delivery"
)

// A step of which one task takes long is counted and told, with what it did; an ordinary one is not.
func TestLongStepIsToldWithItsPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalls []delivery.Stall
		h := delivery.New(delivery.Options{Shards: 1, OnStall: func(s delivery.Stall) { stalls = append(stalls, s) }})
		h.Start()
		defer h.Close()
		sh := h.Shards()[0]
		for _, d := range []time.Duration{time.Millisecond, 60 * time.Millisecond, 49 * time.Millisecond} {
			sh.Post(taskFunc(func() { time.Sleep(d) }))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if len(stalls) != 1 {
			t.Fatalf("%d stalls, want that of 60 ms only: %+v", len(stalls), stalls)
		}
		s := stalls[0]
		w := s.Phases[delivery.PhaseTasks]
		if s.Took != 60*time.Millisecond || s.Longest() != delivery.PhaseTasks || w.Took != s.Took || w.Count != 1 {
			t.Errorf("told %+v, whose longest is %v", s, s.Longest())
		}
		if st := sh.Stats(); st.Stalls != 1 || st.Longest != s.Took {
			t.Errorf("counted %d, the longest %v", st.Stalls, st.Longest)
		}
	})
}
