package anchor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is one whose feeds are made, and die, as the test wants.
type engine struct {
	mu     sync.Mutex
	anchor *anchor.Anchor
	away   error
	deaf   bool
	feeds  []*feed
}

func (e *engine) connect(context.Context) (anchor.Feed, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away != nil {
		return nil, e.away
	}
	f := &feed{engine: e, broken: make(chan error, 1), names: make(map[string]bool)}
	e.feeds = append(e.feeds, f)
	return f, nil
}

func (e *engine) set(away error, deaf bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away, e.deaf = away, deaf
}

// open is the feed that is not closed, which must be the only one, and what it is subscribed to.
func (e *engine) open(t *testing.T) (*feed, []string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*feed
	for _, f := range e.feeds {
		if !f.closed {
			all = append(all, f)
		}
	}
	if len(all) != 1 {
		t.Fatalf("%d feeds are open", len(all))
	}
	var names []string
	for n := range all[0].names {
		names = append(names, n)
	}
	slices.Sort(names)
	return all[0], names
}

type feed struct {
	*engine
	broken chan error
	names  map[string]bool
	closed bool
}

func (f *feed) Alter(_ context.Context, more, less []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range more {
		f.names[n] = true
	}
	for _, n := range less {
		delete(f.names, n)
	}
	return f.away
}

func (f *feed) Probe(_ context.Context, which string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names["own"] && !f.deaf {
		f.anchor.Back(which)
	}
	return f.away
}

func (f *feed) Broken() <-chan error { return f.broken }

func (f *feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// ear counts.
type ear struct {
	mu     sync.Mutex
	calls  []string
	states []cluster.State
}

func (e *ear) note(call string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call)
}

func (e *ear) Message(string, []byte)          { e.note("message") }
func (e *ear) Entries(string, []cluster.Entry) { e.note("entries") }
func (e *ear) Lapsed()                         { e.note("lapsed") }

func (e *ear) Changed(s cluster.State) {
	e.note(map[bool]string{true: "up", false: "down"}[s.Up])
	e.states = append(e.states, s)
}

func (e *ear) heard(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.calls, want) {
		t.Errorf("the listener heard %q, want %q", e.calls, want)
	}
	e.calls = nil
}

func start(t *testing.T) (*engine, *ear, *anchor.Anchor) {
	t.Helper()
	e, l := &engine{}, &ear{}
	e.anchor = anchor.New(anchor.Options{Engine: "an engine", Own: "own", Listener: l, Connect: e.connect})
	t.Cleanup(e.anchor.Close)
	if err := e.anchor.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e, l, e.anchor
}

// A wish holds over the death of feeds, a noisy one and a silent one; the listener is told when all wishes are fulfilled again.
func TestWishesOutliveTheirFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l, a := start(t)
		if err := a.Wish(t.Context(), "x", "y"); err != nil {
			t.Fatal(err)
		}
		a.Unwish("y", "never")
		synctest.Wait()
		f, names := e.open(t)
		if !slices.Equal(names, []string{"own", "x"}) {
			t.Errorf("subscribed to %q", names)
		}
		l.heard(t)
		f.broken <- nil
		synctest.Wait()
		if _, names := e.open(t); !slices.Equal(names, []string{"own", "x"}) {
			t.Errorf("after a break subscribed to %q", names)
		}
		l.heard(t, "lapsed")
		e.set(nil, true)
		time.Sleep(20 * time.Second)
		if s := a.State(); s.Up || s.Err == nil {
			t.Errorf("of what is deaf the state is %+v", s)
		}
		if err := a.Wish(t.Context(), "z"); !errors.Is(err, cluster.ErrAway) {
			t.Errorf("a wish without an engine: %v", err)
		}
		l.heard(t, "down")
		e.set(nil, false)
		time.Sleep(20 * time.Second)
		if _, names := e.open(t); !slices.Equal(names, []string{"own", "x", "z"}) {
			t.Errorf("when it hears again it is subscribed to %q", names)
		}
		l.heard(t, "lapsed", "up")
	})
}

// Calls know whether there is an engine, and what ends them.
func TestCallsAreRefusedWithoutAnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, a := start(t)
		gone := errors.New("gone")
		e.set(gone, false)
		f, _ := e.open(t)
		f.broken <- nil
		synctest.Wait()
		if err := a.Ready(t.Context()); !errors.Is(err, cluster.ErrAway) || !errors.Is(err, gone) {
			t.Errorf("without an engine: %v", err)
		}
		var all []func()
		for range 2 {
			leave, err := a.Enter(t.Context(), 16<<20-512)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, leave)
		}
		if _, err := a.Enter(t.Context(), 1); !errors.Is(err, cluster.ErrAway) {
			t.Errorf("with more on its way than may be: %v", err)
		}
		for _, leave := range all {
			leave()
		}
		if leave, err := a.Enter(t.Context(), 1<<40); err != nil {
			t.Errorf("what is larger than all is not let in alone: %v", err)
		} else {
			leave()
		}
		a.Close()
		if err := a.Ready(t.Context()); !errors.Is(err, cluster.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := a.Failed(t.Context(), gone, true); !errors.Is(err, cluster.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// An engine that is not there ends a start when its context ends.
func TestStartWaitsForTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{away: errors.New("refused")}
		a := anchor.New(anchor.Options{Engine: "an engine", Own: "own", Listener: &ear{}, Connect: e.connect})
		e.anchor = a
		defer a.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Start(ctx); !errors.Is(err, cluster.ErrAway) || !errors.Is(err, e.away) {
			t.Errorf("%v", err)
		}
		go func() {
			time.Sleep(time.Minute)
			e.set(nil, false)
		}()
		if err := a.Start(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// waiter is an ear that is told why its start waits.
type waiter struct {
	ear
	why []string
}

func (w *waiter) Waiting(why error) { w.why = append(w.why, why.Error()) }

// Who starts is told after each attempt why it has failed, and not that its own patience is over.
func TestStartSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, left := &waiter{}, []string{"refused", "no quorum"}
		ctx, cancel := context.WithCancel(t.Context())
		a := anchor.New(anchor.Options{Engine: "an engine", Own: "own", Listener: w, Connect: func(ctx context.Context) (anchor.Feed, error) {
			if len(left) == 0 {
				cancel()
				return nil, ctx.Err()
			}
			err := errors.New(left[0])
			left = left[1:]
			return nil, err
		}})
		defer a.Close()
		if err := a.Start(ctx); err == nil || !strings.Contains(err.Error(), "no quorum") {
			t.Errorf("%v", err)
		}
		if got := strings.Join(w.why, ", "); got != "refused, no quorum" {
			t.Errorf("it was told %s", got)
		}
	})
}

// TestWhoGivesUpSaysWhetherItMayHaveBeenDone: an append that may have been executed is undecided, whatever ended it, and never
// refused.
func TestWhoGivesUpSaysWhetherItMayHaveBeenDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := anchor.New(anchor.Options{Listener: &ear{}, Own: "own"})
		ended, end := context.WithCancel(t.Context())
		end()
		says := func(ctx context.Context, why error) {
			t.Helper()
			tried, untried := a.Again(ctx, time.Hour, true), a.Again(ctx, time.Hour, false)
			if !errors.Is(tried, cluster.ErrUndecided) || errors.Is(tried, cluster.ErrAway) || !errors.Is(tried, why) {
				t.Errorf("tried: %v", tried)
			}
			if !errors.Is(untried, cluster.ErrAway) || errors.Is(untried, cluster.ErrUndecided) || !errors.Is(untried, why) {
				t.Errorf("not tried: %v", untried)
			}
		}
		if err := a.Again(t.Context(), time.Hour, true); err != nil {
			t.Errorf("after the pause: %v", err)
		}
		says(ended, context.Canceled)
		a.Close()
		says(t.Context(), cluster.ErrClosed)
	})
}
