package survey_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey"
)

// crowd is three loops with clients that hold, have dropped and wait for this and that.
func crowd(t *testing.T) (loops []survey.Loop, all []*subject) {
	t.Helper()
	const now = int64(time.Hour)
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 3 {
		l := running(t, now)
		for i := range 100 {
			s := l.come([]string{"/", "/feed"}[rnd.IntN(2)], fmt.Sprint("p", i%4), []string{"a", "user:1", "user:2"}[:rnd.IntN(4)]...)
			for range rnd.IntN(12) {
				s.offer(rnd.IntN(len(s.lanes)), 1+rnd.IntN(300), now-rnd.Int64N(int64(3*time.Second)))
			}
			s.id = fmt.Sprint("s", len(all))
			all = append(all, s)
		}
		loops = append(loops, l)
	}
	return loops, all
}

func take(t *testing.T, loops []survey.Loop, q survey.Query) survey.Found {
	t.Helper()
	found, err := survey.Take(t.Context(), loops, q)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A survey is what a listing of all clients, narrowed, sorted and cut, would be.
func TestTakeIsAListingOfAll(t *testing.T) {
	loops, all := crowd(t)
	ranks := map[survey.SortKey]func(v *survey.Client) float64{
		survey.ByLag:   func(v *survey.Client) float64 { return float64(v.OldestMs) },
		survey.ByBytes: func(v *survey.Client) float64 { return float64(v.Bytes) },
		survey.ByDrops: func(v *survey.Client) float64 { return float64(v.Dropped) },
		survey.ByID:    func(*survey.Client) float64 { return 0 },
	}
	for key, rank := range ranks {
		for _, q := range []survey.Query{
			{}, {Topic: "a"}, {Topic: "user:*"}, {Topic: "none"}, {Namespace: "/feed"}, {Principal: "p1", Topic: "user:2"}, {Address: "10.0.0.1"}, {ID: "s7"},
			{Address: "10.0.0.2", Topic: "a", Namespace: "/"}, {After: "s2"}, {After: "s", Topic: "user:*", Lanes: 1}, {Lanes: 2},
		} {
			var naive []survey.Client
			lagging := 0
			for _, s := range all {
				v := s.View(0)
				if s.id <= q.After || !s.Is(q.ID, q.Namespace, q.Principal) || (q.Address != "" && q.Address != v.Address) {
					continue
				}
				if q.Topic != "" {
					lanes := v.Lanes
					v.Lanes, v.Depth, v.Bytes, v.OldestMs, v.Dropped = nil, 0, 0, 0, 0
					for _, l := range lanes {
						if l.Topic != "" && base.TopicNamed(q.Topic, l.Topic) {
							v.Depth, v.Bytes, v.OldestMs = v.Depth+l.Depth, v.Bytes+l.Bytes, max(v.OldestMs, l.OldestMs)
							v.Dropped += l.Drops[base.ReasonOverflow.String()]
							v.Lanes = append(v.Lanes, l)
						}
					}
					if v.Lanes == nil {
						continue
					}
				}
				if v.OldestMs >= survey.LagAfter.Milliseconds() {
					lagging++
				}
				naive = append(naive, v)
			}
			slices.SortFunc(naive, func(a, b survey.Client) int { return cmp.Or(cmp.Compare(rank(&b), rank(&a)), cmp.Compare(a.ID, b.ID)) })
			for _, limit := range []int{0, 1, 7, 1000} {
				q.Sort, q.Limit = key, limit
				got := take(t, loops, q)
				if got.Total != len(naive) || got.Lagging != lagging || len(got.Clients) != min(limit, len(naive)) {
					t.Fatalf("%+v: %d of %d clients, %d lagging; want %d, %d", q, len(got.Clients), got.Total, got.Lagging, len(naive), lagging)
				}
				for i := range got.Clients {
					v, want := &got.Clients[i], &naive[i]
					if v.ID != want.ID || rank(v) != rank(want) || len(v.Lanes)+v.LanesLeftOut != len(want.Lanes) || (q.Lanes > 0 && len(v.Lanes) > q.Lanes) {
						t.Errorf("%+v: place %d has %s, %v, %d lanes of %d; want %s, %v", q, i, v.ID, rank(v), len(v.Lanes), len(want.Lanes), want.ID, rank(want))
					}
				}
			}
		}
	}
}

// Only those that may be listed are described: the others cost no view.
func TestTakeDescribesFew(t *testing.T) {
	loops, all := crowd(t)
	take(t, loops, survey.Query{Sort: survey.ByLag})
	for _, s := range all {
		if s.viewed > 0 {
			t.Fatal("a client was described that nobody asked for")
		}
	}
}

// What the events lane dropped before it was given away counts for who asks for drops, of all lanes.
func TestPastDropsCount(t *testing.T) {
	l := running(t, 0)
	l.come("/", "").past = 3
	l.come("/", "").offer(0, 1, 0)
	if found := take(t, []survey.Loop{l}, survey.Query{Sort: survey.ByDrops, Limit: 1}); len(found.Clients) != 1 || found.Clients[0].ID != "s0" {
		t.Errorf("%+v", found.Clients)
	}
}

// A walk looks at so many lanes in a step, not at so many clients whatever they have.
func TestSurveyStepsCountLanes(t *testing.T) {
	const clients, lanes = 60, 200
	for what, row := range map[string]struct{ views, each int }{"figures": {0, lanes}, "views": {clients, lanes * (1 + survey.ViewCost)}} {
		l := &loop{tasks: make(chan base.Task, 1)}
		topics := make([]string, lanes)
		for i := range topics {
			topics[i] = fmt.Sprint("t", i)
		}
		for range clients {
			l.come("/", "", topics...)
		}
		ended := make(chan survey.Found)
		go func() {
			found, err := survey.Take(t.Context(), []survey.Loop{l}, survey.Query{Limit: row.views})
			if err != nil {
				t.Error(err)
			}
			ended <- found
		}()
		for l.seen < clients {
			before := l.seen
			(<-l.tasks).Run()
			if n := l.seen - before; n > survey.LaneSlice/row.each+1 || n == 0 {
				t.Fatalf("%s: a step looks at %d clients with %d lanes each", what, n, lanes)
			}
		}
		if found := <-ended; found.Total != clients {
			t.Errorf("%s: %d clients", what, found.Total)
		}
	}
}

// A survey of a loop that does not come round ends with its context, and says why.
func TestTakeEndsWithItsContext(t *testing.T) {
	stuck := &loop{tasks: make(chan base.Task, 1)}
	ctx, cancel := context.WithCancelCause(t.Context())
	closed := errors.New("closed")
	cancel(closed)
	if _, err := survey.Take(ctx, []survey.Loop{stuck}, survey.Query{}); !errors.Is(err, closed) {
		t.Errorf("%v", err)
	}
}
