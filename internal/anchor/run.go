package anchor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamweir/weir/cluster"
)

// The ends of a feed.
var (
	errDeaf = errors.New("what it publishes to itself does not come back")
	errLost = errors.New("the connection was lost")
)

func lost(err error) error {
	if err == nil {
		return errLost
	}
	return err
}

// connect makes a feed on which all wishes are live, and has seen a message come back on it.
func (a *Anchor) connect(ctx context.Context) (Feed, error) {
	f, err := a.opts.Connect(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.live = make(map[string]bool)
	a.mu.Unlock()
	if err := a.prepare(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// prepare subscribes to all wishes and probes.
func (a *Anchor) prepare(ctx context.Context, f Feed) error {
	if err := a.reconcile(ctx, f); err != nil {
		return err
	}
	within, cancel := a.Call(ctx)
	defer cancel()
	which, err := a.probe(within, f)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for {
		select {
		case got := <-a.back:
			if got == which {
				return nil
			}
		case err := <-f.Broken():
			return lost(err)
		case <-within.Done():
			return errDeaf
		}
	}
}

// probe sends the member a message.
func (a *Anchor) probe(ctx context.Context, f Feed) (which string, err error) {
	a.probes++
	which = strconv.FormatUint(a.probes, 10)
	return which, f.Probe(ctx, which)
}

// reconcile makes live what is wished, and nothing else.
func (a *Anchor) reconcile(ctx context.Context, f Feed) error {
	for {
		more, less := a.difference()
		if len(more)+len(less) == 0 {
			return nil
		}
		within, cancel := a.Call(ctx)
		err := f.Alter(within, more, less)
		cancel()
		if err != nil {
			return fmt.Errorf("prepare its subscriptions: %w", err)
		}
		a.mu.Lock()
		for _, n := range more {
			a.live[n] = true
		}
		a.changeLocked()
		a.mu.Unlock()
	}
}

// difference is what is wished and not live, and the other way round; the latter does not count as live any more.
func (a *Anchor) difference() (more, less []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := range a.wishes {
		if !a.live[n] {
			more = append(more, n)
		}
	}
	for n := range a.live {
		if !a.wishes[n] {
			less = append(less, n)
			delete(a.live, n)
		}
	}
	return more, less
}

// use makes a feed the anchor's: it is up.
func (a *Anchor) use(f Feed) {
	a.mu.Lock()
	a.feed = f
	a.changeLocked()
	a.mu.Unlock()
	a.change(true, nil)
}

// run keeps the member connected until Close.
func (a *Anchor) run() {
	for a.life.Err() == nil {
		f := a.Feed() // only run changes it
		err := a.serve(f)
		a.mu.Lock()
		a.feed = nil
		a.changeLocked()
		a.mu.Unlock()
		f.Close()
		a.reconnect(err)
	}
	if f := a.Feed(); f != nil { // Close came while it was being made
		f.Close()
	}
}

// serve is the life of a feed; its error says what has ended it.
func (a *Anchor) serve(f Feed) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	waits, sent := "", time.Time{}
	for {
		select {
		case <-a.life.Done():
			return cluster.ErrClosed
		case err := <-f.Broken():
			return lost(err)
		case which := <-a.back:
			if which == waits {
				waits = ""
			}
		case <-a.more:
			if err := a.reconcile(a.life, f); err != nil {
				return err
			}
		case now := <-tick.C:
			if waits != "" {
				if now.Sub(sent) > probeTime {
					return errDeaf
				}
				continue
			}
			within, cancel := a.Call(a.life)
			var err error
			waits, err = a.probe(within, f)
			cancel()
			if err != nil {
				return err
			}
			sent = now
		}
	}
}

// reconnect makes a new feed, for as long as it takes; it returns without one when the member is closed.
func (a *Anchor) reconnect(err error) {
	for a.life.Err() == nil {
		f, again := a.connect(a.life)
		if again == nil {
			a.queue.Lapsed()
			a.use(f)
			return
		}
		a.change(false, fmt.Errorf("%s: %w", a.opts.Engine, errors.Join(again, err)))
		err = nil
		select {
		case <-a.life.Done():
		case <-time.After(RetryEvery):
		}
	}
}

// Wish wishes for what the engine calls by these names, and waits until all of it is live.
//
// Errors: ErrAway, ErrClosed, ctx's. But for ErrClosed the wish stands.
func (a *Anchor) Wish(ctx context.Context, names ...string) error {
	if a.life.Err() != nil {
		return cluster.ErrClosed
	}
	a.mu.Lock()
	for _, n := range names {
		a.wishes[n] = true
	}
	a.mu.Unlock()
	a.signal()
	for {
		a.mu.Lock()
		changed, state, all := a.changed, a.state, a.feed != nil
		for _, n := range names {
			all = all && a.live[n]
		}
		a.mu.Unlock()
		switch {
		case all:
			return nil
		case !state.Up:
			return Away(state.Err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.life.Done():
			return cluster.ErrClosed
		}
	}
}

// Unwish takes wishes back.
func (a *Anchor) Unwish(names ...string) {
	a.mu.Lock()
	for _, n := range names {
		delete(a.wishes, n)
	}
	a.mu.Unlock()
	a.signal()
}

func (a *Anchor) signal() {
	select {
	case a.more <- struct{}{}:
	default:
	}
}
