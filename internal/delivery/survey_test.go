package delivery_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// Describe gives every other client an address.
func (c *client) Describe(v *survey.Client) {
	v.Address = fmt.Sprint("10.0.0.", len(c.wire)%2)
	if c.viewed != nil {
		c.viewed()
	}
}

func (r *rig) survey(q survey.Query) survey.Found {
	r.t.Helper()
	s, err := r.Survey(context.Background(), q)
	if err != nil {
		r.t.Fatalf("survey: %v", err)
	}
	return s
}

// lagging is a hub whose clients lag, each in its own way. It needs a bubble.
func lagging(t *testing.T) *rig {
	p := latest()
	p.MaxMessages = 5
	o := options(3, topic("a", p), topic("b", p))
	o.Namespaces[0].Events = p
	r := newRig(t, o)
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range 120 {
		c := r.stalled(i % 3)
		var s *delivery.Socket
		c.do(func() { s = c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), fmt.Sprint("p", i%4), c) })
		if i%2 == 0 {
			c.subscribe(s, "a", delivery.SubscribeOptions{})
		}
		if i%3 == 0 {
			c.subscribe(s, "b", delivery.SubscribeOptions{})
		}
		for range rnd.IntN(3) {
			r.publish([]string{"a", "b"}[rnd.IntN(2)], fill(2+rnd.IntN(300)))
		}
		time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
	}
	r.settle()
	return r
}

// A survey is what a listing of all clients, sorted and cut, would be.
func TestSurveyListsWhoComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lagging(t)
		ranks := map[survey.SortKey]func(survey.Client) int64{
			survey.ByLag:   func(v survey.Client) int64 { return v.OldestMs },
			survey.ByBytes: func(v survey.Client) int64 { return int64(v.Bytes) },
			survey.ByDrops: func(v survey.Client) int64 { return int64(v.Dropped) },
		}
		for key, rank := range ranks {
			for _, q := range []survey.Query{{}, {Topic: "a"}, {Topic: "b", Principal: "p0"}, {Principal: "p1"}, {Address: "10.0.0.0"}, {Namespace: "/none"}} {
				q.Sort, q.Limit = key, 1000
				all := r.survey(q)
				naive := slices.Clone(all.Clients)
				slices.SortStableFunc(naive, func(a, b survey.Client) int { return cmp.Compare(rank(b), rank(a)) })
				for _, limit := range []int{0, 1, 7, 50} {
					q.Limit = limit
					got := r.survey(q)
					if got.Total != all.Total || got.Lagging != all.Lagging || len(got.Clients) != min(limit, len(naive)) {
						t.Fatalf("%+v: %d of %d clients, %d lagging; all: %d, %d", q, len(got.Clients), got.Total, got.Lagging, all.Total, all.Lagging)
					}
					for i, v := range got.Clients {
						if rank(v) != rank(naive[i]) {
							t.Errorf("%+v: place %d has %d, want %d", q, i, rank(v), rank(naive[i]))
						}
					}
				}
			}
		}
	})
}

func TestSurveyFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lagging(t)
		for _, row := range []struct {
			q    survey.Query
			want int
		}{
			{survey.Query{}, 120}, {survey.Query{Topic: "a"}, 60}, {survey.Query{Topic: "b"}, 40},
			{survey.Query{Principal: "p3"}, 30}, {survey.Query{Principal: "p0", Topic: "b"}, 10},
			{survey.Query{Namespace: "/feed"}, 120}, {survey.Query{Namespace: "/"}, 0}, {survey.Query{Address: "10.0.0.1"}, 0},
			{survey.Query{Address: "10.0.0.0"}, 120}, {survey.Query{ID: "nobody"}, 0},
		} {
			row.q.Limit = 5
			if got := r.survey(row.q); got.Total != row.want {
				t.Errorf("%+v: %d clients, want %d", row.q, got.Total, row.want)
			}
		}
		one := r.survey(survey.Query{Limit: 1, Topic: "a"}).Clients[0]
		if len(one.Lanes) != 1 || one.Lanes[0].Topic != "a" || one.Depth != one.Lanes[0].Depth || !one.Lanes[0].Balanced {
			t.Errorf("figures are not those of the topic's lane: %+v", one)
		}
		if got := r.survey(survey.Query{Limit: 5, ID: one.ID}); got.Total != 1 || got.Clients[0].ID != one.ID {
			t.Errorf("by id: %+v", got)
		}
	})
}

// A client's lag is the age of what waits, whether it waits in a queue or is
// partly written, and whoever made it.
func TestSurveyKnowsTheAgeOfWhatWaits(t *testing.T) {
	rows := map[string]func(r *rig, c *client, s *delivery.Socket){
		"queued":    func(r *rig, c *client, _ *delivery.Socket) { c.window = 0; r.publish("ticks", "1") },
		"in flight": func(r *rig, _ *client, _ *delivery.Socket) { r.publish("orders", "1") },
		"partly written": func(r *rig, c *client, _ *delivery.Socket) {
			c.take = func(int) int { return 3 }
			r.publish("ticks", "1")
		},
		"partly written, reliable": func(r *rig, c *client, _ *delivery.Socket) {
			c.take = func(int) int { return 3 }
			r.publish("orders", "1")
		},
		"the loop's answer": func(_ *rig, c *client, s *delivery.Socket) { c.window = 0; c.do(func() { s.Send(event("answer")) }) },
		"a reply": func(_ *rig, c *client, s *delivery.Socket) {
			c.window = 0
			if err := s.Reply(context.Background(), event("answer")); err != nil {
				panic(err)
			}
		},
	}
	for name, wait := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, options(1, topic("ticks", latest()), topic("orders", certain())))
				c := r.connect(0)
				s := c.join("ticks", "orders")
				time.Sleep(24 * time.Hour)
				wait(r, c, s)
				r.settle()
				time.Sleep(2 * time.Second)
				got := r.survey(survey.Query{Limit: 1})
				if v := got.Clients[0]; v.OldestMs < 2000 || v.OldestMs > 3000 || got.Lagging != 1 || v.Depth != 1 {
					t.Errorf("after two seconds the oldest of %d messages is %d ms old", v.Depth, v.OldestMs)
				}
				if got.Ages.Count() != 1 {
					t.Errorf("ages of %d lanes, want 1", got.Ages.Count())
				}
			})
		})
	}
}

// A survey of very many clients holds no shard for long: between slices others
// have their turn.
func TestSurveyIsSliced(t *testing.T) {
	r := newRig(t, options(1))
	sh := r.Shards()[0]
	const clients = 10_000
	conns := make([]*delivery.Conn, clients)
	turn, viewed := 0, make(map[int]int) // clients viewed in each turn of the loop
	c := &client{rig: r, shard: sh, viewed: func() { viewed[turn]++ }}
	stop := make(chan struct{})
	var other taskFunc
	other = func() {
		select {
		case <-stop:
		default:
			turn++
			sh.Post(other)
		}
	}
	r.on(sh, func() {
		for i := range conns {
			conns[i] = sh.Open(c, c)
			conns[i].OpenSocket(r.ns, conns[i].NewSocketID(), "", c)
		}
		other()
	})
	got := r.survey(survey.Query{Limit: clients})
	close(stop)
	if got.Total != clients || len(got.Clients) != clients {
		t.Errorf("%d of %d clients", len(got.Clients), got.Total)
	}
	r.on(sh, func() {
		for _, n := range viewed {
			if n > 2*delivery.SurveySlice { // two slices may be neighbours in the inbox
				t.Errorf("%d clients were looked at before anybody else had a turn", n)
			}
		}
		for _, conn := range conns {
			conn.Close(base.CauseTransportClose)
		}
	})
}

func TestSurveyOfAClosedHubEnds(t *testing.T) {
	h := delivery.New(options(1))
	h.Start()
	h.Close()
	before := goleak.IgnoreCurrent()
	if _, err := h.Survey(context.Background(), survey.Query{Limit: 1}); !errors.Is(err, delivery.ErrClosed) {
		t.Errorf("survey: %v", err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestCutLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1))
		c := r.connect(0)
		s := c.join()
		const more = 100
		c.do(func() {
			for range delivery.CutMost + more {
				c.conn.RecordCut(base.CauseAdmin)
			}
		})
		got := r.Cut(2 * delivery.CutMost)
		if len(got) != delivery.CutMost || got[0].ID != s.ID || got[0].Cause != "admin" || got[0].CutAt.IsZero() {
			t.Errorf("%d remembered, the last %+v", len(got), got[0])
		}
		if r.Cuts(base.CauseAdmin) != delivery.CutMost+more {
			t.Errorf("%d counted", r.Cuts(base.CauseAdmin))
		}
		time.Sleep(30 * time.Minute)
		c.do(func() {})
		c.do(func() { c.conn.RecordCut(base.CauseDraining) })
		if got := r.Cut(2); len(got) != 2 || got[0].Cause != "draining" || got[1].Cause != "admin" {
			t.Errorf("newest first: %+v", got)
		}
		time.Sleep(31 * time.Minute)
		if got := r.Cut(10); len(got) != 1 {
			t.Errorf("%d remembered after an hour, want 1", len(got))
		}
	})
}
