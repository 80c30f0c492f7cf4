package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/topiclog"
)

// What a topic's log keeps can be read (History), and a subscription can begin with its newest messages (docs/adr/0027-history.md):
//
//	Recall, off the loop: newest records ──> messages, marked ──┐
//	Subscribe, under the topic's lock:  position ───────────────┴─ meet ──> lane, behind the answer; then the stream
//
// A log in memory is asked for the rest under that lock, so that nothing is missing and nothing comes twice. One that
// reads late, on a disk, is asked by a lag like that of a cursor: the lane is behind from where the messages end, see
// spill.go.

// HistoryQuery says what to read of a topic.
type HistoryQuery struct {
	Epoch string // of From; "" = the log's, whatever it is
	From  uint64 // the first offset wanted; 0 = the newest records
	Limit topiclog.Limit
	For   *topiclog.Reader // nil: all records, whomever they are for
}

// PastPage is what was read of a topic.
type PastPage = topiclog.Batch

// mayBeLong is how many reads History makes for who gets none of what it finds.
const mayBeLong = 8

// History reads what the topic's log keeps. It waits, at most as long as ctx allows, in a line that is bounded in how much of it
// is read at a time. No loop may call it.
//
// Errors: those of Await, ErrNoHistory, topiclog.ErrEpoch, ErrLog.
func (n *Namespace) History(ctx context.Context, name string, q HistoryQuery) (topiclog.Batch, error) {
	t, err := n.Hear(ctx, name) // a log that is not followed does not know where it ends
	if err != nil {
		return topiclog.Batch{}, err
	}
	if !t.remembers() {
		return topiclog.Batch{}, ErrNoHistory
	}
	r := reads.Read{Log: t.log, Query: topiclog.Query{Epoch: q.Epoch, Limit: q.Limit, For: q.For}, Newest: q.From == 0}
	if !r.Newest {
		r.Query.After = q.From - 1
	}
	lost := false
	for tries := 1; ; tries++ {
		b, err := n.hub.read(ctx, r)
		if err != nil {
			return b, err
		}
		lost = lost || b.Lost
		if b.Lost = lost; r.Newest || len(b.Placements) > 0 || b.End() || tries == mayBeLong {
			return b, nil
		}
		r.Query.After = b.Next
	}
}

// read waits for one read of a log.
func (h *Hub) read(ctx context.Context, r reads.Read) (b topiclog.Batch, err error) {
	who, ticket := make(asked, 1), new(reads.Ticket)
	r.For, r.As = who, ticket
	h.reads.Ask(r)
	select {
	case b = <-who:
	case <-ctx.Done():
		h.reads.Withdraw(ticket)
		return b, fmt.Errorf("%w: the topic's log was not read in time", ErrBusy)
	case <-h.done:
		return b, ErrClosed
	}
	switch {
	case errors.Is(b.Err, topiclog.ErrEpoch):
		return b, b.Err
	case b.Err != nil:
		return b, refused(b.Err)
	}
	return b, nil
}

// asked is where somebody waits for what is read; it has room for it.
type asked chan topiclog.Batch

var _ reads.Reader = asked(nil)

// Found implements reads.Reader.
func (a asked) Found(b topiclog.Batch) { a <- b }

// Reader is who a socket is as far as records are concerned. What was sent to rooms is not among what it may read: nobody knows
// whether it was in the room then. Any goroutine may call it.
func (s *Socket) Reader() *topiclog.Reader {
	return &topiclog.Reader{Socket: s.ID, Principal: s.Principal}
}

// Past is the newest messages of a topic that a subscription begins with. It is for one subscription.
type Past struct {
	limit    topiclog.Limit
	reader   *topiclog.Reader
	epoch    string
	upto     uint64 // all up to it was looked at
	messages []*base.Message
	late     []topiclog.Placement // behind them: no messages yet
}

// Recall makes the newest messages of a topic ready for a subscription of the socket's: most of them, and as many as
// its lane may hold, of a lane that would refuse what comes next, or cut its client, half as many. It waits, see
// History.
//
// Errors: those of History.
func (s *Socket) Recall(ctx context.Context, name string, o *SubscribeOptions, most int) error {
	t, err := s.Namespace.Hear(ctx, name)
	if err != nil {
		return err
	}
	p := &Past{limit: t.Declared.recalls(most), reader: s.Reader()}
	b, err := s.Namespace.History(ctx, name, HistoryQuery{Limit: p.limit, For: p.reader})
	if err != nil {
		return err
	}
	form := t.Declared.form(o.Shape).In(s.conn.dialect)
	if o.Callback && t.Declared.Reliable() {
		form |= base.Callback
	}
	p.epoch, p.upto = b.Epoch, b.Next
	for _, e := range b.Placements {
		m := t.Declared.Namespace.hub.past.message(t, e)
		m.Frame(form)
		p.messages = append(p.messages, m)
	}
	o.Past = p
	return nil
}

// recalls is how much of the past a lane is given.
func (d *Declared) recalls(most int) topiclog.Limit {
	p := &d.Spec.Policy
	l := topiclog.Limit{Records: min(most, p.MaxMessages), Bytes: p.MaxBytes}
	switch p.Overflow {
	case base.SnapshotOnly:
		l.Records = 1
	case base.RejectNew, base.Disconnect:
		l.Records, l.Bytes = min(l.Records, max(p.MaxMessages/2, 1)), p.MaxBytes/2
	case base.DropOldest, base.Coalesce, base.SpillToDisk: // as much as it holds
	}
	return l
}

// meetLocked brings the past to where the topic is now, with its lock held; where that takes a wait it ends where it ends.
func (p *Past) meetLocked(t *Topic) {
	if epoch := t.numbering(); p.epoch != epoch { // the topic was forgotten meanwhile, or numbered anew, and what was read with it
		p.epoch, p.upto, p.messages, p.late = epoch, t.last.Offset, nil, nil
		return
	}
	if m, ok := t.log.(*topiclog.Memory); ok {
		topiclog.Newest(m, topiclog.Query{After: p.upto, Limit: p.limit, For: p.reader}, func(b topiclog.Batch) { p.late = b.Placements })
		p.upto = t.last.Offset
		return
	}
	// A log that is written late has what no shard was given yet.
	p.upto = min(p.upto, t.last.Offset)
	p.messages = slices.DeleteFunc(p.messages, func(m *base.Message) bool { return m.Offset > p.upto })
}

// fit makes messages of what has come in the meantime, and leaves out the oldest that a lane has no room for, and what is
// too old to be sent. It returns how many there are.
//
//weir:loop
func (p *Past) fit(l *outLane, now int64) int {
	for _, e := range p.late {
		p.messages = append(p.messages, l.socket.Namespace.hub.past.message(l.topic, e))
	}
	p.late = nil
	p.messages = slices.DeleteFunc(p.messages, func(m *base.Message) bool { return m.Expires != 0 && m.Expires <= now })
	form, _ := l.Form()
	messages, bytes := l.Room()
	messages, bytes = min(messages, p.limit.Records), min(bytes, p.limit.Bytes)
	from := len(p.messages)
	for ; from > 0 && len(p.messages)-from < messages; from-- {
		if bytes -= p.messages[from-1].Frame(form).Len(); bytes < 0 {
			break
		}
	}
	p.messages = p.messages[from:]
	return len(p.messages)
}

// giveHistory offers a new subscription its past, and has it read what was published between that and its beginning.
//
//weir:loop
func (sh *Shard) giveHistory(l *outLane, p *Past, epoch string, from uint64) {
	for _, m := range p.messages {
		it := l.Class().Hold(m)
		sh.offer(l, it, nil)
		l.Class().Release(it)
	}
	sh.spent += len(p.messages)
	p.messages = nil
	if p.upto < from && l.topic.remembers() {
		sh.trail(l, epoch, p.upto, from)
	}
}

// past is messages made of records that were recalled lately: those who subscribe at about the same time share them. They are
// made anew after a while, as each counts as published when it was made (base.Message.History).
type past struct {
	hub *Hub

	mu       sync.Mutex
	began    int64
	messages map[readPlace]*base.Message
	bytes    int
}

// How long messages are shared, and how many of them, with how many bytes, at most.
const (
	sharePast    = 250 * time.Millisecond
	maxPast      = 4096
	maxPastBytes = 4 << 20
)

// message is what is delivered of a record of the topic to who recalls it. Any goroutine may call it.
func (p *past) message(t *Topic, e topiclog.Placement) *base.Message {
	now := p.hub.Now()
	at := readPlace{t, e.Offset}
	if m := p.find(at, now); m != nil {
		return m
	}
	x := publicationOf(t, e.Record)
	x.pub.Place(&x.msg, e.Epoch, e.Offset)
	m := x.msg.History(now)
	bytes := int(messageBytes(m)) + e.Size()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.messages) >= maxPast || p.bytes+bytes > maxPastBytes {
		p.dropLocked()
	}
	if p.messages == nil {
		p.messages, p.began = make(map[readPlace]*base.Message), now
	}
	p.messages[at] = m
	p.bytes += bytes
	p.hub.Hold(budget.History, bytes)
	return m
}

func (p *past) find(at readPlace, now int64) *base.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fadeLocked(now)
	return p.messages[at]
}

// fade lets go of messages that were made too long ago to be shared.
func (p *past) fade(now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fadeLocked(now)
}

func (p *past) fadeLocked(now int64) {
	if p.messages != nil && now-p.began > int64(sharePast) {
		p.dropLocked()
	}
}

func (p *past) dropLocked() {
	p.hub.Hold(budget.History, -p.bytes)
	p.messages, p.bytes = nil, 0
}
