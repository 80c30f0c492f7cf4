package delivery

import (
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery/linger"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/roster"
)

// NamespaceSpec declares a namespace.
type NamespaceSpec struct {
	Path   string
	Events lane.Policy // the FIFO of plain events, acks and namespace packets of each socket
	Topics []TopicSpec

	Subscriptions int // topics one socket may subscribe to; 0 = any number
	Rooms         int // rooms one socket may be in; 0 = any number
	Names         int // concrete topics made from patterns at a time; 0 = any number

	Deflate bool                   // publishers also make the compressed form: clients agree to permessage-deflate
	Watch   func(ch roster.Change) // told about rooms, in order; called on loops and must not block; nil = nobody asks
}

// Namespace is one declared namespace on this node.
type Namespace struct {
	Path string

	hub      *Hub
	spec     NamespaceSpec
	topics   map[string]*Declared // exact names
	patterns []*Declared          // longest prefix first
	all      []*Declared
	events   []*lane.Class // by shard
	members  []membership  // by shard, each touched by that shard only
	ackID    atomic.Uint64 // Socket.IO ack ids are per namespace, shared by all sockets (protocol.md 2.2)

	sockets atomic.Int64 // in it, on all shards

	sequencer // of plain events to more than one socket

	live   sync.RWMutex
	byName map[string]*Topic
	made   int        // of them, from patterns; with those whose logs are being opened
	idle   idleTopics // of those, without lanes

	hearers map[*Topic]struct{} // of those in byName that are followed, see hearing.go

	openings map[string]*opening // topics whose logs are being opened or closed: they are not in byName
}

func newNamespace(h *Hub, spec NamespaceSpec) *Namespace {
	n := &Namespace{Path: spec.Path, hub: h, spec: spec, topics: make(map[string]*Declared), byName: make(map[string]*Topic)}
	n.open(nil, h.newEpoch())
	var watch *roster.Watch // nil: nobody asks
	if spec.Watch != nil {
		watch = roster.NewWatch(spec.Path, spec.Watch)
	}
	n.members = make([]membership, len(h.shards))
	for i := range h.shards {
		n.events = append(n.events, &lane.Class{Policy: spec.Events})
		n.members[i].Init(watch)
	}
	for _, ts := range spec.Topics {
		d := &Declared{Spec: ts, Namespace: n}
		for range h.shards {
			d.classes = append(d.classes, &lane.Class{Policy: ts.Policy})
			d.latency = append(d.latency, &latencies{})
		}
		if ts.FlushDelay > 0 {
			d.delays = make([]*linger.Line[*outLane], len(h.shards))
		}
		n.all = append(n.all, d)
		if isPattern(ts.Name) {
			n.patterns = append(n.patterns, d)
		} else {
			n.topics[ts.Name] = d
		}
	}
	sort.SliceStable(n.patterns, func(i, j int) bool {
		return len(n.patterns[i].Spec.Name) > len(n.patterns[j].Spec.Name)
	})
	return n
}

// on is what a shard knows of the namespace.
//
//weir:loop
func (n *Namespace) on(sh *Shard) *membership { return &n.members[sh.index] }

// Declared returns the declaration a topic name falls under, nil if none: the
// exact name, else the longest prefix.
func (n *Namespace) Declared(name string) *Declared {
	if d := n.topics[name]; d != nil {
		return d
	}
	for _, d := range n.patterns {
		if strings.HasPrefix(name, strings.TrimSuffix(d.Spec.Name, "*")) {
			return d
		}
	}
	return nil
}

// Topics lists the declarations in the order of the configuration.
func (n *Namespace) Topics() []*Declared { return n.all }

// EventTotals adds up the books of the events lanes of all shards.
func (n *Namespace) EventTotals() Totals {
	var t Totals
	for _, c := range n.events {
		t.add(c)
	}
	return t
}

// prepare makes a frame's compressed form while its maker waits, so that no shard has to.
func (n *Namespace) prepare(f *base.Frame) *base.Frame {
	if n.spec.Deflate {
		f.Deflated()
	}
	return f
}

// NextAckID returns a fresh Socket.IO ack id.
func (n *Namespace) NextAckID() uint64 { return n.ackID.Add(1) - 1 }

// trim gives back memory that lanes of shard i have not needed since the last sweep.
//
//weir:loop
func (n *Namespace) trim(i int) {
	n.events[i].Trim()
	for _, d := range n.all {
		d.classes[i].Trim()
		if i < len(d.delays) && d.delays[i] != nil {
			d.delays[i].Trim()
		}
	}
}

// Totals are books added up over shards.
type Totals struct {
	Offered, Written, Acked, Retries, Coalesced uint64
	Dropped                                     [base.Reasons]uint64
	Queued, InFlight, Bytes, Held               int64

	Spills                        uint64 // messages that were spilled, once for each lane
	Spilled, SpilledBytes, Behind int64  // of them, those that wait in the log now; and the lanes that are behind
}

func (t *Totals) add(c *lane.Class) {
	b := &c.Totals
	t.Offered += b.Offered.Load()
	t.Written += b.Written.Load()
	t.Acked += b.Acked.Load()
	t.Retries += b.Retries.Load()
	t.Coalesced += b.Coalesced.Load()
	for r := range t.Dropped {
		t.Dropped[r] += b.Dropped[r].Load()
	}
	t.Queued += b.Queued.Load()
	t.InFlight += b.InFlight.Load()
	t.Bytes += b.Bytes.Load()
	t.Held += c.Held()
	t.Spills += b.Spills.Load()
	t.Spilled += b.Spilled.Load()
	t.SpilledBytes += b.SpilledBytes.Load()
	t.Behind += b.Behind.Load()
}
