package delivery

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery/bell"
	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/delivery/recent"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/topiclog"
)

// Options shape a Hub.
type Options struct {
	Shards        int                    // event loops; at least 1
	Namespaces    []NamespaceSpec        // what is declared; nothing else exists
	BudgetBytes   int64                  // what the process may hold for all clients; 0 = no limit
	HighWatermark float64                // share of the budget at which shedding begins
	FinishTimeout time.Duration          // how long a leaving socket's last packets may take
	Waiters       []Waiter               // one for each shard; nil: a shard has nothing but its inbox
	OnStall       func(Stall)            // hears of steps longer than StallFrom; called on the shard, must not block
	OnCut         func(survey.CutNotice) // hears of clients the server cut; called on the shard, must not block
	OnLeft        func(Left)             // hears of the cursors that subscriptions leave; called on the shard, must not block; nil: none is made

	// Log makes the log of a topic when it is first named; nil: one in memory, with TopicSpec.Memory. A topic with a log of
	// its own is not forgotten, and Close closes the log.
	Log func(namespace, topic string, deliver topiclog.Deliver) topiclog.Log

	// Relieve gives back memory of the budget's accounts that is held only to be faster. It is called when the high
	// watermark is exceeded, before anything else is done about that, at most once a second, on a goroutine of its own
	// that Close waits for. nil: there is none.
	Relieve func()

	// Open opens the log of a topic with TopicSpec.Journal, which may take a while: it is called on goroutines of its own, a
	// few at a time, for each topic again once its log was closed. Close closes them. One that places late calls deliver.
	Open func(d *Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error)
}

// Hub is the delivery side of one node.
type Hub struct {
	opts       Options
	shards     []*Shard
	namespaces base.Names[*Namespace]
	declaring  sync.Mutex // one goroutine at a time adds to them
	start      time.Time
	node       string // part of message ids and epochs
	ids        atomic.Uint64
	epochs     atomic.Uint64

	departs int // the shard whose turn it is to send somebody away, see SendAway

	budget     budget.Budget
	over       atomic.Bool  // some topics are marked heavy
	relieved   atomic.Int64 // when Options.Relieve was called last; 0: never
	vain       atomic.Int64 // until when no publication waits for room in the budget, see claim
	recent     recent.IDs[publicationID, *Pending]
	taps       taps
	cuts       survey.Cuts
	reads      *reads.Pool // for lanes that are behind, and history
	readBack   readBack
	past       past
	background background
	opens      chan struct{} // a place for each log that is being opened
	refusing   atomic.Int64  // topics whose logs take nothing at the moment
	Unbalanced atomic.Uint64 // lanes whose books did not add up when they were closed (promise P5)

	life context.Context // ends with Close
	end  context.CancelFunc
	done <-chan struct{} // of life
	wg   sync.WaitGroup
}

// New returns a hub whose shards are not running yet.
func New(o Options) *Hub {
	h := &Hub{opts: o, start: time.Now(), node: randomName(), opens: make(chan struct{}, maxOpening)}
	h.readBack.hub, h.past.hub = h, h
	h.reads = reads.New(readBounds, func(bytes int) { h.Hold(budget.Frames, bytes) })
	h.life, h.end = context.WithCancel(context.Background())
	h.done = h.life.Done()
	for i := range max(o.Shards, 1) {
		var w Waiter = bell.New()
		if o.Waiters != nil {
			w = o.Waiters[i]
		}
		h.shards = append(h.shards, newShard(h, i, w))
	}
	for _, spec := range o.Namespaces {
		h.Declare(spec)
	}
	h.budget.Init(o.BudgetBytes, o.HighWatermark)
	h.recent.Account = recent.Account[publicationID]{
		Cost: func(id publicationID) int64 { return idBytes + int64(len(id.id)) }, Claim: h.claimID,
		Give: func(n int64) { h.budget.Hold(budget.IDs, -n) },
	}
	h.cuts.Init(h.budget.Limit(), func(n int64) { h.budget.Hold(budget.Cut, n) })
	return h
}

// Declare adds a namespace, at any time: the loops take no notice of it until somebody is in it. There must be none of
// that path. Any goroutine may call it.
func (h *Hub) Declare(spec NamespaceSpec) *Namespace {
	n := h.NewNamespace(spec)
	h.Add(n)
	return n
}

// NewNamespace makes a namespace that nobody finds yet, to be added.
func (h *Hub) NewNamespace(spec NamespaceSpec) *Namespace { return newNamespace(h, spec) }

// Add adds a namespace that NewNamespace has made, at any time, see Declare.
func (h *Hub) Add(n *Namespace) {
	h.declaring.Lock()
	defer h.declaring.Unlock()
	h.namespaces.Add(n.Path, n)
}

// Start runs the shards until Close.
func (h *Hub) Start() {
	for _, s := range h.shards {
		h.wg.Add(1)
		go s.run()
	}
}

// Close ends the shards and waits for them. Connections must have been closed
// before: what a lane still holds is not booked.
func (h *Hub) Close() {
	h.end()
	for _, sh := range h.shards {
		sh.wait.Wake()
	}
	h.wg.Wait()
	h.background.close()
	h.reads.Close()
	for _, t := range h.topics() {
		if t.log != nil {
			t.log.Close()
		}
	}
}

// How many reads of logs are under way at a time, for lanes that are behind and for who asks for history: of one log, and of all.
const (
	maxReads    = 8
	maxAllReads = 8 * maxReads
)

var readBounds = reads.Bounds{Goroutines: maxReads, EachLog: maxReads, AllLogs: maxAllReads}

// topics are those of all namespaces.
func (h *Hub) topics() (all []*Topic) {
	for _, n := range h.namespaces.All() {
		n.live.RLock()
		all = slices.AppendSeq(all, maps.Values(n.byName))
		n.live.RUnlock()
	}
	return all
}

// Nudge wakes the shards that have something they were not woken for. Any goroutine may call it.
func (h *Hub) Nudge() {
	for _, sh := range h.shards {
		sh.in.Nudge()
	}
}

func (h *Hub) closed() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// Now is the hub's clock: nanoseconds since it was made, monotonic.
func (h *Hub) Now() int64 { return int64(time.Since(h.start)) }

// Time is the wall-clock time of a moment of the hub's clock.
func (h *Hub) Time(at int64) time.Time { return h.start.Add(time.Duration(at)) }

// Shards returns the event loops.
func (h *Hub) Shards() []*Shard { return h.shards }

// Namespace returns a declared namespace, or nil.
func (h *Hub) Namespace(path string) *Namespace { return h.namespaces.Find(path) }

// Namespaces returns the declared namespaces by path, without that of answers to
// clients that are in none.
func (h *Hub) Namespaces() map[string]*Namespace {
	out := maps.Clone(h.namespaces.All())
	delete(out, "")
	return out
}

// Declares reports whether a topic, or a pattern within a declared one, is declared in a namespace, "" being any.
func (h *Hub) Declares(namespace, topic string) bool {
	for path, n := range h.Namespaces() {
		if (namespace == "" || path == namespace) && n.Declared(topic) != nil {
			return true
		}
	}
	return false
}

// newID makes a message id: unique across restarts and nodes.
func (h *Hub) newID() string {
	b := make([]byte, 0, 24)
	b = append(b, h.node...)
	b = append(b, '-')
	return string(strconv.AppendUint(b, h.ids.Add(1), 36))
}

func (h *Hub) newEpoch() string {
	return h.node + strconv.FormatUint(h.epochs.Add(1), 36)
}

// randomName is 60 random bits in 10 url-safe characters.
func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])[:10]
}

// ShardOf returns the shard a Socket.IO id names, nil if it names none.
func (h *Hub) ShardOf(socketID string) *Shard {
	if len(socketID) != socketIDLen {
		return nil
	}
	i, ok := shardIndex(socketID)
	if !ok || i >= len(h.shards) {
		return nil
	}
	return h.shards[i]
}

// A Socket.IO id is the shard's index in two characters and 108 random bits. It
// is public: a name, not a credential.
const (
	socketIDLen = 20
	idAlphabet  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

func newSocketID(shard int) string {
	var r [14]byte
	_, _ = rand.Read(r[:])
	var buf [24]byte
	b := append(buf[:0], idAlphabet[shard>>6&63], idAlphabet[shard&63])
	b = base64.RawURLEncoding.AppendEncode(b, r[:])
	var id strings.Builder
	id.Grow(socketIDRoom)
	id.Write(b[:socketIDLen])
	return id.String()
}

// socketIDRoom is what an id takes. An id stays as long as its client: in the allocator's next smaller class it would be
// one of nine that a handshake makes, and the page of those that are garbage soon would stay with it.
const socketIDRoom = 32

func shardIndex(id string) (int, bool) {
	hi, ok1 := idDigit(id[0])
	lo, ok2 := idDigit(id[1])
	return hi<<6 | lo, ok1 && ok2
}

func idDigit(c byte) (int, bool) {
	for i := range len(idAlphabet) {
		if idAlphabet[i] == c {
			return i, true
		}
	}
	return 0, false
}
