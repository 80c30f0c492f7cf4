package survey

import (
	"cmp"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// Client is one socket as the management API shows it: who it is, how far
// behind, and what it lost.
type Client struct {
	Node         string            `json:"node,omitempty"` // the name of its node, where all are asked
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
	Spilled      int               `json:"spilled,omitempty"`      // messages that wait for its lanes in the logs of their topics
	SpilledBytes int64             `json:"spilledBytes,omitempty"` // their bytes
	BehindSince  time.Time         `json:"behindSince,omitzero"`   // of its lanes that are behind their log, since when the first is
	OldestMs     int64             `json:"oldestAgeMs"`
	Drops        map[string]uint64 `json:"drops,omitempty"`
	Dropped      uint64            `json:"dropped"`
	Losing       bool              `json:"losing,omitempty"`    // some lane is
	LossShare    float64           `json:"lossShare,omitempty"` // the largest of its lanes, of the last seconds
	Unsent       int               `json:"unsentBytes"`
	Kernel       *Kernel           `json:"kernel,omitempty"`
	Limited      *Limited          `json:"limited,omitempty"` // nil: no limit on what it may send has done anything
	Lanes        []Lane            `json:"lanes"`
	LanesLeftOut int               `json:"lanesLeftOut,omitempty"` // of a client that was cut, or one of many nodes': only the worst are listed
	Cause        string            `json:"cause,omitempty"`
	CutAt        time.Time         `json:"cutAt,omitzero"`
}

// Kernel is what the kernel says of the connection.
type Kernel struct {
	UnsentBytes int     `json:"unsentBytes"`
	RTTMs       float64 `json:"rttMs"`
	Retransmits int     `json:"retransmits"`
}

// Limited is what the limits on what clients may send have done to a connection.
type Limited struct {
	Throttled uint64    `json:"throttled"`       // events that had to wait for their turn
	Dropped   uint64    `json:"dropped"`         // events that were answered with an error, or ended the socket
	WouldBe   uint64    `json:"wouldBe"`         // events that rules which are tried only would have stopped
	Rule      string    `json:"rule"`            // beyond which the last of them was
	Last      time.Time `json:"last"`            // when it came
	ForMs     int64     `json:"forMs,omitempty"` // how long the client is not read still, because of one
}

// Lane is one lane with its books (promise P5).
type Lane struct {
	Topic        string            `json:"topic"` // "" = the events lane
	Depth        int               `json:"depth"`
	Bytes        int               `json:"bytes"`
	InFlight     int               `json:"inFlight"`
	Spilled      int               `json:"spilled"`                // messages that wait for the lane in its topic's log
	SpilledBytes int64             `json:"spilledBytes,omitempty"` // their bytes
	BehindSince  time.Time         `json:"behindSince,omitzero"`   // it is given what it has missed from the log, since then
	OldestMs     int64             `json:"oldestAgeMs"`
	Offered      uint64            `json:"offered"`
	Written      uint64            `json:"written"`
	Acked        uint64            `json:"acked"`
	Retries      uint64            `json:"retries"`
	Coalesced    uint64            `json:"coalesced"`
	Drops        map[string]uint64 `json:"drops,omitempty"`
	Loss         *Loss             `json:"loss,omitempty"` // of the last seconds; nil: none, or not known at a first look
	Balanced     bool              `json:"balanced"`
}

// AddSums adds a lane that is not listed.
//
//weir:loop
func (v *Client) AddSums(l *lane.Lane) {
	v.Depth += l.Depth()
	v.Bytes += l.Bytes()
	v.InFlight += l.InFlight()
	n, bytes, _ := l.Spilled()
	v.Spilled += int(n) //nolint:gosec // a count of messages
	v.SpilledBytes += bytes
	for r := range base.Reason(base.Reasons) {
		v.addDrops(r.String(), l.Dropped(r))
	}
}

func (v *Client) addDrops(reason string, n uint64) {
	if n == 0 {
		return
	}
	if v.Drops == nil {
		v.Drops = make(map[string]uint64)
	}
	v.Drops[reason] += n
	v.Dropped += n
}

// AddLane lists a lane, and adds it to the sums.
func (v *Client) AddLane(l Lane) {
	v.Lanes = append(v.Lanes, l)
	v.Depth += l.Depth
	v.Bytes += l.Bytes
	v.InFlight += l.InFlight
	v.Spilled += l.Spilled
	v.SpilledBytes += l.SpilledBytes
	v.LaggedSince(l.BehindSince)
	v.OldestMs = max(v.OldestMs, l.OldestMs)
	if l.Loss != nil {
		v.Losing = v.Losing || l.Loss.Losing
		v.LossShare = max(v.LossShare, l.Loss.Share)
	}
	for r, n := range l.Drops {
		v.addDrops(r, n)
	}
}

// LaggedSince says that one of its lanes is behind its log, since then; the zero time: it is not.
func (v *Client) LaggedSince(t time.Time) {
	if v.BehindSince.IsZero() || (!t.IsZero() && t.Before(v.BehindSince)) {
		v.BehindSince = t
	}
}

// LaneOf describes a lane of that topic, "" for the events lane, of which the oldest message has waited for that age.
//
//weir:loop
func LaneOf(l *lane.Lane, topic string, age time.Duration, now int64) Lane {
	v := Lane{
		Topic: topic, Depth: l.Depth(), Bytes: l.Bytes(), InFlight: l.InFlight(), OldestMs: age.Milliseconds(),
		Offered: l.Offered, Written: l.Written, Acked: l.Acked(), Retries: l.Retries(), Coalesced: l.Coalesced(),
		Balanced: l.Balanced(),
	}
	if n, bytes, _ := l.Spilled(); n > 0 {
		v.Spilled, v.SpilledBytes = int(n), bytes //nolint:gosec // a count of messages
	}
	if topic != "" {
		if loss, known := LossOf(l, now); known && loss.Share > 0 {
			v.Loss = &loss
		}
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

// Absorb adds the figures of a lane of the same topic and client.
func (l *Lane) Absorb(o Lane) {
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

// Age is how long the oldest message of a lane has waited.
//
//weir:loop
func Age(l *lane.Lane, now int64) time.Duration {
	if at := l.OldestAt(); at != 0 || l.Depth() > 0 {
		return time.Duration(now - at)
	}
	return 0
}

// only narrows a view to the lanes of the topics asked for.
func (v *Client) only(q *Query) {
	lanes := v.Lanes
	v.Lanes, v.Depth, v.Bytes, v.InFlight, v.OldestMs, v.Dropped, v.Drops = nil, 0, 0, 0, 0, 0, nil
	v.Spilled, v.SpilledBytes, v.BehindSince = 0, 0, time.Time{}
	v.Losing, v.LossShare = false, 0
	for _, l := range lanes {
		if q.matches(l.Topic) {
			v.AddLane(l)
		}
	}
}

// LeaveOut lists at most so many lanes of topics, 0 for all: those whose messages have waited longest, or else those that dropped
// most. Its sums stay those of all.
func (v *Client) LeaveOut(most int) {
	if most <= 0 || len(v.Lanes) <= most {
		return
	}
	lanes := slices.Clone(v.Lanes)
	slices.SortStableFunc(lanes, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(b.OldestMs, a.OldestMs), cmp.Compare(b.dropped(), a.dropped()))
	})
	v.LanesLeftOut += len(lanes) - most
	v.Lanes = lanes[:most]
}

func (l *Lane) dropped() (n uint64) {
	for _, d := range l.Drops {
		n += d
	}
	return n
}
