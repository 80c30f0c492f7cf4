package delivery

import (
	"slices"
	"sort"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/topiclog"
)

// stretch is records that follow one another in the log of a topic, none left out, as they were read for the lanes of one shard.
// Whoever stands in it is given what comes next at once, without a read:
//
//	log      … 40 [41 42 43 44 45 46 47 48] 49 …
//	            ^after                 ^last
//	lanes            ^    ^    ^               each goes on from where it is
//
// It belongs to nobody, and may go at any time: then who still needs it has it read again.
//
//weir:loop
type stretch struct {
	topic    *Topic
	epoch    string        // of the lanes it was read for
	span     topiclog.Span // of the log, when it was read
	form     base.Form     // in which its messages have their frames
	after    uint64
	records  []topiclog.Placement // at least one
	messages []*base.Message
	items    []*lane.Item
	open     bool // all records are for all subscribers
	bytes    int  // of the messages and the records
	given    int  // so many records some lane has been given, or passed over
}

// last is the offset of the last record.
func (x *stretch) last() uint64 { return x.records[len(x.records)-1].Offset }

// has reports whether what comes behind an offset is in it, for a lane that is behind.
func (x *stretch) has(g *lag, f base.Form, offset uint64) bool {
	return x.topic == g.lane.topic && x.epoch == g.epoch && x.form == f && x.after <= offset && offset < x.last()
}

// behind is the place of the first record behind an offset.
func (x *stretch) behind(offset uint64) int {
	return sort.Search(len(x.records), func(i int) bool { return x.records[i].Offset > offset })
}

// unread is about how many bytes no lane was given yet.
func (x *stretch) unread() int { return x.bytes * (len(x.records) - x.given) / len(x.records) }

// inOneStretch reports whether what was read behind an offset is all that is there, up to its last record, and something.
func inOneStretch(b *topiclog.Batch, after uint64) bool {
	if b.Err != nil || b.Lost || len(b.Placements) == 0 {
		return false
	}
	for i := range b.Placements {
		if b.Placements[i].Previous > after {
			return false
		}
		after = b.Placements[i].Offset
	}
	return true
}

// scattered reports whether most records are for one client each: to read all of them for each would be a waste.
func scattered(records []topiclog.Placement) bool {
	single := 0
	for i := range records {
		if to := &records[i].To; to.Socket != "" || to.Principal != "" {
			single++
		}
	}
	return 2*single > len(records)
}

// stretches are those that a shard keeps, the one used last at the end.
//
//weir:loop
type stretches struct {
	list   []*stretch
	bytes  int
	unread int // see stretch.unread
	asked  int // bytes that are being read ahead
}

// How much is kept for lanes to come, and how much of it may be read before a lane has room for it. Where lanes are so many, and so
// far from one another, that this is spent, each has read what it has room for.
const (
	maxStretches     = 64
	maxStretchBytes  = 4 << 20
	maxUnread        = maxStretchBytes / 2
	aheadBytes       = 128 << 10 // of one read that is ahead of its lanes
	aheadRecords     = 256
	aheadTakes       = 2 * aheadBytes // records, and messages made of them
	stretchRowBytes  = int(unsafe.Sizeof(topiclog.Placement{}) + 2*unsafe.Sizeof(uintptr(0)))
	stretchHeadBytes = int(unsafe.Sizeof(stretch{}))
)

// find is the stretch that has what comes behind an offset; nil: none has.
func (s *stretches) find(g *lag, f base.Form, offset uint64) *stretch {
	for i := len(s.list) - 1; i >= 0; i-- {
		if x := s.list[i]; x.has(g, f, offset) {
			copy(s.list[i:], s.list[i+1:])
			s.list[len(s.list)-1] = x
			return x
		}
	}
	return nil
}

// roomAhead reports whether something may be read ahead of its lanes.
func (s *stretches) roomAhead() bool { return s.unread+s.asked+aheadTakes <= maxUnread }

// used takes note that some lane was given the first n records, or passed them over.
func (s *stretches) used(x *stretch, n int) {
	if n > x.given {
		s.unread -= x.unread()
		x.given = n
		s.unread += x.unread()
	}
}

// keepStretch keeps what was read, and lets go of what was not used for longest.
func (sh *Shard) keepStretch(x *stretch) {
	s := &sh.stretches
	x.items = make([]*lane.Item, len(x.messages))
	x.open = true
	for i, m := range x.messages {
		x.items[i] = x.class(sh).Hold(m)
		x.items[i].Count()
		x.bytes += m.Bytes() + x.records[i].Size()
		x.open = x.open && x.records[i].To.Everybody()
	}
	sh.hub.Hold(budget.Frames, x.overhead())
	s.list = append(s.list, x)
	s.bytes += x.bytes
	s.unread += x.unread()
	for len(s.list) > 1 && (len(s.list) > maxStretches || s.bytes > maxStretchBytes) {
		sh.dropStretches(1)
	}
}

// dropStretches lets go of those that were not used for longest.
func (sh *Shard) dropStretches(n int) {
	s := &sh.stretches
	for _, x := range s.list[:n] {
		s.bytes -= x.bytes
		s.unread -= x.unread()
		sh.hub.Hold(budget.Frames, -x.overhead())
		for _, it := range x.items {
			x.class(sh).Release(it)
		}
	}
	s.list = slices.Delete(s.list, 0, n)
}

func (x *stretch) class(sh *Shard) *lane.Class { return x.topic.Declared.classes[sh.index] }

// overhead is what the budget counts for it besides its messages, which their items count.
func (x *stretch) overhead() (bytes int) {
	for i := range x.records {
		bytes += x.records[i].Size()
	}
	return bytes + stretchHeadBytes + stretchRowBytes*len(x.records)
}

// give gives a lane what a stretch has for it, as far as there is room and most records go. It ends what place.Ask has begun.
func (sh *Shard) give(g *lag, x *stretch, most int) {
	l, p := g.lane, &sh.part
	first := x.behind(g.place.At)
	*p = topiclog.Batch{Span: x.span, Placements: p.Placements[:0], Next: g.place.At}
	var who *topiclog.Reader
	if !x.open {
		who = l.socket.reader()
	}
	end := first
	for ; end < len(x.records) && x.records[end].Offset <= l.from && len(p.Placements) < most; end++ {
		e := &x.records[end]
		if (who == nil || who.Gets(&e.To)) && g.gets(&e.To, e.Offset) {
			p.Placements = append(p.Placements, *e)
		}
		p.Next = e.Offset
	}
	if end < len(x.records) && x.records[end].Offset > l.from {
		p.Next = max(p.Next, l.from) // there is nothing between, and the stream brings what is behind
	}
	sh.spent += 1 + (end-first)/lanesForOffer
	sh.found(g, p)
	defer clear(p.Placements) // it holds no records
	at := first
	for i := range p.Placements {
		e := &p.Placements[i]
		for x.records[at].Offset != e.Offset {
			at++
		}
		if stuck := sh.restore(g, e, x.messages[at], x.items[at], true); stuck > 0 {
			sh.stretches.used(x, at)
			g.place.Stuck(stuck)
			return
		}
	}
	sh.stretches.used(x, end)
	if g.place.Done(p.Next, l.from) {
		sh.rejoin(g)
	}
}
