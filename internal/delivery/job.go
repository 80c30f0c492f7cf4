package delivery

import (
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/roster"
)

// Target says who is meant, of the sockets in a namespace or of those that subscribe to a topic.
type Target = roster.Target

// everybody is the target of publications to all: they share it.
var everybody = &Target{}

// job is what waits in the inbox of a shard for its place in an order, see stream. There are six: fanOut, direct,
// operation, errand, replay and breach. All methods are called on the shard.
//
//weir:loop
type job interface {
	// home is where the stream is found that the job belongs to.
	home(*Shard) **stream
	// begin begins with the job; what is for one socket is done then.
	begin(*Shard, *underWay)
	// goOn does more of it while spent is below most, and reports whether it is done.
	goOn(sh *Shard, u *underWay, most int) (done bool)
	// end tells whoever waits for the job, and gives back what was taken for it.
	end(*Shard, *underWay)
}

// outgoing is a message on its way to lanes.
type outgoing struct {
	msg      *base.Message
	ns       *Namespace
	topic    *Topic  // whose lanes it takes; nil = the events lane
	acks     AckSink // told which sockets the message, which asks for acks, went to; nil: it asks for none
	tally    *tally  // nil if nobody asks
	volatile bool    // worth nothing where the connection does not take it at once
}

// class is that of the lanes it takes on a shard.
//
//weir:loop
func (o *outgoing) class(sh *Shard) *lane.Class {
	if o.topic != nil {
		return o.topic.Declared.classes[sh.index]
	}
	return o.ns.events[sh.index]
}

// home is the topic's stream, or that of the namespace.
//
//weir:loop
func (o *outgoing) home(sh *Shard) **stream {
	if o.topic != nil {
		return &o.topic.local[sh.index].orders
	}
	return &o.ns.on(sh).orders
}

// load is what a job takes until it has ended.
type load struct {
	weight int64 // room in each inbox
	hold   int64 // what the budget counts for it in each inbox
}

// lift gives back the room. What the job holds passes from the inbox's account to that of the lanes.
//
//weir:loop
func (l *load) lift(sh *Shard) {
	sh.arrived += l.hold
	sh.in.Finish(l.weight)
}

// fanOut is a publication, or a plain event to many, on its way to the lanes of those a target means. All shards share it.
type fanOut struct {
	outgoing
	load
	target   *Target      // never nil
	pub      *publication // whose message it is; nil: it is an emit
	members  bool         // of those the target means the topic's subscribers, through their lanes of it; else whoever is meant
	wanted   bool         // somebody may ask for the receipt
	foreign  bool         // it comes from the log of its topic: if that is closed, nobody is there for it
	late     bool         // its log says later where it is: who observes hears of it then
	unkept   bool         // its topic's log has a place for it and no record: it cannot wait there
	failed   bool         // because the log could not take it
	passes   bool         // so it has its place without being asked again, see awaitRoom
	stands   bool         // its topic keeps it as the newest of its key: who is still reading the snapshot gets it there
	claim    int64        // what the budget counts for it before it is in any inbox
	promised int64        // what may come of it in lanes: before it is in any inbox on all shards, then on each
}

// toAllMembers reports whether it is for all subscribers of its topic.
func (f *fanOut) toAllMembers() bool { return f.members && !f.target.Narrows() }

// audience is the topic whose subscribers are meant, nil if others may be too.
func (f *fanOut) audience() *Topic {
	if f.members {
		return f.topic
	}
	return nil
}

// direct is a packet to one socket: a plain event, or an ack.
type direct struct {
	outgoing
	load
	socket *Socket
	unread *Unread // where it counts until it is in the events lane; nil: nobody asks
	forced bool    // an ack: never dropped
	late   bool    // not worth waking the shard for
}

// operation is something that is done to sockets. All shards share it.
type operation struct {
	load
	ns    *Namespace
	op    *op.Op
	tally *tally
	found findings
}

var (
	_ job = (*fanOut)(nil)
	_ job = (*direct)(nil)
	_ job = (*operation)(nil)
)

// AckSink collects the answers of a message that carries an ack id. Its methods
// are called on shards.
type AckSink interface {
	Sent(s *Socket) bool          // s is being asked; false: nobody waits for the answer any more
	Answered(s *Socket, a Answer) // s has answered, or will not
	Shard()                       // one shard has asked all it has
}

// Answer is what a client answered: raw arguments, or why there are none.
type Answer struct {
	Args        []byte
	Attachments [][]byte
	Err         error
}

// Receipt is the outcome of a publication at enqueue on this node (protocol.md 5).
type Receipt struct {
	Subscribers int
	Queued      int
	Coalesced   int
	Dropped     int
	Spilled     int
	Rejected    int
	Complete    bool // every shard has answered
}

type tally struct {
	subscribers, queued, coalesced, dropped, spilled, rejected atomic.Int64

	waiting atomic.Int32
	done    chan struct{}
}

func newTally(shards int) *tally {
	r := &tally{done: make(chan struct{})}
	r.waiting.Store(int32(shards))
	if shards == 0 {
		close(r.done)
	}
	return r
}

// finished is called once by each shard.
func (r *tally) finished() {
	if r != nil && r.waiting.Add(-1) == 0 {
		close(r.done)
	}
}

func (r *tally) read() Receipt {
	return Receipt{
		Subscribers: int(r.subscribers.Load()), Queued: int(r.queued.Load()), Coalesced: int(r.coalesced.Load()),
		Dropped: int(r.dropped.Load()), Spilled: int(r.spilled.Load()), Rejected: int(r.rejected.Load()), Complete: r.waiting.Load() <= 0,
	}
}
