package delivery

import (
	"fmt"
	"unsafe"

	"github.com/streamweir/weir/internal/delivery/inbox"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/topiclog"
)

// Idle reports whether the shard has nothing to flush and nothing in its inbox.
// Loop only.
func (sh *Shard) Idle() bool {
	tasks, jobs := sh.in.Depth()
	return sh.firstDirty == nil && tasks == 0 && jobs == 0
}

// Account adds up what the shard holds, whenever it last did. Loop only.
func (sh *Shard) Account() { sh.account() }

// TimersArmed is how many timers the shard's wheel holds. Loop only.
func (sh *Shard) TimersArmed() int { return sh.wheel.Len() }

// Residue lists what the shard still knows of clients: nothing, once all of them
// have left. Loop only.
func (sh *Shard) Residue() (left []string) {
	note := func(n int, what string) {
		if n > 0 {
			left = append(left, fmt.Sprintf("shard %d: %d %s", sh.index, n, what))
		}
	}
	note(len(sh.conns), "connections")
	note(len(sh.doomed), "doomed connections")
	for _, n := range sh.hub.namespaces.All() {
		m := n.on(sh)
		note(m.Len(), "sockets in "+n.Path)
		note(m.Principals(), "principals in "+n.Path)
		note(m.Rooms(), "rooms in "+n.Path)
		n.live.RLock()
		for name, t := range n.byName {
			note(len(t.local[sh.index].members), "members of "+name)
			t.mu.Lock()
			if t.shards[sh.index] {
				note(1, "mark in the mask of "+name)
			}
			t.mu.Unlock()
		}
		n.live.RUnlock()
	}
	return left
}

// InboxRoom is the room for publications in one inbox, and JobOverhead what each
// costs besides its bytes.
const (
	InboxRoom   = inbox.Room
	JobOverhead = inbox.JobOverhead
)

// Live is how many concrete topics the namespace remembers.
func (n *Namespace) Live() int {
	n.live.RLock()
	defer n.live.RUnlock()
	return len(n.byName)
}

// Sweep forgets unused topics as of the hub's clock, as many as a step of a loop does.
func (n *Namespace) Sweep() { n.sweep(n.hub.Now(), sweepSlice) }

// MaxEmitLanes is how many lanes of a socket emits may make.
const MaxEmitLanes = maxEmitLanes

// CutMost is how many cut clients are remembered, and SurveySlice how many
// connections one step of a survey looks at.
const (
	CutMost     = survey.CutMost
	SurveySlice = survey.Slice
)

// The sizes of what an idle connection holds, in bytes.
const (
	ConnSize      = unsafe.Sizeof(Conn{})
	SocketSize    = unsafe.Sizeof(Socket{})
	TopicLaneSize = unsafe.Sizeof(outLane{})
)

// Pace makes the shard deliver so little in one step and in one turn. Loop only.
func (sh *Shard) Pace(step, turn int) { sh.pace = pace{step, turn} }

// Delayed is how many lanes of the topic wait for its flush delay on a shard. Loop only.
func (d *Declared) Delayed(sh *Shard) int { return d.delay(sh).Len() }

// EventsLane reports whether the socket holds an events lane, and RestingLanes how
// many the shard keeps for reuse. Loop only.
func (s *Socket) EventsLane() bool { return s.events != nil }

// RestingLanes is how many events lanes the shard keeps for reuse. Loop only.
func (sh *Shard) RestingLanes() int { return sh.shelf.Len() }

// Lanes is how many topic lanes the socket has. Loop only.
func (s *Socket) Lanes() int { return len(s.lanes) }

// Spare is how many bytes all shards keep for reuse.
func (h *Hub) Spare() int64 { return h.spare() }

// LastOf is the position of the newest message of a topic, or with "" of the namespace's plain events.
func (n *Namespace) LastOf(topic string) topiclog.Position {
	s := &n.sequencer
	if topic != "" {
		s = &n.known(topic).sequencer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// LogOf is a topic's log.
func (n *Namespace) LogOf(topic string) topiclog.Log { return n.known(topic).log }

// Began is how many of the socket's lanes are not past the cursors they began at. Loop only.
func (s *Socket) Began() int {
	if s.ties == nil {
		return 0
	}
	return len(s.ties.began)
}

// Forget forgets a topic that nobody uses, without waiting for a minute to pass.
func (n *Namespace) Forget(name string) {
	n.live.Lock()
	defer n.live.Unlock()
	n.forgetLocked(n.byName[name], func() bool { return true })
}

// LaneBytes is how many bytes the socket's lane of a topic holds. Loop only.
func (s *Socket) LaneBytes(topic string) int { return s.subscription(topic).Bytes() }

// MaxReads is how many reads of logs for lanes that are behind are under way at a time of one log, and Reads how many wait or are.
const MaxReads = maxReads

// Reads is explained there.
func (h *Hub) Reads() int { return h.reads.Waiting() }

// Epoch is that of the topic's log.
func (t *Topic) Epoch() string { return t.numbering() }

// Crawl has the shard deliver a few messages a step, so that what is done to sockets comes between. Loop only.
func (sh *Shard) Crawl() { sh.pace.step, sh.pace.turn = 3, 2 }

// What a shard keeps of what was read back, and its bounds.
const (
	MaxStretches    = maxStretches
	MaxStretchBytes = maxStretchBytes
	AheadRecords    = aheadRecords
)

// Kept is what a shard keeps of what was read back, and what errands under way may bring.
type Kept struct{ Stretches, Bytes, Unread, Asked, Errands int }

// Kept is that of the shard. Loop only.
func (sh *Shard) Kept() Kept {
	s := &sh.stretches
	return Kept{len(s.list), s.bytes, s.unread, s.asked, len(sh.errands)}
}
