package delivery

import (
	"cmp"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// ClientView is one socket as the management API shows it: who it is, how far
// behind, and what it lost.
type ClientView struct {
	ID           string            `json:"id"`
	Namespace    string            `json:"namespace"`
	Principal    string            `json:"principal,omitempty"`
	Address      string            `json:"address,omitempty"`
	Server       string            `json:"server,omitempty"`
	Transport    string            `json:"transport,omitempty"`
	Agent        string            `json:"agent,omitempty"` // its User-Agent, if that is remembered
	Since        time.Time         `json:"since"`
	Depth        int               `json:"depth"`
	Bytes        int               `json:"bytes"`
	InFlight     int               `json:"inFlight"`
	OldestMs     int64             `json:"oldestAgeMs"`
	Drops        map[string]uint64 `json:"drops,omitempty"`
	Dropped      uint64            `json:"dropped"`
	Losing       bool              `json:"losing,omitempty"`    // some lane is
	LossShare    float64           `json:"lossShare,omitempty"` // the largest of its lanes, of the last seconds
	Unsent       int               `json:"unsentBytes"`
	Kernel       *KernelView       `json:"kernel,omitempty"`
	Lanes        []LaneView        `json:"lanes"`
	LanesLeftOut int               `json:"lanesLeftOut,omitempty"` // of a client that was cut: only the worst are kept
	Cause        string            `json:"cause,omitempty"`
	CutAt        time.Time         `json:"cutAt,omitzero"`
}

// KernelView is what the kernel says of the connection.
type KernelView struct {
	UnsentBytes int     `json:"unsentBytes"`
	RTTMs       float64 `json:"rttMs"`
	Retransmits int     `json:"retransmits"`
}

// LaneView is one lane with its books (promise P5).
type LaneView struct {
	Topic     string            `json:"topic"` // "" = the events lane
	Depth     int               `json:"depth"`
	Bytes     int               `json:"bytes"`
	InFlight  int               `json:"inFlight"`
	Spilled   int               `json:"spilled"`
	OldestMs  int64             `json:"oldestAgeMs"`
	Offered   uint64            `json:"offered"`
	Written   uint64            `json:"written"`
	Acked     uint64            `json:"acked"`
	Retries   uint64            `json:"retries"`
	Coalesced uint64            `json:"coalesced"`
	Drops     map[string]uint64 `json:"drops,omitempty"`
	Loss      *Loss             `json:"loss,omitempty"` // of the last seconds; nil: none, or not known at a first look
	Balanced  bool              `json:"balanced"`
}

// Describer adds to a view what only the owner of the connection knows: address,
// transport, server, User-Agent, kernel figures. A Peer may implement it. Called on the loop.
type Describer interface {
	Describe(*ClientView)
}

// view describes a socket with at most so many of its topic lanes, the worst; the others
// are in its sums. Loop only.
func (s *Socket) view(most int) ClientView {
	v := ClientView{ID: s.ID, Namespace: s.Namespace.Path, Principal: s.Principal, Unsent: s.conn.box.Unwritten()}
	if n := s.conn.box.Unsent(); n > 0 {
		v.Unsent += n
	}
	v.addLane(s.eventsView())
	lanes, rest := s.worst(most)
	for _, l := range lanes {
		v.addLane(l.viewWhole(s.shard()))
	}
	for _, l := range rest {
		v.LanesLeftOut++
		v.addSums(l)
		if l.stage == stageBehind {
			v.addSums(&l.catchUp().outLane)
		}
		v.OldestMs = max(v.OldestMs, l.ageWhole(s.shard().now).Milliseconds())
	}
	if d, ok := s.conn.peer.(Describer); ok {
		d.Describe(&v)
	}
	return v
}

// worst returns the topic lanes whose messages have waited longest, or else those that
// dropped most, and the others.
func (s *Socket) worst(most int) (lanes, rest []*outLane) {
	if len(s.lanes) <= most {
		return s.lanes, nil
	}
	now := s.shard().now
	ranked := slices.Clone(s.lanes)
	slices.SortStableFunc(ranked, func(a, b *outLane) int {
		return cmp.Or(cmp.Compare(b.ageWhole(now), a.ageWhole(now)), cmp.Compare(b.AllDropped(), a.AllDropped()))
	})
	return ranked[:most], ranked[most:]
}

// addSums adds a lane that is not listed.
func (v *ClientView) addSums(l *outLane) {
	v.Depth += l.Depth()
	v.Bytes += l.Bytes()
	v.InFlight += l.InFlight()
	for r := range base.Reason(base.Reasons) {
		v.addDrops(r.String(), l.Dropped(r))
	}
}

func (v *ClientView) addDrops(reason string, n uint64) {
	if n == 0 {
		return
	}
	if v.Drops == nil {
		v.Drops = make(map[string]uint64)
	}
	v.Drops[reason] += n
	v.Dropped += n
}

func (v *ClientView) addLane(l LaneView) {
	v.Lanes = append(v.Lanes, l)
	v.Depth += l.Depth
	v.Bytes += l.Bytes
	v.InFlight += l.InFlight
	v.OldestMs = max(v.OldestMs, l.OldestMs)
	if l.Loss != nil {
		v.Losing = v.Losing || l.Loss.Losing
		v.LossShare = max(v.LossShare, l.Loss.Share)
	}
	for r, n := range l.Drops {
		v.addDrops(r, n)
	}
}

// viewWhole describes a lane of a topic with the snapshot it is behind.
func (l *outLane) viewWhole(sh *Shard) LaneView {
	v := l.view(sh)
	if l.stage == stageBehind {
		c := l.catchUp()
		v.absorb(c.view(sh))
		v.OldestMs = max(v.OldestMs, c.age(sh.now).Milliseconds())
	}
	return v
}

func (l *outLane) view(sh *Shard) LaneView {
	v := LaneView{
		Topic: l.name(), Depth: l.Depth(), Bytes: l.Bytes(), InFlight: l.InFlight(), OldestMs: l.age(sh.now).Milliseconds(),
		Offered: l.Offered, Written: l.Written, Acked: l.Acked(), Retries: l.Retries(), Coalesced: l.Coalesced(),
		Balanced: l.Balanced(),
	}
	if loss, known := sh.loss(l); known && loss.Share > 0 {
		v.Loss = &loss
	}
	for r := range base.Reason(base.Reasons) {
		if n := l.Dropped(r); n > 0 {
			if v.Drops == nil {
				v.Drops = make(map[string]uint64)
			}
			v.Drops[r.String()] = n
		}
	}
	return v
}

// absorb adds the figures of a lane of the same topic and client.
func (l *LaneView) absorb(o LaneView) {
	l.Depth += o.Depth
	l.Bytes += o.Bytes
	l.InFlight += o.InFlight
	l.OldestMs = max(l.OldestMs, o.OldestMs)
	l.Offered += o.Offered
	l.Written += o.Written
	l.Coalesced += o.Coalesced
	for r, n := range o.Drops {
		if l.Drops == nil {
			l.Drops = make(map[string]uint64)
		}
		l.Drops[r] += n
	}
	l.Balanced = l.Balanced && o.Balanced
}

// ageWhole is the age of what waited longest, in the lane or in the snapshot it is behind.
func (l *outLane) ageWhole(now int64) time.Duration {
	age := l.age(now)
	if l.stage == stageBehind {
		age = max(age, l.catchUp().age(now))
	}
	return age
}

// age is how long the lane's oldest message has waited.
func (l *outLane) age(now int64) time.Duration {
	if at := l.OldestAt(); at != 0 || l.Depth() > 0 {
		return time.Duration(now - at)
	}
	return 0
}
