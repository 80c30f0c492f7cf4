package delivery

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/linger"
	"github.com/streamweir/weir/internal/kept"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/topiclog"
)

// TopicSpec declares a topic, or all topics whose names begin with a prefix if
// Name ends in "*".
type TopicSpec struct {
	Name   string
	Policy lane.Policy
	Shape  base.Shape
	Key    func(payload []byte) string // coalescing key of a JSON payload; nil = none
	TTL    time.Duration               // 0 = no limit

	// FlushDelay is how long a message may wait for others to be written with; 0 = it is written at once.
	FlushDelay time.Duration

	// Keep bounds what is kept for who subscribes later: with Snapshot always, else from
	// when it is first asked for. Keys 0 = nothing.
	Keep     kept.Limits
	Snapshot bool

	// Memory bounds what the topic's log remembers; the zero Limits = nothing. See Options.Log.
	Memory topiclog.Limits

	// Journal says that the topic has a log that Options.Open opens, and Retention what that keeps.
	Journal   bool
	Retention topiclog.Limits
}

// Declared is a declared topic or pattern of one namespace.
type Declared struct {
	Spec      TopicSpec
	Namespace *Namespace
	Published atomic.Uint64           // publications accepted
	Refused   [Refusals]atomic.Uint64 // publications nobody got, by reason
	present   atomic.Int64            // subscriptions
	kept      keptFigures
	heavy     atomic.Bool              // holds most of an exhausted memory budget: new publications are refused
	weight    atomic.Int64             // what it held at most while it was heavy, in bytes
	classes   []*lane.Class            // by shard
	latency   []*latencies             // by shard
	delays    []*linger.Line[*outLane] // by shard, see delay; nil: no flush delay
}

// Refusal is why a publication was refused, for weir_publish_refused_total.
type Refusal int

// The refusals.
const (
	RefusedBusy Refusal = iota
	RefusedBudget
	RefusedTooLarge
	RefusedClosed
	RefusedLog

	Refusals = int(RefusedLog) + 1
)

func (r Refusal) String() string {
	return [Refusals]string{"busy", "memory_budget", "too_large", "draining", "journal"}[r]
}

// refuse counts a publication nobody got.
func (d *Declared) refuse(err error) {
	r := RefusedBusy
	switch {
	case errors.Is(err, ErrBudget):
		r = RefusedBudget
	case errors.Is(err, ErrTooLarge):
		r = RefusedTooLarge
	case errors.Is(err, ErrClosed):
		r = RefusedClosed
	case errors.Is(err, ErrLog):
		r = RefusedLog
	}
	d.Refused[r].Add(1)
}

// AllRefused is how many publications were refused, whatever the reason.
func (d *Declared) AllRefused() (n uint64) {
	for r := range d.Refused {
		n += d.Refused[r].Load()
	}
	return n
}

// form is that of first deliveries, in the first dialect.
func (d *Declared) form(s base.Shape) base.Form {
	if s == base.ShapeEnvelope {
		return base.Envelope
	}
	return base.Plain
}

// Reliable reports whether the topic is AT_LEAST_ONCE.
func (d *Declared) Reliable() bool { return d.Spec.Policy.Mode == base.AtLeastOnce }

// Totals adds up the books of all shards.
func (d *Declared) Totals() Totals {
	var t Totals
	for _, c := range d.classes {
		t.add(c)
	}
	return t
}

// Topic is one concrete topic: its sequencer and the shards that have
// subscribers (architecture.md D3).
type Topic struct {
	Name     string
	Declared *Declared
	local    []topicLocal // by shard, each touched by that shard only

	made        bool        // from a pattern: forgotten when nobody uses it
	scattered   atomic.Bool // most of its log is for one client each, and lanes that are behind read it one by one
	subscribers atomic.Int64
	lanes       atomic.Int64 // of sockets, subscribed or reached by emits

	sequencer // its epoch is new when the topic was forgotten, or the process restarted. mu guards what follows too:

	shards  []bool // which shards have subscribers
	dead    bool   // forgotten: look it up again
	used    int64
	kept    *kept.Values                 // for who subscribes later; nil: nothing yet, see keepsLocked
	pending map[*topiclog.Record]*fanOut // given to a late log, which has not said where they are
	refuses atomic.Bool                  // its log has not taken the last of them

	heard   atomic.Bool // what others publish is delivered here; it changes under mu. See hearing.go
	hearing *opening    // that is about to begin; nil: it is not
	needed  int64       // when somebody last needed it, as far as the hub has looked

	since      int64  // when it became idle, if it is: see names.go
	prev, next *Topic // in Namespace.idle
}

// topicLocal is what one shard knows of a topic: the lanes of its subscribers.
type topicLocal struct {
	members []*outLane
	orders  *stream // what is published to it and not delivered yet; nil: nothing
	begun   uint64  // the offset of the publication that was begun with last
}

// remembers reports whether what is published can be read again.
func (t *Topic) remembers() bool { return t.log != nil && t.log.Keeps() }

// enter makes shard i a receiver of the topic and returns the position after which
// its deliveries begin, and in take the values of that moment. The past
// it is asked for goes up to there.
//
// Errors: errForgotten, meanwhile; ErrOpening if it does not hear what others publish.
func (t *Topic) enter(i int, take *snapshot) (from topiclog.Position, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.dead:
		return from, errForgotten
	case !t.hears():
		return from, ErrOpening
	}
	t.shards[i] = true
	take.epoch = t.numbering()
	if take.asked {
		t.takeLocked(take)
	}
	if take.past != nil {
		take.past.meetLocked(t)
	}
	return t.last, nil
}

// errForgotten says that a topic has to be looked up again.
var errForgotten = errors.New("the topic was forgotten")

func (t *Topic) leave(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shards[i] = false
	t.needed = t.Declared.Namespace.hub.Now()
}

func (t *Topic) hasSubscribers() bool {
	for _, s := range t.shards {
		if s {
			return true
		}
	}
	return false
}

// untouchedLocked reports whether nothing was ever sent under the name, so that nobody
// can miss it.
func (t *Topic) untouchedLocked() bool { return t.last.Offset == 0 && len(t.pending) == 0 }

func isPattern(name string) bool { return strings.HasSuffix(name, "*") }

// latencies of one declared topic on one shard.
type latencies struct {
	write latency.Histogram // publish to kernel
	ack   latency.Histogram // publish to acknowledgement
}
