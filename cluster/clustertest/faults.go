package clustertest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir/cluster"
)

// After a lapse everything that was subscribed to comes again, and the log has what was missed.
func testCut(t *testing.T, r *rig) {
	if r.Cut == nil {
		t.Skip("connections cannot be broken")
	}
	a, b, _ := r.trio(t)
	var channels []string
	for i := range 200 {
		channels = append(channels, fmt.Sprint("channel ", i))
	}
	b.subscribe(channels...)
	b.follow("log")
	for round := range 3 {
		had := b.count()
		r.Cut(t)
		b.until("it was told that it may have missed something", func() bool { return b.lapses > had })
		a.again(func() error { return appendOne(a, "log", fmt.Sprint(round)) })
		for _, c := range channels {
			before := b.heard(c)
			a.again(func() error { return a.Publish(t.Context(), c, []byte("x")) })
			b.until("a message came on "+c, func() bool { return len(b.messages[c]) > before })
		}
	}
	if got := strings.Join(b.whole("log"), " "); got != "0 1 2" {
		t.Errorf("the log has %q", got)
	}
}

func appendOne(n *node, log, data string) error {
	_, err := n.Append(n.t.Context(), log, cluster.AppendOptions{Keep: keep}, []byte(data))
	return err
}

// Whatever breaks, an entry is in the log once if its append was answered, never if it was refused, and at most once otherwise.
func testCutAppends(t *testing.T, r *rig) {
	if r.Cut == nil {
		t.Skip("connections cannot be broken")
	}
	const each = 400
	a, b, c := r.trio(t)
	nodes := []*node{a, b}
	results := make([][]error, len(nodes))
	var all sync.WaitGroup
	quarter := make(chan struct{}, 64)
	for i, n := range nodes {
		n.follow("log")
		all.Go(func() {
			for k := range each {
				if k%100 == 50 {
					quarter <- struct{}{}
				}
				results[i] = append(results[i], appendOne(n, "log", fmt.Sprintf("%d %d", i, k)))
			}
		})
	}
	for range len(nodes) * each / 100 {
		<-quarter
		r.Cut(t)
	}
	all.Wait()
	seen := make(map[string]int)
	data := c.whole("log")
	for _, d := range data {
		seen[d]++
	}
	answered, undecided := 0, 0
	for i := range results {
		for k, err := range results[i] {
			times := seen[fmt.Sprintf("%d %d", i, k)]
			switch {
			case err == nil && times != 1, errors.Is(err, cluster.ErrAway) && times != 0, times > 1:
				t.Errorf("entry %d of %d is there %d times: %v", k, i, times, err)
			case err == nil:
				answered++
			case errors.Is(err, cluster.ErrUndecided):
				undecided++
			case !errors.Is(err, cluster.ErrAway):
				t.Errorf("entry %d of %d: %v", k, i, err)
			}
		}
	}
	if answered == 0 {
		t.Error("no append was answered: the test shows nothing")
	}
	t.Logf("%d answered, %d undecided, %d in the log", answered, undecided, len(data))
}

func testStop(t *testing.T, r *rig) {
	if r.Stop == nil {
		t.Skip("the engine cannot be stopped")
	}
	a, b, _ := r.trio(t)
	a.subscribe("x")
	a.follow("log")
	b.put("log", "before")
	r.Stop(t)
	for _, n := range []*node{a, b} {
		n.until("it knew that the engine is away", func() bool { return len(n.states) > 0 && !n.states[len(n.states)-1].Up })
		if s := n.State(); s.Up || s.Err == nil || s.Since.IsZero() {
			t.Errorf("%s says %+v", n.name, s)
		}
	}
	_, read := a.Read(t.Context(), "log", 0, cluster.Limit{})
	for what, err := range map[string]error{
		"publish": a.Publish(t.Context(), "x", nil), "append": appendOne(a, "log", "refused"), "read": read,
		"subscribe": b.Subscribe(t.Context(), "x"), "follow": b.Follow(t.Context(), "log"),
	} {
		if !errors.Is(err, cluster.ErrAway) {
			t.Errorf("%s while it is away: %v", what, err)
		}
	}
	lapses := []int{a.count(), b.count()}
	r.Start(t)
	for i, n := range []*node{a, b} {
		n.until("it was up", func() bool { return n.states[len(n.states)-1].Up })
		n.until("it was told that it may have missed something", func() bool { return n.lapses > lapses[i] })
		if s := n.State(); !s.Up || s.Err != nil {
			t.Errorf("%s says %+v", n.name, s)
		}
	}
	a.publish("x", "1")
	a.has("x", "1")
	b.has("x", "1") // it was wished for while the engine was away
	b.put("log", "after")
	for _, n := range []*node{a, b} {
		n.until("the entry came", func() bool {
			return len(n.entries["log"]) > 0 && string(n.entries["log"][len(n.entries["log"])-1].Data) == "after"
		})
	}
	if got := strings.Join(a.whole("log"), " "); got != "before after" {
		t.Errorf("the log has %q", got)
	}
}

func testForget(t *testing.T, r *rig) {
	if r.Forget == nil {
		t.Skip("the engine cannot be made to forget")
	}
	a, b, _ := r.trio(t)
	a.follow("log")
	var last cluster.Position
	for i := range 10 {
		last = b.put("log", fmt.Sprint(i))[0]
	}
	had := a.count()
	r.Forget(t)
	var at []cluster.Position
	b.again(func() (err error) {
		at, err = b.Append(t.Context(), "log", cluster.AppendOptions{Keep: keep, Above: last.Offset}, []byte("new"))
		return err
	})
	if at[0].Epoch == last.Epoch || at[0].Offset <= last.Offset || at[0].Previous != 0 {
		t.Errorf("after %+v the log begins with %+v", last, at[0])
	}
	if got := a.whole("log"); len(got) != 1 {
		t.Errorf("it has %q", got)
	}
	last = at[0]
	came := func() bool { e := a.entries["log"]; return len(e) > 0 && e[len(e)-1].Offset >= last.Offset }
	a.until("the entry came, or it knew that it may have missed it", func() bool { return came() || a.lapses > had })
	last = b.put("log", "more")[0]
	a.until("the next entry came", came)
}

// Nobody hangs up, nothing comes: a member has to find out by itself.
func testDeaf(t *testing.T, r *rig) {
	if r.Deafen == nil {
		t.Skip("subscriptions cannot be made to die in silence")
	}
	a, b, _ := r.trio(t)
	b.subscribe("x")
	b.follow("log")
	had := b.count()
	r.Deafen(t)
	b.until("it found out", func() bool { return b.lapses > had })
	a.again(func() error { return a.Publish(t.Context(), "x", []byte("1")) })
	b.until("a message came", func() bool { return len(b.messages["x"]) > 0 })
	a.put("log", "1")
	b.until("an entry came", func() bool { return len(b.entries["log"]) > 0 })
}

// A listener that does not return costs bounded memory and no other member anything; what was lost is told.
func testSlow(t *testing.T, r *rig) {
	if r.Overrun == 0 {
		t.Skip("nothing is too much for the engine")
	}
	a, b, c := r.trio(t)
	b.subscribe("x")
	c.subscribe("end")
	b.stick()
	data := strings.Repeat("d", 64<<10)
	had := b.count()
	for range r.Overrun {
		a.publish("x", data)
	}
	a.publish("end", "1")
	c.has("end", "1")
	b.until("it was stuck", func() bool { return b.waits })
	b.release()
	b.until("it was told that it has missed something", func() bool { return b.lapses > had })
	if b.heard("x") >= r.Overrun {
		t.Error("nothing was lost: the test shows nothing")
	}
	a.publish("x", "again")
	b.until("the last message came", func() bool { m := b.messages["x"]; return len(m) > 0 && m[len(m)-1] == "again" })
}
