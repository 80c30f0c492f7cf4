package survey_test

import (
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey"
)

// The sums of a client are those of its lanes, listed or not.
func TestSumsAreThoseOfTheLanes(t *testing.T) {
	now := int64(time.Minute)
	s := (&loop{now: now}).come("/", "", "a", "b")
	for range 6 {
		s.offer(1, 10, now-int64(3*time.Second)) // two are dropped
		s.offer(2, 20, now)
	}
	listed, summed := s.View(0), survey.Client{}
	for _, l := range s.lanes {
		summed.AddSums(l)
	}
	for name, v := range map[string]*survey.Client{"listed": &listed, "summed": &summed} {
		if v.Depth != 8 || v.Bytes != 120 || v.Dropped != 4 || v.Drops[base.ReasonOverflow.String()] != 4 || v.InFlight != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if len(listed.Lanes) != 3 || listed.OldestMs != 3000 || listed.Lanes[1].Depth != 4 || !listed.Lanes[1].Balanced {
		t.Errorf("%+v", listed)
	}
	one := listed.Lanes[1]
	one.Absorb(listed.Lanes[2])
	if one.Depth != 8 || one.Bytes != 120 || one.OldestMs != 3000 || one.Drops[base.ReasonOverflow.String()] != 4 || !one.Balanced {
		t.Errorf("two lanes as one: %+v", one)
	}
}

// Who loses is ranked before all who do not, however much those have lost of little.
func TestLosersComeFirst(t *testing.T) {
	l := running(t, 0)
	few, many := l.come("/", "", "a"), l.come("/", "", "a")
	for _, s := range []*subject{few, many} {
		for range 5 {
			s.offer(1, 1, 1) // one is dropped
		}
	}
	if found := take(t, []survey.Loop{l}, survey.Query{Sort: survey.ByLoss, Limit: 2}); found.Unknown != 2 || found.Losing != 0 {
		t.Fatalf("at a first look at a lane that has lost something: %+v", found)
	}
	l.now = int64(10 * time.Second)
	for range 4 {
		few.offer(1, 1, 1)
	}
	for range 40 {
		many.offer(1, 1, 1)
	}
	found := take(t, []survey.Loop{l}, survey.Query{Sort: survey.ByLoss, Limit: 2})
	if found.Losing != 1 || found.Unknown != 0 || found.Clients[0].ID != many.id || !found.Clients[0].Losing || found.Clients[1].Losing {
		t.Errorf("%+v", found)
	}
	if loss := found.Clients[0].Lanes[1].Loss; loss == nil || loss.Dropped != 40 || loss.Offered != 40 || !loss.Losing {
		t.Errorf("%+v", loss)
	}
}
