package nats_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/internal/enginetest"
)

// ear is a listener that tells of states, lapses and entries.
type ear struct {
	states  chan cluster.State
	lapses  chan struct{}
	entries chan cluster.Entry
}

func newEar() *ear {
	return &ear{states: make(chan cluster.State, 100), lapses: make(chan struct{}, 1000), entries: make(chan cluster.Entry, 1000)}
}

func (e *ear) Message(string, []byte) {}

func (e *ear) Entries(_ string, list []cluster.Entry) {
	for _, x := range list {
		e.entries <- x
	}
}
func (e *ear) Lapsed()                 { e.lapses <- struct{}{} }
func (e *ear) Changed(s cluster.State) { e.states <- s }

// until waits for the engine to be up, or not.
func (e *ear) until(up bool) {
	for s := range e.states {
		if s.Up == up {
			return
		}
	}
}

func join(t *testing.T, o nats.Options, l cluster.Listener) cluster.Member {
	t.Helper()
	m, err := open(t, o).Join(t.Context(), "a", l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

var keep = cluster.AppendOptions{Keep: 1000}

func put(t *testing.T, m cluster.Member, log, data string) cluster.Position {
	t.Helper()
	at, err := m.Append(t.Context(), log, keep, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return at[0]
}

func read(t *testing.T, m cluster.Member, log string, after uint64) cluster.Page {
	t.Helper()
	p, err := m.Read(t.Context(), log, after, cluster.Limit{Entries: 1000, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The network drops everything in the middle of an append, then delivers it late, when the next attempt has been made: the
// entry is there once, whichever of them was placed.
func TestAppendThatArrivesLateIsNotPlacedTwice(t *testing.T) {
	url := serve(t).ClientURL()
	for round := range 4 {
		p := enginetest.NewProxy(t, strings.TrimPrefix(url, "nats://"))
		e := newEar()
		m := join(t, nats.Options{URL: "nats://" + p.Addr()}, e)
		other := join(t, nats.Options{URL: url}, newEar())
		log := fmt.Sprint("log ", round)
		put(t, m, log, "before")
		p.Hold(true)
		var done sync.WaitGroup
		done.Go(func() { put(t, m, log, "held") })
		e.until(false)
		if round%2 == 1 {
			put(t, other, log, "between") // so that the first attempt cannot be placed any more
		}
		p.Hold(false)
		e.until(true)
		done.Wait()
		put(t, m, log, "after")
		times := 0
		for _, x := range read(t, other, log, 0).Entries {
			if string(x.Data) == "held" {
				times++
			}
		}
		if times != 1 {
			t.Errorf("round %d: the entry is there %d times", round, times)
		}
	}
}

// Who gives up waiting in the middle is told that nobody knows.
func TestAppendThatIsGivenUpIsUndecided(t *testing.T) {
	url := serve(t).ClientURL()
	p := enginetest.NewProxy(t, strings.TrimPrefix(url, "nats://"))
	m := join(t, nats.Options{URL: "nats://" + p.Addr()}, newEar())
	put(t, m, "log", "before")
	p.Hold(true)
	defer p.Hold(false)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := m.Append(ctx, "log", keep, []byte("x")); !errors.Is(err, cluster.ErrUndecided) && !errors.Is(err, cluster.ErrAway) {
		t.Errorf("%v", err)
	}
}

// A log whose messages were removed by somebody begins anew, above what it was asked to be above of; what an operator has
// changed of the stream stays, or is put right at the next start.
func TestLostLogsAreNoticed(t *testing.T) {
	url := serve(t).ClientURL()
	m := join(t, nats.Options{URL: url}, newEar())
	first, second := put(t, m, "log", "1"), put(t, m, "log", "2")
	if second.Previous != first.Offset || second.Epoch != first.Epoch {
		t.Errorf("%+v comes after %+v", second, first)
	}
	do(t, url, func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, "weir")
		if err != nil {
			return err
		}
		c := s.CachedInfo().Config
		c.RePublish, c.MaxBytes = nil, 1<<30
		_, err = js.UpdateStream(ctx, c)
		return errors.Join(s.Purge(ctx), err)
	})
	if p := read(t, m, "log", 0); p.Epoch != "" || len(p.Entries) > 0 {
		t.Errorf("without its messages the log has %+v", p)
	}
	at, err := m.Append(t.Context(), "log", cluster.AppendOptions{Keep: keep.Keep, Above: second.Offset}, []byte("3"))
	if err != nil {
		t.Fatal(err)
	}
	if third := at[0]; third.Previous != 0 || third.Epoch == first.Epoch || third.Offset <= second.Offset {
		t.Errorf("it begins anew with %+v after %+v", third, second)
	}
	e := newEar()
	n := join(t, nats.Options{URL: url}, e)
	if err := n.Follow(t.Context(), "log"); err != nil {
		t.Fatal(err)
	}
	put(t, m, "log", "4")
	if x := <-e.entries; string(x.Data) != "4" {
		t.Errorf("%q came", x.Data)
	}
	do(t, url, func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, "weir")
		if err == nil && s.CachedInfo().Config.MaxBytes != 1<<30 {
			t.Error("what the operator has set is gone")
		}
		return err
	})
}

// A stream that is full refuses: nothing was done, and nothing is out of order when it takes entries again.
func TestFullStreamRefuses(t *testing.T) {
	url := serve(t).ClientURL()
	m := join(t, nats.Options{URL: url}, newEar())
	put(t, m, "log", "1")
	limit := func(messages int64) {
		do(t, url, func(ctx context.Context, js jetstream.JetStream) error {
			s, err := js.Stream(ctx, "weir")
			if err != nil {
				return err
			}
			c := s.CachedInfo().Config
			c.MaxMsgs, c.Discard = messages, jetstream.DiscardNew
			_, err = js.UpdateStream(ctx, c)
			return err
		})
	}
	limit(1)
	if _, err := m.Append(t.Context(), "log", keep, []byte("2")); !errors.Is(err, cluster.ErrAway) {
		t.Errorf("a full stream: %v", err)
	}
	limit(-1)
	put(t, m, "log", "3")
	if p := read(t, m, "log", 0); len(p.Entries) != 2 || string(p.Entries[1].Data) != "3" {
		t.Errorf("%+v", p)
	}
}

// Two clusters on one NATS know nothing of each other, and what others write to a subject of ours is no entry.
func TestPrefixesKeepClustersApart(t *testing.T) {
	url := serve(t).ClientURL()
	e1, e2 := newEar(), newEar()
	m1, m2 := join(t, nats.Options{URL: url, KeyPrefix: "one"}, e1), join(t, nats.Options{URL: url, KeyPrefix: "two"}, e2)
	for _, m := range []cluster.Member{m1, m2} {
		if err := m.Follow(t.Context(), "log"); err != nil {
			t.Fatal(err)
		}
	}
	at := put(t, m1, "log", "1")
	if got := <-e1.entries; got.Position != at {
		t.Errorf("%+v, want %+v", got.Position, at)
	}
	if p := read(t, m2, "log", 0); p.Epoch != "" {
		t.Errorf("the other cluster has %+v", p)
	}
	for _, garbage := range []string{"", "x", "2 i e 5 4 0 0 1 9 0 1 2", "1 i e 4 4 0 0 1 9 0 1 2", "1 i e 5 4 0 0 1 9 1 1 2", "1 i e 5 4 0 0 0 9 0 1 2", "1 i e 5 4 0 0 1 9 0 1 3"} {
		publish(t, url, &client.Msg{Subject: "two.live.log", Data: []byte("\x01x"), Header: client.Header{"Weir": {garbage}, "Nats-Sequence": {"1"}}})
		<-e2.lapses // what is in the log is read then
	}
	if len(e2.entries) > 0 {
		t.Errorf("%+v came", <-e2.entries)
	}
}

// holding is an ear that counts what its member holds.
type holding struct {
	*ear
	now, most atomic.Int64
}

func (h *holding) Hold(bytes int) {
	n := h.now.Add(int64(bytes))
	for m := h.most.Load(); n > m && !h.most.CompareAndSwap(m, n); m = h.most.Load() {
	}
}

func (h *holding) Claim(bytes int) bool { h.Hold(bytes); return true }

// What is on its way to an engine that takes nothing is bounded and counted, however many publish.
func TestWhatIsOnItsWayIsBounded(t *testing.T) {
	p := enginetest.NewProxy(t, serve(t).Addr().String())
	h := &holding{ear: newEar()}
	m := join(t, nats.Options{URL: "nats://" + p.Addr()}, h)
	p.Hold(true)
	const most, all = 32 << 20, 60
	data := make([]byte, 1<<20)
	var publishers sync.WaitGroup
	for i := range all {
		publishers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if i%2 == 0 {
				_ = m.Publish(ctx, "c", data)
			} else {
				_, _ = m.Append(ctx, "l", keep, data)
			}
		})
	}
	publishers.Wait()
	if got := h.most.Load(); got > most+64<<10 || got < most/2 {
		t.Errorf("%d bytes were on their way", got)
	}
	if now := h.now.Load(); now != 0 {
		t.Errorf("%d bytes are held when all is over", now)
	}
	p.Hold(false)
	for !m.State().Up {
		h.until(true)
	}
	for _, err := m.Append(t.Context(), "l", keep, []byte("after")); err != nil; _, err = m.Append(t.Context(), "l", keep, []byte("after")) {
		if !errors.Is(err, cluster.ErrAway) {
			t.Fatal(err)
		}
	}
}

// Logs of all sizes, with appends in pieces, are read from every offset, also when their oldest entries have been removed.
func TestEveryOffsetIsReadFrom(t *testing.T) {
	m := join(t, nats.Options{URL: serve(t).ClientURL()}, newEar())
	o := cluster.AppendOptions{Keep: 20}
	var at []cluster.Position
	for i := range 90 {
		data := [][]byte{fmt.Append(nil, i)}
		for range i % 4 {
			data = append(data, fmt.Append(nil, i))
		}
		if i%11 == 10 {
			data[0] = make([]byte, 1<<20+200_000)
		}
		more, err := m.Append(t.Context(), "log", o, data...)
		if err != nil {
			t.Fatal(err)
		}
		put(t, m, "other", "x")
		at = append(at, more...)
		kept := at[max(len(at)-o.Keep, 0):]
		for _, after := range []uint64{0, kept[0].Offset - 1, kept[0].Offset, kept[len(kept)/2].Offset, kept[len(kept)-1].Previous} {
			p, err := m.Read(t.Context(), "log", after, cluster.Limit{Entries: 3, Bytes: 1 << 22})
			if err != nil {
				t.Fatal(err)
			}
			var want []cluster.Position
			for _, k := range kept {
				if k.Offset > after && len(want) < 3 {
					want = append(want, k)
				}
			}
			var got []cluster.Position
			for _, e := range p.Entries {
				got = append(got, e.Position)
			}
			if !slices.Equal(got, want) || p.First != kept[0].Offset || p.Last != at[len(at)-1].Offset {
				t.Fatalf("append %d: after %d there are %v of %d to %d, want %v", i, after, got, p.First, p.Last, want)
			}
		}
	}
}
