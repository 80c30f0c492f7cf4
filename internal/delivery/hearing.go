package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
)

// A topic whose log comes from elsewhere (topiclog.Follower) hears what others publish only while somebody here needs it: who
// subscribes, asks for history or observes waits until it does, off the loops, as for a log that is opened. Whatever is published
// here has its place either way.
//
//	deaf ──Hear──> hearing ──> hears ──a minute without subscribers and observers──> deaf
//
// A topic that keeps its newest values for who subscribes later always hears.

// hearersSlice is how many topics a sweep looks at for whether anybody needs to hear them.
const hearersSlice = 128

// followTime is how long a log may take until it is followed.
const followTime = 5 * time.Second

// hears reports whether what others publish to the topic is delivered here, or nobody else can. Any goroutine may call it.
func (t *Topic) hears() bool { return t.heard.Load() }

// Hear is Await for who needs what is published from now on. No loop may call it.
//
// Errors: those of Await.
func (n *Namespace) Hear(ctx context.Context, name string) (*Topic, error) {
	for {
		t, err := n.Await(ctx, name)
		if err != nil || t.hears() {
			return t, err
		}
		o := n.beginHearing(t)
		if o == nil {
			continue // it hears now, or is gone
		}
		if err := n.hub.awaitOpening(ctx, o); err != nil {
			return nil, err
		}
	}
}

// beginHearing begins to follow a topic's log, unless somebody does already. It is nil if there is nothing to begin.
func (n *Namespace) beginHearing(t *Topic) *opening {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || t.hears() {
		return nil
	}
	if t.hearing != nil {
		return t.hearing
	}
	o := &opening{done: make(chan struct{})}
	if !n.hub.background.run(func() { n.hear(t, o) }) {
		o.err = ErrClosed
		close(o.done)
		return o
	}
	t.hearing = o
	return o
}

// hear follows the log of a topic, which is not forgotten meanwhile.
func (n *Namespace) hear(t *Topic, o *opening) {
	defer close(o.done)
	ctx, cancel := context.WithTimeout(n.hub.life, followTime)
	defer cancel()
	log := t.follower()
	err := log.Follow(ctx)
	if err != nil {
		log.Unfollow()
	}
	t.mu.Lock()
	t.hearing = nil
	if err == nil {
		t.heard.Store(true)
		t.needed = n.hub.Now()
	}
	t.mu.Unlock()
	if err != nil {
		if o.err = fmt.Errorf("%w: %w", ErrLog, err); errors.Is(err, topiclog.ErrClosed) {
			o.err = ErrClosed
		}
		return
	}
	n.live.Lock()
	defer n.live.Unlock()
	if n.byName[t.Name] == t {
		if n.hearers == nil {
			n.hearers = make(map[*Topic]struct{})
		}
		n.hearers[t] = struct{}{}
	}
}

// follower is the log of a topic that does not always hear.
func (t *Topic) follower() topiclog.Follower { return t.log.(topiclog.Follower) }

// mustHear reports whether a topic hears whether anybody subscribes or not.
func (t *Topic) mustHear() bool {
	return t.Declared.Spec.Snapshot || t.Declared.Namespace.hub.taps.any.Load()
}

// deafen ends the hearing of topics that nobody has needed for long, and looks at no more than most.
func (n *Namespace) deafen(now int64, most int) {
	n.live.Lock()
	defer n.live.Unlock()
	for t := range n.hearers {
		if most--; most < 0 {
			return
		}
		if t.unhear(now) {
			delete(n.hearers, t)
		}
	}
}

// unhear ends the hearing of a topic if nobody needs it.
func (t *Topic) unhear(now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hasSubscribers() || t.kept != nil || t.mustHear() {
		t.needed = now
		return false
	}
	if now-t.needed <= int64(idleTopic) {
		return false
	}
	t.heard.Store(false)
	t.follower().Unfollow()
	return true
}

// runHear has a topic hear that has to, for as long as that takes. It ends then, with the topic, or with the hub.
func (n *Namespace) runHear(t *Topic) {
	for n.known(t.Name) == t {
		if _, err := n.Hear(n.hub.life, t.Name); err == nil || errors.Is(err, ErrClosed) {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-n.hub.done:
			return
		}
	}
}

// runHearAll has all topics hear that an observer looks at, as far as they are open, and ends then: what cannot be heard is not
// seen.
func (h *Hub) runHearAll(namespace, topic string) {
	n := h.Namespace(namespace)
	if n == nil {
		return
	}
	for _, t := range n.deafOnes() {
		if topic == "" || t.Name == topic || t.Declared.Spec.Name == topic {
			_, _ = n.Hear(h.life, t.Name)
		}
	}
}

// deafOnes are the topics that do not hear.
func (n *Namespace) deafOnes() (list []*Topic) {
	n.live.RLock()
	defer n.live.RUnlock()
	for _, t := range n.byName {
		if !t.hears() {
			list = append(list, t)
		}
	}
	return list
}
