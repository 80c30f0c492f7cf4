package delivery

import (
	"time"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/topiclog"
)

// Concrete topics of a pattern are made by whoever names them, so there is a limit to
// them (NamespaceSpec.Names), the budget counts them, and they go again:
//
//	made ──> idle ──first lane──> in use ──last lane closed──> idle ──> forgotten
//	                                            │                 a minute later, or to make room
//	                                            └──> forgotten, if nothing was ever sent under the name
//
// Those idle stand in a list in the order in which they became so. One that is
// published to meanwhile is moved to its end when it is looked at.

// idleTopic is how long a topic of a pattern is remembered without lanes.
const idleTopic = time.Minute

// topicBytes is what the budget counts for a concrete topic, apart from its name and
// what each shard knows of it.
const (
	topicBytes      = 320
	topicShardBytes = 48
)

// Topic returns the concrete topic of that name and makes it if it is declared.
//
// Errors: ErrUnknownTopic, ErrTooManyTopics, ErrBudget; ErrOpening if its log has to be opened first, see Await.
func (n *Namespace) Topic(name string) (*Topic, error) {
	if t := n.known(name); t != nil {
		return t, nil
	}
	d := n.Declared(name)
	if d == nil {
		return nil, ErrUnknownTopic
	}
	n.live.Lock()
	defer n.live.Unlock()
	if t := n.byName[name]; t != nil {
		return t, nil
	}
	if d.Spec.Journal {
		return nil, ErrOpening
	}
	t := n.newTopic(d, name)
	if t.made {
		if err := n.admitLocked(t); err != nil {
			return nil, err
		}
		n.idle.push(t, n.hub.Now())
	}
	epoch := n.hub.newEpoch()
	t.open(n.hub.newLog(t, epoch), epoch)
	n.byName[name] = t
	return t, nil
}

func (n *Namespace) newTopic(d *Declared, name string) *Topic {
	t := &Topic{
		Name: name, Declared: d, made: isPattern(d.Spec.Name), used: n.hub.Now(),
		local: make([]topicLocal, len(n.hub.shards)), shards: make([]bool, len(n.hub.shards)),
	}
	t.heard.Store(true)
	return t
}

// known returns the concrete topic of that name if it is there.
func (n *Namespace) known(name string) *Topic {
	n.live.RLock()
	defer n.live.RUnlock()
	return n.byName[name]
}

// bytes is what the budget counts for the topic.
func (t *Topic) bytes() int64 {
	return topicBytes + int64(2*len(t.Name)+topicShardBytes*len(t.local))
}

// admitLocked makes room for one more topic of a pattern: those idle longest give way.
func (n *Namespace) admitLocked(t *Topic) error {
	for most := n.spec.Names; most > 0 && n.made >= most; {
		if !n.forgetIdlestLocked() {
			return ErrTooManyTopics
		}
	}
	for tries := 0; !n.hub.budget.Claim(budget.Topics, t.bytes()); tries++ {
		if tries == sweepSlice || !n.forgetIdlestLocked() {
			return ErrBudget // what is held is held by others, or the next one finds more room
		}
	}
	n.made++
	return nil
}

// forgetIdlestLocked forgets the topic that has been idle longest; false: none is.
func (n *Namespace) forgetIdlestLocked() bool {
	for t := n.idle.first; t != nil; t = n.idle.first {
		n.idle.remove(t)
		if n.forgetLocked(t, func() bool { return true }) {
			return true
		}
	}
	return false
}

// forgetLocked forgets a topic that nobody uses, if may, which is called with the
// topic's lock held, says so.
func (n *Namespace) forgetLocked(t *Topic, may func() bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || n.hub.opts.Log != nil || t.lanes.Load() > 0 || t.hasSubscribers() || len(t.pending) > 0 || t.hearing != nil || !may() || !n.closeLogLocked(t) {
		return false
	}
	n.hub.taken(t)
	t.dead = true
	t.dropKeptLocked()
	if m, ok := t.log.(*topiclog.Memory); ok {
		m.Close() // which waits for nothing
	}
	n.idle.remove(t)
	delete(n.byName, t.Name)
	delete(n.hearers, t)
	n.dismissLocked(t)
	return true
}

// opened counts a lane of a topic.
func (n *Namespace) opened(t *Topic) {
	if t.lanes.Add(1) > 1 || !t.made {
		return
	}
	n.live.Lock()
	defer n.live.Unlock()
	if t.lanes.Load() > 0 {
		n.idle.remove(t)
	}
}

// closed counts a lane less. A topic without lanes is forgotten at once if nothing was
// sent under its name, and idle otherwise.
func (n *Namespace) closed(t *Topic) {
	if t.lanes.Add(-1) > 0 || !t.made {
		return
	}
	n.live.Lock()
	defer n.live.Unlock()
	if n.byName[t.Name] != t || t.lanes.Load() > 0 || n.forgetLocked(t, t.untouchedLocked) {
		return
	}
	n.idle.push(t, n.hub.Now())
}

// sweep forgets topics that have been idle for long, and looks at no more than most.
// It reports whether there may be more of them.
func (n *Namespace) sweep(now int64, most int) (more bool) {
	if len(n.patterns) == 0 {
		return false
	}
	n.live.Lock()
	defer n.live.Unlock()
	for ; most > 0; most-- {
		t := n.idle.first
		if t == nil || now-t.since <= int64(idleTopic) {
			return false // nor has any behind it been idle for long
		}
		n.idle.remove(t)
		if !n.forgetLocked(t, func() bool { return now-t.used > int64(idleTopic) }) && t.lanes.Load() == 0 {
			n.idle.push(t, now)
		}
	}
	return n.idle.first != nil
}

// idleTopics is a list of topics in the order in which they became idle; its user
// holds Namespace.live.
type idleTopics struct{ first, last *Topic }

// push appends a topic that is idle now, unless it is in.
func (q *idleTopics) push(t *Topic, now int64) {
	if t.prev != nil || q.first == t {
		return
	}
	if t.prev = q.last; t.prev == nil {
		q.first = t
	} else {
		t.prev.next = t
	}
	q.last, t.since = t, now
}

// remove takes a topic out, if it is in.
func (q *idleTopics) remove(t *Topic) {
	if t.prev == nil && q.first != t {
		return
	}
	if t.prev == nil {
		q.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		q.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}
