package delivery

import (
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
)

// Target says who receives a message on this node: those whom each field that is set
// means.
type Target struct {
	Subscribers bool     // subscribers of the topic
	Socket      string   // the socket with this Socket.IO id
	Principal   string   // sockets of this principal
	Rooms       []string // sockets in any of these; a socket's id is a room of its own
	Except      []string // but not sockets in any of these
	Volatile    bool     // only sockets whose connection takes it at once
}

// Targets of jobs that are for one socket, or for a topic.
var (
	noTarget     = &Target{}
	ifTakenNow   = &Target{Volatile: true}
	everyoneHere = &Target{Subscribers: true}
)

// everySubscriber reports whether it is the topic's subscribers, all of them.
func (t *Target) everySubscriber() bool { return t.Subscribers && !t.narrows() }

// narrows reports whether not everybody is meant.
func (t *Target) narrows() bool {
	return t.Socket != "" || t.Principal != "" || t.Rooms != nil || t.Except != nil
}

// job is one publication or emit as it travels to the shards, which share it.
type job struct {
	msg      *base.Message
	ns       *Namespace
	topic    *Topic  // whose lanes it takes; nil = the events lane
	target   *Target // never nil
	socket   *Socket // direct: this socket only
	forced   bool    // an ack or namespace packet: never dropped
	late     bool    // not worth waking the shard for
	finish   base.Cause
	last     bool          // the socket's last packet: close it for finish
	stands   bool          // its topic keeps it as the newest of its key: who is still reading the snapshot gets it there
	receipt  *receipt      // nil if nobody asks
	acks     AckSink       // told which sockets the message, which asks for acks, went to
	run      func()        // to be called, and nothing else
	each     func(*Socket) // to be called for every recipient instead of sending anything
	weight   int64         // room it takes in each inbox
	claim    int64         // what the budget counts for it before it is in any inbox
	hold     int64         // what the budget counts for it in each inbox
	promised int64         // what may come of it in lanes: before it is in any inbox on all shards, then on each
}

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

// Receipt is the outcome of a publication at enqueue on this node (design 5.3).
type Receipt struct {
	Subscribers int
	Queued      int
	Coalesced   int
	Dropped     int
	Spilled     int
	Rejected    int
	Complete    bool // every shard has answered
}

type receipt struct {
	subscribers, queued, coalesced, dropped, rejected atomic.Int64
	waiting                                           atomic.Int32
	done                                              chan struct{}
}

func newReceipt(shards int) *receipt {
	r := &receipt{done: make(chan struct{})}
	r.waiting.Store(int32(shards))
	if shards == 0 {
		close(r.done)
	}
	return r
}

// finished is called once by each shard.
func (r *receipt) finished() {
	if r != nil && r.waiting.Add(-1) == 0 {
		close(r.done)
	}
}

func (r *receipt) read() Receipt {
	return Receipt{
		Subscribers: int(r.subscribers.Load()), Queued: int(r.queued.Load()), Coalesced: int(r.coalesced.Load()),
		Dropped: int(r.dropped.Load()), Rejected: int(r.rejected.Load()), Complete: r.waiting.Load() <= 0,
	}
}
