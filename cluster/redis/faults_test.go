package redis_test

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

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/enginetest"
	"github.com/streamweir/weir/internal/redistest"
)

// ear is a listener that tells of states.
type ear struct {
	states  chan cluster.State
	lapses  chan struct{}
	entries chan cluster.Entry
	mu      sync.Mutex
	heard   []string
	came    chan struct{} // has room for one: heard has more
}

// patient is an ear that is told why its Join waits.
type patient struct {
	*ear
	why chan error
}

func (p *patient) Waiting(why error) { p.why <- why }

func newEar() *ear {
	return &ear{states: make(chan cluster.State, 100), lapses: make(chan struct{}, 100), entries: make(chan cluster.Entry, 100), came: make(chan struct{}, 1)}
}

func (e *ear) Message(channel string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, channel+" "+string(data))
	select {
	case e.came <- struct{}{}:
	default:
	}
}

// has reports whether a message has come.
func (e *ear) has(message string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.heard, message)
}

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

func join(t *testing.T, addr, prefix string, e *ear) cluster.Member {
	t.Helper()
	m, err := open(t, addr, prefix).Join(t.Context(), "a", e)
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
// entry is there once, whichever of them was executed.
func TestAppendThatArrivesLateIsNotDoneTwice(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for round := range 2 {
		p := enginetest.NewProxy(t, s.Addr())
		e := newEar()
		m := join(t, p.Addr(), "", e)
		other := join(t, s.Addr(), "", newEar())
		log := fmt.Sprint("log ", round)
		put(t, m, log, "before")
		p.Hold(true)
		var done sync.WaitGroup
		done.Go(func() { put(t, m, log, "held") })
		e.until(false)
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
	t.Parallel()
	s := redistest.Start(t)
	p := enginetest.NewProxy(t, s.Addr())
	m := join(t, p.Addr(), "", newEar())
	put(t, m, "log", "before")
	p.Hold(true)
	defer p.Hold(false)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := m.Append(ctx, "log", keep, []byte("x")); !errors.Is(err, cluster.ErrUndecided) && !errors.Is(err, cluster.ErrAway) {
		t.Errorf("%v", err)
	}
}

// Keys that are evicted, one without the other, and scripts that are forgotten.
func TestLostKeysAreNoticed(t *testing.T) {
	s := redistest.Start(t)
	e := newEar()
	m := join(t, s.Addr(), "p", e)
	first := put(t, m, "log", "1")
	s.Do("SCRIPT FLUSH")
	second := put(t, m, "log", "2")
	if second.Previous != first.Offset || second.Epoch != first.Epoch {
		t.Errorf("%+v comes after %+v", second, first)
	}
	s.Do("DEL p:log:{log}")
	if page := read(t, m, "log", first.Offset); page.Last != second.Offset || page.First != second.Offset+1 || len(page.Entries) > 0 {
		t.Errorf("without its stream the log has %+v", page)
	}
	third := put(t, m, "log", "3")
	for _, key := range []string{"p:log:{log}", "p:log:{log}:s"} {
		if life := s.Do("TTL " + key); strings.HasPrefix(life, ":-") {
			t.Errorf("%s lives for ever: %s", key, life)
		}
	}
	if third.Previous != second.Offset || third.Epoch != first.Epoch {
		t.Errorf("without its stream the log goes on with %+v after %+v", third, second)
	}
	s.Do("DEL p:log:{log}:s")
	if page := read(t, m, "log", 0); page.Epoch != "" || len(page.Entries) > 0 {
		t.Errorf("without its state the log has %+v", page)
	}
	at, err := m.Append(t.Context(), "log", cluster.AppendOptions{Keep: keep.Keep, Above: third.Offset}, []byte("4"))
	if err != nil {
		t.Fatal(err)
	}
	fourth := at[0] // without Above it may have the number that the third got in the same millisecond
	if fourth.Previous != 0 || fourth.Epoch == first.Epoch || fourth.Offset <= third.Offset {
		t.Errorf("without its state the log begins anew with %+v after %+v", fourth, third)
	}
}

// An engine that refuses writes has done nothing, and nothing is out of order when it takes them again.
func TestFullRedisRefuses(t *testing.T) {
	s := redistest.Start(t)
	m := join(t, s.Addr(), "", newEar())
	put(t, m, "log", "1")
	s.Do("CONFIG SET maxmemory 1")
	if _, err := m.Append(t.Context(), "log", keep, []byte("2")); !errors.Is(err, cluster.ErrAway) {
		t.Errorf("a full engine: %v", err)
	}
	s.Do("CONFIG SET maxmemory 0")
	put(t, m, "log", "3")
	if p := read(t, m, "log", 0); len(p.Entries) != 2 || string(p.Entries[1].Data) != "3" {
		t.Errorf("%+v", p)
	}
}

// Two clusters on one Redis know nothing of each other, and what others write to a channel of ours is no entry.
func TestPrefixesKeepClustersApart(t *testing.T) {
	s := redistest.Start(t)
	e1, e2 := newEar(), newEar()
	m1, m2 := join(t, s.Addr(), "one", e1), join(t, s.Addr(), "two", e2)
	for _, m := range []cluster.Member{m1, m2} {
		if err := errors.Join(m.Follow(t.Context(), "log"), m.Subscribe(t.Context(), "x", "end")); err != nil {
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
	for _, channel := range []string{"two:live:log", "two:ch:x"} {
		s.Do("PUBLISH " + channel + " x")
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
	t.Parallel()
	s := redistest.Start(t)
	p := enginetest.NewProxy(t, s.Addr())
	h := &holding{ear: newEar()}
	m, err := open(t, p.Addr(), "bounded").Join(t.Context(), "a", h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
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
	p.Hold(false)
	if !m.State().Up {
		h.until(true)
	}
	put(t, m, "l", "after")
	m.Close() // waits for what is on its way
	if now := h.now.Load(); now != 0 {
		t.Errorf("%d bytes are held when all is over", now)
	}
}
