package swarm

import (
	"time"

	"github.com/streamweir/weir/internal/wire/sio"
)

// maxReasons bounds the reasons counted apart: some are written by the server.
const maxReasons = 64

// otherReason is what the rest counts as.
const otherReason = "other"

// group is a Group at work.
type group struct {
	loop    *loop
	spec    Group
	index   int
	clients []client // made once: they are linked by address
	counts  [states]int
	stats   Snapshot // since the last one; of its state only Newest is kept here

	began   int64 // nanos of the first connection's turn
	dialed  int   // clients whose turn has come
	leaving bool

	event []byte // the text of an emitted event between its id and its number
	step  int64  // nanos between two emitted events of a client; 0: closed loop
	held  bool   // nobody emits yet
}

func newGroup(l *loop, spec Group, index int) *group {
	g := &group{loop: l, spec: spec, index: index, clients: make([]client, spec.Clients), began: l.now, stats: newStats()}
	for i := range g.clients {
		c := &g.clients[i]
		c.group, c.index, c.fd = g, int32(i), -1
		c.timer.Init(c)
	}
	g.counts[idle] = spec.Clients
	if e := spec.Emit; e != nil {
		g.held = e.Held
		g.event = append(sio.AppendString([]byte{'['}, e.Event), `,{"n":`...)
		if e.Rate > 0 {
			g.step = max(int64(float64(time.Second)/e.Rate), 1)
		}
	}
	return g
}

func newStats() Snapshot {
	return Snapshot{
		Failures: map[string]int64{}, Lost: map[string]int64{}, Newest: -1,
		ConnectTime: NewHistogram(), Latency: NewHistogram(), EmitLatency: NewHistogram(),
	}
}

// nextDial is when the next client is to connect for the first time; false if that is not a matter of time.
func (g *group) nextDial(now int64, abreast int) (when int64, ok bool) {
	switch {
	case g.leaving || g.dialed == len(g.clients):
		return 0, false
	case g.spec.Rate > 0:
		return g.began + int64(float64(g.dialed)/g.spec.Rate*float64(time.Second)), true
	}
	return now, g.counts[connecting]+g.counts[shaking] < abreast
}

// dial begins the connections that are due, a slice of them at most.
func (g *group) dial(now int64, abreast int) {
	for range slice {
		if when, ok := g.nextDial(now, abreast); !ok || when > now {
			return
		}
		c := &g.clients[g.dialed]
		g.dialed++
		c.dial()
	}
}

// count books a reason.
func count(reasons map[string]int64, reason string) {
	if _, known := reasons[reason]; !known && len(reasons) >= maxReasons {
		reason = otherReason
	}
	reasons[reason]++
}

// snapshot hands out the counts and begins new ones.
func (g *group) snapshot() Snapshot {
	s := g.stats
	g.stats = newStats()
	g.stats.Newest = s.Newest
	s.Group, s.Asked = g.spec.Name, len(g.clients)
	s.Ready = g.counts[ready]
	s.Connecting = g.counts[connecting] + g.counts[shaking]
	s.Waiting = g.counts[waiting]
	s.Leaving = g.counts[leaving]
	s.Left = g.counts[left]
	s.Gone = g.counts[gone]
	return s
}
