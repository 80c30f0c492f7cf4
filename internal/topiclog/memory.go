package topiclog

import (
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what a log keeps: the oldest records give way. They hold at every moment; a record that is larger than all
// of them is not kept.
type Limits struct {
	Records int           // 0 = nothing is kept, the log only numbers
	Bytes   int           // of Record.Size; 0 = any number
	Age     time.Duration // before the newest record's time; 0 = any age
}

// Memory is a log in memory. It places at once. One that keeps nothing costs an addition for each record.
//
//	entries  [ d e . . a b c ]    a ring that grows up to Limits.Records
//	                   ^head
type Memory struct {
	epoch  string
	last   atomic.Uint64
	closed atomic.Bool
	ring   *ring // nil: nothing is kept
}

// ring is the newest records.
type ring struct {
	limits Limits
	hold   func(bytes int) bool // nil: nobody counts

	mu       sync.RWMutex
	entries  []place
	head, n  int
	bytes    int
	previous uint64 // the offset of the newest record, kept or not; 0: there was none
	gone     uint64 // the highest offset of a record that gave way; 0: none has
	ended    bool   // closed: nothing is kept any more
}

type place struct {
	record           *Record
	offset, previous uint64
}

// lookMost is how many records one read looks at: those that are for others do not make it long.
const lookMost = 4096

// NewMemory returns an empty log of that epoch.
func NewMemory(epoch string, l Limits) *Memory {
	m := &Memory{epoch: epoch}
	if l.Records > 0 {
		m.ring = &ring{limits: l}
	}
	return m
}

// Account has hold count what the log keeps, in bytes, more or less: it is called before more is kept, with the lock of the
// log held, and reports whether it may be; less always may. Where it may not, the oldest records give way, and if
// that is not enough the new one is not kept. Account is called before the first record.
func (m *Memory) Account(hold func(bytes int) bool) {
	if m.ring != nil {
		m.ring.hold = hold
	}
}

// Append implements Log.
func (m *Memory) Append(r *Record) (Position, *Later, error) {
	switch {
	case m.closed.Load():
		return Position{}, nil, ErrClosed
	case m.ring == nil:
		offset := m.last.Add(1)
		return Position{m.epoch, offset, offset - 1}, nil, nil
	}
	at := Position{Epoch: m.epoch}
	at.Offset, at.Previous = m.ring.append(r, &m.last)
	return at, nil, nil
}

// append gives a record its place, and keeps it unless the log was closed meanwhile.
func (g *ring) append(r *Record, last *atomic.Uint64) (offset, previous uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	offset, previous = last.Add(1), g.previous
	if r.Missed {
		g.previous, g.gone = offset, offset
	}
	if r.Volatile {
		return offset, previous
	}
	g.previous = offset
	if !g.claim(r.Size()) {
		g.gone = offset
		return offset, previous
	}
	g.push(place{r, offset, previous})
	g.expire(r.At)
	for g.n > 0 && g.limits.Bytes > 0 && g.bytes > g.limits.Bytes {
		g.drop()
	}
	return offset, previous
}

// claim makes room in the account for a record; the oldest give way to it.
func (g *ring) claim(bytes int) bool {
	if g.ended {
		return false
	}
	if g.hold == nil {
		return true
	}
	for !g.hold(bytes) {
		if g.n == 0 {
			return false
		}
		g.drop()
	}
	return true
}

// push appends a place; the oldest gives way to it if there are too many.
func (g *ring) push(p place) {
	if g.n == g.limits.Records {
		g.drop()
	}
	if g.n == len(g.entries) {
		bigger := make([]place, min(max(2*g.n, 8), g.limits.Records))
		k := copy(bigger, g.entries[g.head:])
		copy(bigger[k:], g.entries[:g.head])
		g.entries, g.head = bigger, 0
	}
	g.entries[g.index(g.n)] = p
	g.n++
	g.bytes += p.record.Size()
}

// index is where the i-th place from the oldest is.
func (g *ring) index(i int) int {
	if i += g.head; i >= len(g.entries) {
		i -= len(g.entries)
	}
	return i
}

// drop lets the oldest record go.
func (g *ring) drop() {
	p := &g.entries[g.head]
	g.gone = p.offset
	size := p.record.Size()
	g.bytes -= size
	if g.hold != nil {
		g.hold(-size)
	}
	*p = place{}
	g.head = g.index(1)
	g.n--
}

// expire drops what is too old at that wall-clock time.
func (g *ring) expire(now int64) {
	for g.limits.Age > 0 && g.n > 0 && now-g.entries[g.head].record.At > int64(g.limits.Age) {
		g.drop()
	}
}

// Expire drops records that are too old at that wall-clock time, in nanoseconds since 1970, though nothing is appended.
func (m *Memory) Expire(now int64) {
	if m.ring == nil {
		return
	}
	m.ring.mu.Lock()
	defer m.ring.mu.Unlock()
	m.ring.expire(now)
}

// Held is how many records are kept, and the bytes they count.
func (m *Memory) Held() (records, bytes int) {
	if m.ring == nil {
		return 0, 0
	}
	m.ring.mu.RLock()
	defer m.ring.mu.RUnlock()
	return m.ring.n, m.ring.bytes
}

// Span implements Log.
func (m *Memory) Span() Span {
	if m.ring == nil {
		last := m.last.Load()
		return Span{Epoch: m.epoch, First: last + 1, Last: last, Gave: last}
	}
	m.ring.mu.RLock()
	defer m.ring.mu.RUnlock()
	return m.spanLocked()
}

func (m *Memory) spanLocked() Span {
	s := Span{Epoch: m.epoch, Last: m.last.Load()}
	if s.First = s.Last + 1; m.ring.n > 0 {
		s.First = m.ring.entries[m.ring.head].offset
	}
	s.Gave = s.First - 1
	return s
}

// TellsMissed implements Log.
func (m *Memory) TellsMissed() bool { return m.ring != nil }

// Keeps implements Log.
func (m *Memory) Keeps() bool { return m.ring != nil }

// Read implements Log: done is called before it returns.
func (m *Memory) Read(q Query, done func(Batch)) { done(m.read(q)) }

func (m *Memory) read(q Query) Batch {
	switch {
	case m.closed.Load():
		return Batch{Span: m.Span(), Next: q.After, Err: ErrClosed}
	case q.Epoch != "" && q.Epoch != m.epoch:
		return Batch{Span: m.Span(), Next: q.After, Err: ErrEpoch}
	case m.ring == nil:
		s := m.Span()
		return Batch{Span: s, Next: max(q.After, s.Last), Lost: q.After < s.Last, LostAfter: q.After}
	}
	m.ring.mu.RLock()
	defer m.ring.mu.RUnlock()
	return m.readLocked(q)
}

func (m *Memory) readLocked(q Query) Batch {
	g := m.ring
	b := Batch{Span: m.spanLocked(), Next: q.After, Lost: q.After < g.gone, LostAfter: q.After}
	bytes := 0
	first := g.after(q.After)
	for i := first; i < g.n; i++ {
		p := &g.entries[g.index(i)]
		if i-first == lookMost {
			return b
		}
		if q.For == nil || q.For.Gets(&p.record.To) {
			bytes += p.record.Size()
			if n := len(b.Placements); n > 0 && (n >= q.Limit.Records || bytes > q.Limit.Bytes) {
				return b
			}
			b.Placements = append(b.Placements, Placement{p.record, Position{m.epoch, p.offset, p.previous}})
		}
		b.Next = p.offset
	}
	b.Next = max(b.Next, b.Last)
	return b
}

// after is which place, counted from the oldest, is the first behind an offset.
func (g *ring) after(offset uint64) int {
	low, high := 0, g.n
	for low < high {
		middle := (low + high) / 2
		if g.entries[g.index(middle)].offset > offset {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// Close implements Log: what was kept is let go.
func (m *Memory) Close() {
	m.closed.Store(true)
	if g := m.ring; g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.ended = true
		for g.n > 0 {
			g.drop()
		}
		g.entries, g.head = nil, 0
	}
}
