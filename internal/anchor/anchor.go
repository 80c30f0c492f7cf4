package anchor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/streamweir/weir/cluster"
)

// How a member is connected, and how soon it notices that it is not.
const (
	CallTime   = 2 * time.Second        // of one command
	RetryEvery = 100 * time.Millisecond // how often an engine that is away is tried

	probeEvery = time.Second     // how often a member sends itself a message
	probeTime  = 2 * time.Second // how long that may take
)

// What is on its way to the engine at most, in bytes, and what a command counts beside its data.
const (
	maxOutgoing  = 32 << 20
	commandBytes = 512
)

// Feed is one connection with subscriptions, of which there are none at first. The anchor calls one method at a time.
type Feed interface {
	// Alter subscribes and unsubscribes, and returns when the engine has done it.
	Alter(ctx context.Context, more, less []string) error

	// Probe has the engine send a message to this feed: when it comes, Anchor.Back is to be called with which. An engine that
	// does not serve fails it.
	Probe(ctx context.Context, which string) error

	// Broken gives a value, or is closed, when the connection is lost.
	Broken() <-chan error

	// Close ends it; when it has returned nothing comes any more.
	Close()
}

// Options say whose anchor it is. All are required.
type Options struct {
	Engine   string // what it is called in errors, with its address: nothing secret
	Own      string // where probes go, as the engine calls it: a wish that nobody takes back
	Listener cluster.Listener
	Connect  func(ctx context.Context) (Feed, error)
}

// Anchor is the part of a cluster.Member that is the same for all engines. Any goroutine may call any method.
type Anchor struct {
	opts   Options
	queue  *cluster.Queue
	holder cluster.Holder
	room   *semaphore.Weighted // for what is on its way to the engine

	back   chan string // probes that have come back
	probes uint64      // of run, and of Start before it

	running sync.WaitGroup
	life    context.Context // ends with Close
	end     context.CancelFunc
	more    chan struct{} // has room for one: wishes have changed

	mu      sync.Mutex
	wishes  map[string]bool
	feed    Feed            // nil: there is none that lives
	live    map[string]bool // what the feed is subscribed to
	state   cluster.State
	changed chan struct{} // closed when any of these has changed
}

// New returns an anchor that is not connected. It has to be closed.
func New(o Options) *Anchor {
	a := &Anchor{
		opts: o, queue: cluster.NewQueue(o.Listener), holder: cluster.HolderOf(o.Listener), room: semaphore.NewWeighted(maxOutgoing),
		back: make(chan string, 4), more: make(chan struct{}, 1), wishes: map[string]bool{o.Own: true}, changed: make(chan struct{}),
	}
	a.life, a.end = context.WithCancel(context.Background())
	return a
}

// Start connects, again and again until it has succeeded or ctx ends; then with ErrAway, and the anchor is of no use.
func (a *Anchor) Start(ctx context.Context) error {
	var why error
	for {
		f, err := a.connect(ctx)
		if err == nil {
			a.use(f)
			a.running.Go(a.run)
			return nil
		}
		if why == nil || ctx.Err() == nil { // the last attempt fails because ctx has ended
			why = err
			if w, ok := a.opts.Listener.(cluster.Waiter); ok {
				w.Waiting(err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", a.opts.Engine, cluster.ErrAway, why)
		case <-time.After(RetryEvery):
		}
	}
}

// Close ends it: nothing is told any more when it has returned. It may be called twice.
func (a *Anchor) Close() {
	a.end()
	a.running.Wait()
	a.queue.Close()
}

// Queue is where to put what comes on the feed.
func (a *Anchor) Queue() *cluster.Queue { return a.queue }

// Holder counts what is held for the member.
func (a *Anchor) Holder() cluster.Holder { return a.holder }

// Life ends with Close.
func (a *Anchor) Life() context.Context { return a.life }

// Feed is the one that lives, or nil.
func (a *Anchor) Feed() Feed {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.feed
}

// State implements that of cluster.Member.
func (a *Anchor) State() cluster.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// Back says that a probe has come back.
func (a *Anchor) Back(which string) {
	select {
	case a.back <- which:
	default: // run is behind: it will miss this one and try again
	}
}

// changeLocked wakes who waits for a change.
func (a *Anchor) changeLocked() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// change changes the state, unless it is that already.
func (a *Anchor) change(up bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.Up == up && !a.state.Since.IsZero() {
		return
	}
	first := a.state.Since.IsZero()
	a.state = cluster.State{Up: up, Since: time.Now(), Err: err}
	if !first {
		a.queue.Changed(a.state)
	}
	a.changeLocked()
}

// Ready fails where no call can succeed: with ErrClosed or ErrAway.
func (a *Anchor) Ready(ctx context.Context) error {
	if a.life.Err() != nil {
		return cluster.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return Away(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.state.Up {
		return Away(a.state.Err)
	}
	return nil
}

// Away is the ErrAway for a cause.
func Away(err error) error { return fmt.Errorf("%w: %w", cluster.ErrAway, err) }

// Again waits until another attempt of an append makes sense, for as long as pause; where there will be none it says why: that
// nobody knows whether it was done, if an attempt was tried that may have been executed, else that the engine is away.
func (a *Anchor) Again(ctx context.Context, pause time.Duration, tried bool) (why error) {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		why = ctx.Err()
	case <-a.life.Done():
		why = cluster.ErrClosed
	}
	if tried {
		return fmt.Errorf("%w: %w", cluster.ErrUndecided, why)
	}
	return Away(why)
}

// Failed is the error of a member's call whose command has failed; refused says that it was certainly not executed.
func (a *Anchor) Failed(ctx context.Context, err error, refused bool) error {
	switch {
	case err == nil:
		return nil
	case a.life.Err() != nil:
		return cluster.ErrClosed
	case refused:
		return Away(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", a.opts.Engine, err)
}

// Call is the context of one command.
func (a *Anchor) Call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, CallTime)
	stop := context.AfterFunc(a.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Enter waits for room on the way to the engine, and counts what is held there until leave is called. Of what is larger
// than all of it one is on its way at a time.
//
// Errors: ErrAway and ErrClosed, and nothing was done.
func (a *Anchor) Enter(ctx context.Context, bytes int) (leave func(), err error) {
	held, err := a.Board(ctx, bytes)
	if err != nil {
		return nil, err
	}
	return func() { a.Leave(held) }, nil
}

// Board is Enter for what leaves together with others: held of all of them is to be given to Leave.
func (a *Anchor) Board(ctx context.Context, bytes int) (held int, err error) {
	held = min(bytes+commandBytes, maxOutgoing)
	if !a.room.TryAcquire(int64(held)) {
		within, cancel := a.Call(ctx)
		defer cancel()
		if err := a.room.Acquire(within, int64(held)); err != nil {
			if a.life.Err() != nil {
				return 0, cluster.ErrClosed
			}
			return 0, Away(errCrowded)
		}
	}
	a.holder.Hold(held)
	return held, nil
}

// Leave gives back what Board has counted.
func (a *Anchor) Leave(held int) {
	a.holder.Hold(-held)
	a.room.Release(int64(held))
}

// errCrowded says that the engine takes too little.
var errCrowded = errors.New("what is on its way to the engine already has not been taken in time")
