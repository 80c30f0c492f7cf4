package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/topiclog"
)

// A log on disk is opened, and closed, with a wait: what it has is read first. No loop and no lock waits for that
// (docs/adr/0024-spill.md). Meanwhile the topic is not there; who wants it waits for the opening.
//
//	named ──> opening ──> there ──idle, forgotten──> opening, until its log is closed ──> not there
//
// A topic that comes back has the epoch and the offsets that its log had.

// ErrOpening says that a topic's log is not open yet: Namespace.Await waits for it. Loops may not, and are told.
var ErrOpening = fmt.Errorf("%w: the topic's log is being opened", ErrBusy)

// ErrLog says that a topic's log could not be opened, or does not take a publication.
var ErrLog = errors.New("the topic's log takes nothing")

// opening is a topic whose log is being opened or closed.
type opening struct {
	done chan struct{} // closed when that is over
	err  error         // known then
}

// maxOpening is how many logs are opened at the same time: each reads its files.
const maxOpening = 4

// background is goroutines that the hub waits for at its end.
type background struct {
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// run starts f on a goroutine; false once the end has come.
func (b *background) run(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.running.Go(f)
	return true
}

func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.running.Wait()
}

// Await is Topic for whoever may wait: until the topic's log is open, or ctx ends. No loop may call it.
//
// Errors: besides those of Topic ErrLog, ErrClosed; ErrBusy when ctx ends.
func (n *Namespace) Await(ctx context.Context, name string) (*Topic, error) {
	for {
		t, err := n.Topic(name)
		if !errors.Is(err, ErrOpening) {
			return t, err
		}
		o, err := n.beginOpening(name)
		switch {
		case err != nil:
			return nil, err
		case o == nil:
			continue // it is there, or gone again
		}
		if err := n.hub.awaitOpening(ctx, o); err != nil {
			return nil, err
		}
	}
}

// awaitOpening waits for the end of an opening, or of a hearing, and returns how it ended: ErrOpening if ctx ended first.
func (h *Hub) awaitOpening(ctx context.Context, o *opening) error {
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ErrOpening
	case <-h.done:
		return ErrClosed
	}
}

// Ready reports whether a topic of that name can be subscribed to at once. Any goroutine may call it.
func (n *Namespace) Ready(name string) bool {
	d := n.Declared(name)
	if d == nil || !d.Spec.Journal {
		return true
	}
	t := n.known(name)
	return t != nil && t.hears()
}

// OpenLogs opens the logs of the topics that are declared by name. Its error names all that could not be opened.
func (n *Namespace) OpenLogs(ctx context.Context) error {
	var errs []error
	for _, d := range n.all {
		if !d.Spec.Journal || isPattern(d.Spec.Name) {
			continue
		}
		if _, err := n.Await(ctx, d.Spec.Name); err != nil {
			errs = append(errs, fmt.Errorf("topic %q of %s: %w", d.Spec.Name, n.Path, err))
		}
	}
	return errors.Join(errs...)
}

// OpenLogs is that of all namespaces.
func (h *Hub) OpenLogs(ctx context.Context) error {
	var errs []error
	for _, n := range h.namespaces.All() {
		errs = append(errs, n.OpenLogs(ctx))
	}
	return errors.Join(errs...)
}

// beginOpening begins to open a topic's log, unless somebody does already. It is nil if the topic is there.
func (n *Namespace) beginOpening(name string) (*opening, error) {
	d := n.Declared(name)
	n.live.Lock()
	defer n.live.Unlock()
	if n.byName[name] != nil {
		return nil, nil //nolint:nilnil // both are said in the comment
	}
	if o := n.openings[name]; o != nil {
		return o, nil
	}
	t := n.newTopic(d, name)
	if t.made {
		if err := n.admitLocked(t); err != nil {
			return nil, err
		}
	}
	o := n.openingLocked(name)
	if !n.hub.background.run(func() { n.openLog(t, o) }) {
		delete(n.openings, name)
		n.dismissLocked(t)
		return nil, ErrClosed
	}
	return o, nil
}

func (n *Namespace) openingLocked(name string) *opening {
	if n.openings == nil {
		n.openings = make(map[string]*opening)
	}
	o := &opening{done: make(chan struct{})}
	n.openings[name] = o
	return o
}

// dismissLocked gives back what admitLocked has taken for a topic.
func (n *Namespace) dismissLocked(t *Topic) {
	if t.made {
		n.made--
		n.hub.budget.Hold(budget.Topics, -t.bytes())
	}
}

// openLog opens the log of a topic that nobody knows yet, and puts it among those known.
func (n *Namespace) openLog(t *Topic, o *opening) {
	h := n.hub
	defer close(o.done)
	select {
	case h.opens <- struct{}{}:
		defer func() { <-h.opens }()
	case <-h.done:
	}
	log, err := h.opts.Open(t.Declared, t.Name, t.deliver)
	n.live.Lock()
	defer n.live.Unlock()
	delete(n.openings, t.Name)
	if err != nil {
		n.dismissLocked(t)
		o.err = fmt.Errorf("%w: %w", ErrLog, err)
		return
	}
	t.open(log, "")
	n.byName[t.Name] = t
	if _, follows := log.(topiclog.Follower); follows {
		t.heard.Store(false)
		if t.mustHear() {
			h.background.run(func() { n.runHear(t) })
		}
	}
	if t.made {
		n.idle.push(t, h.Now())
	}
}

// closeLogLocked closes the log of a topic that is forgotten; who names the topic again waits for that. It reports false, and has
// done nothing, when the hub is at its end.
func (n *Namespace) closeLogLocked(t *Topic) bool {
	if t.log == nil || !t.Declared.Spec.Journal {
		return true
	}
	o := n.openingLocked(t.Name)
	if !n.hub.background.run(func() { n.closeLog(t, o) }) {
		delete(n.openings, t.Name)
		return false
	}
	return true
}

func (n *Namespace) closeLog(t *Topic, o *opening) {
	t.log.Close()
	n.live.Lock()
	defer n.live.Unlock()
	delete(n.openings, t.Name)
	close(o.done)
}
