package weir

import (
	"maps"
	"time"

	"github.com/streamweir/weir/internal/survey"
)

// ClientView is the state of one client as the management API shows it, and in the same
// JSON: who it is, how far behind, and what it lost.
type ClientView struct {
	Node         string            `json:"node,omitempty"` // the name of its node, where all nodes were asked
	ID           string            `json:"id"`             // Socket.IO id
	Namespace    string            `json:"namespace"`
	Principal    string            `json:"principal,omitempty"`
	Address      string            `json:"address,omitempty"`   // IP address without a port
	Server       string            `json:"server,omitempty"`    // ServerOptions.Name
	Transport    string            `json:"transport,omitempty"` // polling or websocket
	Agent        string            `json:"agent,omitempty"`     // User-Agent, if that is remembered
	Since        time.Time         `json:"since"`               // when the connection was opened
	Depth        int               `json:"depth"`               // messages in its lanes, in flight included; the figures down to LossShare are those of all lanes
	Bytes        int               `json:"bytes"`
	InFlight     int               `json:"inFlight"`          // of them: sent, not acknowledged
	Spilled      int               `json:"spilled,omitempty"` // messages that wait for them in the logs of their topics (SpillToDisk)
	SpilledBytes int64             `json:"spilledBytes,omitempty"`
	BehindSince  time.Time         `json:"behindSince,omitzero"` // of its lanes that are behind their log, since when the first is
	OldestMs     int64             `json:"oldestAgeMs"`          // how long the oldest has waited, in milliseconds
	Drops        map[string]uint64 `json:"drops,omitempty"`      // by reason, see docs/errors.md
	Dropped      uint64            `json:"dropped"`              // the sum of Drops
	Losing       bool              `json:"losing,omitempty"`     // some lane is
	LossShare    float64           `json:"lossShare,omitempty"`  // the largest of its lanes, of the last seconds
	Unsent       int               `json:"unsentBytes"`          // bytes written that the kernel has not sent
	Kernel       *KernelView       `json:"kernel,omitempty"`     // nil where the kernel does not say
	Limited      *LimitedView      `json:"limited,omitempty"`    // nil: no InboundLimit has done anything to it
	Lanes        []LaneView        `json:"lanes"`
	LanesLeftOut int               `json:"lanesLeftOut,omitempty"` // of a client that was cut, or one of many nodes': only the worst are listed
	Cause        string            `json:"cause,omitempty"`        // why it was cut, see docs/errors.md; "": it is connected
	CutAt        time.Time         `json:"cutAt,omitzero"`
}

// KernelView is what the kernel says of a connection.
type KernelView struct {
	UnsentBytes int     `json:"unsentBytes"` // written, and not sent yet
	RTTMs       float64 `json:"rttMs"`       // round trip, in milliseconds
	Retransmits int     `json:"retransmits"` // segments sent again since the connection was opened
}

// LimitedView is what ServerLimits.Inbound has done to a connection, all of its sockets together.
type LimitedView struct {
	Throttled uint64    `json:"throttled"`       // events that had to wait for their turn
	Dropped   uint64    `json:"dropped"`         // events that were answered with an error, or ended the client
	WouldBe   uint64    `json:"wouldBe"`         // events that limits with DryRun would have stopped
	Rule      string    `json:"rule"`            // beyond which the last of them was, in words
	Last      time.Time `json:"last"`            // when it came
	ForMs     int64     `json:"forMs,omitempty"` // how long the client is not read still, because of one
}

// LaneView is one lane with its books. They balance (docs/promises.md, P5): Offered is the
// sum of Written or, on reliable topics, Acked, of Coalesced, of Drops, of Depth and of Spilled.
type LaneView struct {
	Topic        string            `json:"topic"` // "" = the events lane
	Depth        int               `json:"depth"` // messages in it, in flight included
	Bytes        int               `json:"bytes"`
	InFlight     int               `json:"inFlight"` // sent, not acknowledged
	Spilled      int               `json:"spilled"`  // wait for it in the topic's log (SpillToDisk)
	SpilledBytes int64             `json:"spilledBytes,omitempty"`
	BehindSince  time.Time         `json:"behindSince,omitzero"` // since when it is behind that log; the zero time: it is not
	OldestMs     int64             `json:"oldestAgeMs"`          // how long the oldest has waited, in milliseconds
	Offered      uint64            `json:"offered"`
	Written      uint64            `json:"written"`
	Acked        uint64            `json:"acked"`
	Retries      uint64            `json:"retries"`
	Coalesced    uint64            `json:"coalesced"` // replaced by a newer one
	Drops        map[string]uint64 `json:"drops,omitempty"`
	Loss         *LossView         `json:"loss,omitempty"` // of the last seconds; nil: none, or not known at a first look
	Balanced     bool              `json:"balanced"`
}

// LossView is what the policy of a lane took from its client in the last seconds.
type LossView struct {
	Losing   bool    `json:"losing"` // a tenth was dropped, or half dropped or replaced
	Share    float64 `json:"share"`  // of what was offered, dropped or replaced
	Offered  uint64  `json:"offered"`
	Dropped  uint64  `json:"dropped"`
	Replaced uint64  `json:"replaced"` // by a newer one of the same key, or as a snapshot
	Seconds  float64 `json:"seconds"`  // over how long
}

// viewsOf are clients as the application sees them, nothing of them shared.
func viewsOf(found []survey.Client) []ClientView {
	list := make([]ClientView, len(found))
	for i := range found {
		list[i] = viewOf(&found[i])
	}
	return list
}

func viewOf(v *survey.Client) ClientView {
	out := ClientView{
		Node: v.Node, ID: v.ID, Namespace: v.Namespace, Principal: v.Principal, Address: v.Address, Server: v.Server, Transport: v.Transport, Agent: v.Agent,
		Since: v.Since, Depth: v.Depth, Bytes: v.Bytes, InFlight: v.InFlight, Spilled: v.Spilled, SpilledBytes: v.SpilledBytes, BehindSince: v.BehindSince, OldestMs: v.OldestMs, Drops: maps.Clone(v.Drops), Dropped: v.Dropped,
		Losing: v.Losing, LossShare: v.LossShare, Unsent: v.Unsent,
		LanesLeftOut: v.LanesLeftOut, Cause: v.Cause, CutAt: v.CutAt,
	}
	if v.Kernel != nil {
		out.Kernel = new(KernelView(*v.Kernel))
	}
	if v.Limited != nil {
		out.Limited = new(LimitedView(*v.Limited))
	}
	if v.Lanes != nil {
		out.Lanes = make([]LaneView, len(v.Lanes))
	}
	for i := range v.Lanes {
		l := &v.Lanes[i]
		out.Lanes[i] = LaneView{
			Topic: l.Topic, Depth: l.Depth, Bytes: l.Bytes, InFlight: l.InFlight, Spilled: l.Spilled, SpilledBytes: l.SpilledBytes, BehindSince: l.BehindSince, OldestMs: l.OldestMs,
			Offered: l.Offered, Written: l.Written, Acked: l.Acked, Retries: l.Retries, Coalesced: l.Coalesced,
			Drops: maps.Clone(l.Drops), Balanced: l.Balanced,
		}
		if l.Loss != nil {
			out.Lanes[i].Loss = new(LossView(*l.Loss))
		}
	}
	return out
}
