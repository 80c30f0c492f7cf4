package lane_test

import (
	"slices"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// model is a lane as one would write it without caring for speed: slices, no
// index, every sum computed anew. It follows configuration.md and the doc comments of
// package lane.
type model struct {
	policy lane.Policy
	queue  []*held
	out    []*held // best effort: being written
	window []*held // reliable, from the oldest unsettled one on; settled ones are holes

	spilled []*held // SPILL_TO_DISK: what waits in the log

	books   books
	untold  uint64
	because base.Reason
}

type books struct {
	offered, written, acked, retries, coalesced uint64
	dropped                                     [base.Reasons]uint64
}

// held is one entry of the model.
type held struct {
	msg     *base.Message
	size    int
	tries   int
	since   int64
	state   state
	settled bool
}

type state uint8

const (
	queued state = iota
	writing
	sent
	due
)

func (h *held) expired(now int64) bool { return h.msg.Expires != 0 && h.msg.Expires <= now }

func (m *model) offer(msg *base.Message, size int, now int64) lane.Fate {
	m.books.offered++
	if size > m.policy.MaxBytes {
		m.drop(base.ReasonTooLarge)
		return lane.TooLarge
	}
	m.expire(now)
	h := &held{msg: msg, size: size}
	if len(m.spilled) > 0 {
		m.spilled = append(m.spilled, h)
		return lane.Spilled
	}
	if m.replace(h) {
		return lane.Coalesced
	}
	if m.fits(size) {
		m.queue = append(m.queue, h)
		return lane.Accepted
	}
	if m.expireAll(now); m.fits(size) {
		m.queue = append(m.queue, h)
		return lane.Accepted
	}
	switch m.policy.Overflow {
	case base.RejectNew:
		m.drop(base.ReasonRejected)
		return lane.Rejected
	case base.Disconnect:
		m.drop(base.ReasonOverflow)
		return lane.Disconnect
	case base.SpillToDisk:
		m.spilled = append(m.spilled, h)
		return lane.Spilled
	}
	for !m.fits(size) {
		m.dropQueued(0, base.ReasonOverflow)
	}
	m.queue = append(m.queue, h)
	return lane.DroppedOldest
}

// spill is for a lane that is behind, as its user knows.
func (m *model) spill(msg *base.Message, size int) lane.Fate {
	m.books.offered++
	m.spilled = append(m.spilled, &held{msg: msg, size: size})
	return lane.Spilled
}

// unspill gives back the oldest that was spilled, read from the log as msg.
func (m *model) unspill(msg *base.Message, now int64) (needs int) {
	m.expire(now)
	h := &held{msg: msg, size: m.spilled[0].size}
	tooLarge := h.size > m.policy.MaxBytes
	if !h.expired(now) && !tooLarge && !m.replaces(h) && !m.fits(h.size) {
		return h.size
	}
	m.spilled = slices.Delete(m.spilled, 0, 1)
	switch {
	case h.expired(now):
		m.drop(base.ReasonExpired)
	case tooLarge:
		m.drop(base.ReasonTooLarge)
	case !m.replace(h):
		m.queue = append(m.queue, h)
	}
	return 0
}

// replaces reports whether replace would find something to replace.
func (m *model) replaces(h *held) bool {
	switch m.policy.Overflow {
	case base.SnapshotOnly:
		return len(m.queue) > 0
	case base.Coalesce:
		return h.msg.Key != "" && slices.ContainsFunc(m.queue, func(q *held) bool { return q.msg.Key == h.msg.Key })
	}
	return false
}

func (m *model) forgo(n int, r base.Reason) {
	for range min(n, len(m.spilled)) {
		m.spilled = slices.Delete(m.spilled, 0, 1)
		m.drop(r)
	}
}

// replace does what SNAPSHOT_ONLY and COALESCE do before anything else.
func (m *model) replace(h *held) bool {
	switch m.policy.Overflow {
	case base.SnapshotOnly:
		m.books.coalesced += uint64(len(m.queue))
		replaced := len(m.queue) > 0
		if replaced {
			m.queue = []*held{h}
		}
		return replaced
	case base.Coalesce:
		i := slices.IndexFunc(m.queue, func(q *held) bool { return h.msg.Key != "" && q.msg.Key == h.msg.Key })
		if i < 0 {
			return false
		}
		m.books.coalesced++
		m.queue[i] = h
		for m.bytes() > m.policy.MaxBytes { // the oldest of the others go
			oldest := 0
			if m.queue[0] == h {
				oldest = 1
			}
			m.dropQueued(oldest, base.ReasonOverflow)
		}
		return true
	}
	return false
}

func (m *model) force(msg *base.Message, size int) {
	m.books.offered++
	m.queue = append(m.queue, &held{msg: msg, size: size})
}

func (m *model) refuse(r base.Reason) {
	m.books.offered++
	m.drop(r)
}

// take returns nil if there is nothing to write.
func (m *model) take(now int64) *held {
	for _, h := range slices.Clone(m.window) {
		if h.settled || h.state != due {
			continue
		}
		if h.expired(now) {
			m.settle(h)
			m.drop(base.ReasonExpired)
			continue
		}
		h.state = writing
		return h
	}
	m.expire(now)
	if len(m.queue) == 0 {
		return nil
	}
	best := m.policy.Mode == base.BestEffort
	if !best && len(m.window) == m.policy.MaxInFlight {
		return nil
	}
	h := m.queue[0]
	m.queue = slices.Delete(m.queue, 0, 1)
	h.state = writing
	if best {
		m.out = append(m.out, h)
	} else {
		m.window = append(m.window, h)
	}
	return h
}

func (m *model) wrote(h *held, now int64) {
	if m.policy.Mode == base.BestEffort {
		m.out = without(m.out, h)
		m.books.written++
		return
	}
	if h.settled {
		return
	}
	if h.tries == 0 {
		m.books.written++
	} else {
		m.books.retries++
	}
	h.tries++
	h.since = now
	h.state = sent
}

func (m *model) untake(h *held) {
	switch {
	case m.policy.Mode == base.BestEffort:
		m.out = without(m.out, h)
	case h.tries > 0:
		h.state = due
		return
	default:
		m.window = without(m.window, h)
	}
	h.state = queued
	m.queue = slices.Insert(m.queue, 0, h)
}

// abandon is for best effort; a reliable entry is settled by close.
func (m *model) abandon(h *held, r base.Reason) {
	m.out = without(m.out, h)
	m.drop(r)
}

func (m *model) ack(id string) (at int64, ok bool) {
	for _, h := range m.window {
		if !h.settled && h.msg.ID == id && (h.state != writing || h.tries > 0) {
			m.settle(h)
			m.books.acked++
			return h.msg.At, true
		}
	}
	return 0, false
}

func (m *model) busy(now int64) {
	for _, h := range m.window {
		h.since = max(h.since, now)
	}
}

func (m *model) due(now int64) (again, exhausted int) {
	for _, h := range slices.Clone(m.window) {
		if h.settled || h.state != sent || now < m.deadline(h) {
			continue
		}
		switch {
		case h.tries == 1+m.policy.MaxRetries:
			exhausted++
			m.settle(h)
			m.drop(base.ReasonExhausted)
		case h.expired(now):
			m.settle(h)
			m.drop(base.ReasonExpired)
		default:
			again++
			h.state = due
		}
	}
	return again, exhausted
}

func (m *model) deadline(h *held) int64 {
	wait := float64(m.policy.AckTimeout)
	for range h.tries - 1 {
		wait *= max(1, m.policy.Backoff)
	}
	return h.since + int64(wait)
}

// expireAll is for a full lane: what has expired makes room wherever it stands.
func (m *model) expireAll(now int64) {
	for i := 0; i < len(m.queue); {
		if m.queue[i].expired(now) {
			m.dropQueued(i, base.ReasonExpired)
			continue
		}
		i++
	}
}

// expire looks at the head only: an expired entry behind one that lives waits.
func (m *model) expire(now int64) {
	for len(m.queue) > 0 && m.queue[0].expired(now) {
		m.dropQueued(0, base.ReasonExpired)
	}
}

func (m *model) evict(at int64) (n int) {
	for i := 0; i < len(m.queue); {
		if m.queue[i].msg.At > at {
			i++
			continue
		}
		m.dropQueued(i, base.ReasonBudget)
		n++
	}
	return n
}

func (m *model) close(r base.Reason) {
	m.forgo(len(m.spilled), r)
	for len(m.queue) > 0 {
		m.dropQueued(0, r)
	}
	for len(m.window) > 0 {
		m.settle(m.window[0])
		m.drop(r)
	}
}

func (m *model) dropQueued(i int, r base.Reason) {
	m.queue = slices.Delete(m.queue, i, i+1)
	m.drop(r)
}

func (m *model) drop(r base.Reason) {
	m.books.dropped[r]++
	m.untold++
	m.because = r
}

// settle leaves a hole; holes at the head go.
func (m *model) settle(h *held) {
	h.settled = true
	for len(m.window) > 0 && m.window[0].settled {
		m.window = slices.Delete(m.window, 0, 1)
	}
}

func (m *model) fits(size int) bool {
	return len(m.queue)+m.inFlight()+1 <= m.policy.MaxMessages && m.bytes()+size <= m.policy.MaxBytes
}

// bytes is what counts against MaxBytes: queued and in flight.
func (m *model) bytes() int { return sizes(m.queue) + sizes(m.window) }

func (m *model) inFlight() int { return len(m.flying()) }

func (m *model) flying() []*held {
	return slices.DeleteFunc(slices.Clone(m.window), func(h *held) bool { return h.settled })
}

func (m *model) sendable() bool {
	return slices.ContainsFunc(m.flying(), func(h *held) bool { return h.state == due }) ||
		len(m.queue) > 0 && (m.policy.Mode == base.BestEffort || len(m.window) < m.policy.MaxInFlight)
}

func (m *model) nextDeadline() int64 {
	var at []int64
	if len(m.queue) > 0 && m.queue[0].msg.Expires != 0 {
		at = append(at, m.queue[0].msg.Expires)
	}
	for _, h := range m.flying() {
		if h.state == sent {
			at = append(at, m.deadline(h))
		}
	}
	if len(at) == 0 {
		return 0
	}
	return slices.Min(at)
}

func (m *model) entries() []*held { return slices.Concat(m.queue, m.out, m.flying()) }

func sizes(entries []*held) (n int) {
	for _, h := range entries {
		if !h.settled {
			n += h.size
		}
	}
	return n
}

func without(entries []*held, h *held) []*held {
	return slices.DeleteFunc(entries, func(x *held) bool { return x == h })
}
