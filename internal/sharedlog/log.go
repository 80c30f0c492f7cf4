package sharedlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/topiclog"
)

// What waits in one log, at most.
const (
	maxAppends     = 1024     // records that have no position yet
	maxAppendBytes = 16 << 20 // of them
	maxLive        = 1024     // entries that were heard and not delivered: beyond that they are read again
	maxLiveBytes   = 8 << 20

	appendForms = 2  // a record that has no position yet is held as such, and as its entry
	entryBytes  = 96 // what an entry holds beside its data

	batchRecords = 128 // of one append
	batchBytes   = 1 << 20
	pageEntries  = 128 // of one read
	pageBytes    = 1 << 20
)

const (
	appendTime = time.Minute            // after which an append that nobody has decided is given up
	readTime   = 5 * time.Second        // of one read
	echoTime   = 100 * time.Millisecond // how long an own entry waits for those before it to be heard, before they are read
	retryTime  = 200 * time.Millisecond // after which a read that has failed is tried again
)

// Log is the log of one topic.
type Log struct {
	of     *Logs
	broker Broker
	opts   Options
	name   string
	origin string

	running sync.WaitGroup // run, runAppends, and reads
	life    context.Context
	end     context.CancelFunc
	more    chan struct{} // has room for one: run has something to do
	sends   chan struct{} // has room for one: runAppends has something to do

	mu       sync.Mutex
	closed   bool
	number   uint64 // of appends
	waiting  []*appending
	pending  map[uint64]*appending // by number: those that are not delivered
	bytes    int                   // of pending
	volatile []*appending
	live     []cluster.Entry
	size     int // of live
	own      []own
	behind   bool // something is missing: it has to be read
	place    place

	starting *start // a Follow that waits for the sender; nil: none does
	era      uint64 // counts Unfollows
	leaves   bool   // Unfollow was called

	// Both are run's:
	follows  bool             // what others append is delivered
	answered []*cluster.Entry // that were appended here, and are not delivered unless they are read
}

// place is how far a log was delivered.
type place struct {
	epoch string
	chain uint64 // the offset of the last entry that was dealt with
	kept  uint64 // of the last record among them; 0: there was none
	last  uint64 // the highest offset that was given out, volatile ones too
	first uint64 // no entry before it is kept
	mark  uint64 // the offset of the mark the log begins with, as far as it is known
	ring  []uint64
	head  int
}

// appending is a record on its way to a position.
type appending struct {
	number uint64
	record *topiclog.Record
	later  *topiclog.Later
}

func newLog(of *Logs, b Broker, o Options) *Log {
	g := &Log{
		of: of, broker: b, opts: o, name: Name(o.Namespace, o.Topic), origin: NewOrigin(),
		more: make(chan struct{}, 1), sends: make(chan struct{}, 1), pending: make(map[uint64]*appending),
	}
	if g.opts.Holder == nil {
		g.opts.Holder = cluster.HolderOf(nil)
	}
	g.life, g.end = context.WithCancel(context.Background())
	return g
}

// begin learns where the log stands. One that nobody has appended to begins with a mark, so that it has an epoch.
func (g *Log) begin(ctx context.Context) error {
	page, err := g.broker.Read(ctx, g.name, cluster.MaxOffset-1, cluster.Limit{})
	if err != nil {
		return err
	}
	p := place{epoch: page.Epoch, chain: page.Last, kept: page.Last, last: page.Last, first: page.First}
	if page.Epoch == "" {
		at, err := g.broker.Append(ctx, g.name, cluster.AppendOptions{Keep: g.opts.Keep}, appendEntry(nil, origin{log: g.origin}, nil))
		if err != nil {
			return err
		}
		p = place{epoch: at[0].Epoch, chain: at[0].Previous, first: at[0].Offset + 1, mark: at[0].Offset} // run hears of others before it, if there are any
	} else if newest, err := g.broker.Read(ctx, g.name, page.Last-1, cluster.Limit{}); err != nil {
		return err
	} else if len(newest.Entries) > 0 && newest.Entries[0].Offset == page.Last && g.isMark(&newest.Entries[0]) {
		p.kept, p.last, p.mark = 0, 0, page.Last
	}
	g.place = p
	return nil
}

// TellsMissed implements topiclog.Log: a volatile record is on this node only.
func (g *Log) TellsMissed() bool { return false }

// Keeps implements topiclog.Log.
func (g *Log) Keeps() bool { return true }

// Span implements topiclog.Log. First may be too low until as many records have come as are kept.
func (g *Log) Span() topiclog.Span {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := topiclog.Span{Epoch: g.place.epoch, First: g.place.first, Last: g.place.last, Sparse: true}
	if s.Last == 0 {
		s.First = 1
	}
	s.Gave = max(s.First, 1) - 1
	return s
}

// Append implements topiclog.Log.
func (g *Log) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	size := r.Size()
	switch {
	case g.closed:
		return topiclog.Position{}, nil, topiclog.ErrClosed
	case len(g.pending) >= maxAppends || (g.bytes+size > maxAppendBytes && len(g.pending) > 0) || !g.opts.Holder.Claim(appendForms*size):
		return topiclog.Position{}, nil, topiclog.ErrFull
	}
	g.number++
	a := &appending{number: g.number, record: r, later: topiclog.NewLater()}
	g.pending[a.number] = a
	g.bytes += size
	if r.Volatile {
		g.volatile = append(g.volatile, a)
		signal(g.more)
	} else {
		g.waiting = append(g.waiting, a)
		signal(g.sends)
	}
	return topiclog.Position{}, a.later, nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hear takes live entries; those that are too many are read later.
func (g *Log) hear(entries []cluster.Entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	size := sizeOf(entries)
	full := len(g.live)+len(entries) > maxLive || (g.size+size > maxLiveBytes && len(g.live)+len(entries) > 1)
	if full || !g.opts.Holder.Claim(size) {
		g.opts.Holder.Hold(-g.size)
		g.live, g.size, g.behind = nil, 0, true
	} else {
		g.live, g.size = append(g.live, entries...), g.size+size
	}
	signal(g.more)
}

// sizeOf is what entries hold.
func sizeOf(entries []cluster.Entry) (n int) {
	for i := range entries {
		n += entryBytes + len(entries[i].Data)
	}
	return n
}

// lapse says that something may be missing.
func (g *Log) lapse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.behind = true
	signal(g.more)
}

// Close implements topiclog.Log.
func (g *Log) Close() {
	g.mu.Lock()
	again := g.closed
	g.closed = true
	g.mu.Unlock()
	g.end()
	g.running.Wait()
	if again {
		return
	}
	g.of.leave(g)
	g.broker.Unfollow(g.name)
	for _, a := range g.takePending() {
		a.later.Fail(topiclog.ErrClosed)
	}
	g.endStarts()
}

func (g *Log) takePending() (all []*appending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.pending {
		all = append(all, a)
	}
	clear(g.pending)
	g.opts.Holder.Hold(-appendForms*g.bytes - g.size - ringBytes*len(g.place.ring))
	g.bytes, g.size, g.live, g.place.ring = 0, 0, nil, nil
	return all
}

// batch is what runAppends sends next.
func (g *Log) batch() (list []*appending, above uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, bytes := 0, 0
	for n < len(g.waiting) && n < batchRecords {
		if bytes += g.waiting[n].record.Size(); n > 0 && bytes > batchBytes {
			break
		}
		n++
	}
	list = g.waiting[:n:n]
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil
	}
	return list, g.place.last
}

// runAppends gives records to the broker, in their order, until Close.
func (g *Log) runAppends() {
	for {
		select {
		case <-g.sends:
		case <-g.life.Done():
			return
		}
		for {
			if s := g.takeStart(); s != nil {
				g.start(s)
			}
			list, above := g.batch()
			if len(list) == 0 {
				break
			}
			g.send(list, above)
		}
	}
}

// send appends a batch. What is placed is delivered by run.
func (g *Log) send(list []*appending, above uint64) {
	data := make([][]byte, len(list))
	for i, a := range list {
		data[i] = appendEntry(nil, origin{g.origin, a.number}, a.record)
	}
	ctx, cancel := context.WithTimeout(g.life, appendTime)
	defer cancel()
	at, err := g.broker.Append(ctx, g.name, cluster.AppendOptions{Keep: g.opts.Keep, Above: above}, data...)
	if err != nil {
		err = g.told(err)
		for _, a := range list {
			if g.forget(a.number) != nil { // else it has come by another way
				a.later.Fail(err)
			}
		}
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range at {
		g.own = append(g.own, own{Entry: cluster.Entry{Position: at[i], Data: data[i]}})
	}
	signal(g.more)
}

// told is the error of an append as its publisher, who may be a stranger, is told: without the broker's address. The
// node's log has that.
func (g *Log) told(err error) error {
	switch {
	case g.life.Err() != nil:
		return topiclog.ErrClosed
	case errors.Is(err, cluster.ErrAway):
		return cluster.ErrAway
	case errors.Is(err, cluster.ErrUndecided):
		return cluster.ErrUndecided
	}
	return errRefused
}

// errRefused is of an append that the broker takes from nobody.
var errRefused = errors.New("the broker has refused the record")

// forget takes out a record that waits for its position; nil: it does not.
func (g *Log) forget(number uint64) *appending {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.pending[number]
	if a != nil {
		delete(g.pending, number)
		g.bytes -= a.record.Size()
		g.opts.Holder.Hold(-appendForms * a.record.Size())
	}
	return a
}

// Read implements topiclog.Log.
func (g *Log) Read(q topiclog.Query, done func(topiclog.Batch)) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		done(topiclog.Batch{Span: g.Span(), Next: q.After, Err: topiclog.ErrClosed})
		return
	}
	g.running.Go(func() { done(g.read(q)) })
	g.mu.Unlock()
}

// lookMost is how many entries one read looks at: those that are for others do not make it long.
const lookMost = 1024

func (g *Log) read(q topiclog.Query) topiclog.Batch {
	b := topiclog.Batch{Span: g.Span(), Next: q.After}
	ctx, cancel := context.WithTimeout(g.life, readTime)
	defer cancel()
	bytes := 0
	for looked := 0; looked < lookMost; {
		page, err := g.broker.Read(ctx, g.name, b.Next, cluster.Limit{Entries: min(max(q.Limit.Records, 1), pageEntries), Bytes: pageBytes})
		switch {
		case g.life.Err() != nil:
			return topiclog.Batch{Span: b.Span, Next: q.After, Err: topiclog.ErrClosed}
		case err != nil:
			return topiclog.Batch{Span: b.Span, Next: q.After, Err: err}
		}
		if page.Epoch != b.Epoch || (q.Epoch != "" && q.Epoch != page.Epoch) {
			if looked == 0 {
				b.Err = topiclog.ErrEpoch
			}
			return b // the next read says so
		}
		if looked == 0 && page.First != g.marked() {
			b.First, b.Gave = page.First, max(page.First, 1)-1
		}
		if g.lost(&page, b.Next, b.Last) { // also while this read was under way
			if len(b.Placements) > 0 {
				return b // the next read begins with it
			}
			b.Miss()
		}
		if len(page.Entries) == 0 {
			b.Next = max(b.Next, b.Last)
			return b
		}
		if looked += len(page.Entries); !g.take(&b, &q, page.Entries, &bytes) {
			return b
		}
	}
	return b
}

// lost reports whether entries behind an offset are not there any more.
func (g *Log) lost(page *cluster.Page, after, last uint64) bool {
	if len(page.Entries) > 0 {
		before := page.Entries[0].Previous
		return before > after && before != g.marked()
	}
	return page.Last > after && last > after
}

// take puts what a reader gets into its batch; false: it is full.
func (g *Log) take(b *topiclog.Batch, q *topiclog.Query, entries []cluster.Entry, bytes *int) bool {
	mark := g.marked()
	for i := range entries {
		e := &entries[i]
		r, _ := g.recordOf(e)
		if r == nil {
			mark = e.Offset
		}
		if r != nil && (q.For == nil || q.For.Gets(&r.To)) {
			*bytes += r.Size()
			if n := len(b.Placements); n > 0 && (n >= q.Limit.Records || *bytes > q.Limit.Bytes) {
				return false
			}
			at := topiclog.Position{Epoch: e.Epoch, Offset: e.Offset, Previous: e.Previous}
			if at.Previous == mark {
				at.Previous = 0 // a mark begins a log, and is no record
			}
			b.Placements = append(b.Placements, topiclog.Placement{Record: r, Position: at})
		}
		b.Next = e.Offset
		b.Last = max(b.Last, e.Offset)
	}
	return true
}

// marked is where the mark is, which is no record.
func (g *Log) marked() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.place.mark
}

// isMark reports whether an entry begins a log.
func (g *Log) isMark(e *cluster.Entry) bool {
	_, r, err := parseEntry(e.Data)
	return err == nil && r == nil
}

// recordOf is the record of an entry; nil: it has none that this node understands.
func (g *Log) recordOf(e *cluster.Entry) (*topiclog.Record, origin) {
	o, r, err := parseEntry(e.Data)
	if err != nil || r == nil {
		return nil, o
	}
	r.Namespace, r.Topic = g.opts.Namespace, g.opts.Topic
	return r, o
}

// Away reports whether an error of this package means that the broker cannot be reached.
func Away(err error) bool {
	return errors.Is(err, cluster.ErrAway) || errors.Is(err, cluster.ErrUndecided)
}
