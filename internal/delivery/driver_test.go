package delivery_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// driver is one goroutine of the application.
type driver struct {
	*world
	n    int // from 1
	rand *rand.Rand
	seq  uint64
}

func (d *driver) run(ctx context.Context) {
	for range opsPerDriver {
		d.op(ctx)
		if d.rand.IntN(4) == 0 {
			d.pause()
		}
	}
}

func (d *driver) actor() *actor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clients[d.rand.IntN(len(d.clients))]
}

func (d *driver) op(ctx context.Context) {
	a := d.actor()
	switch d.rand.IntN(20) {
	case 0, 1, 2, 3, 4, 5:
		d.publishOne(ctx)
	case 6, 7:
		d.broadcast(ctx)
	case 8, 9:
		d.emitDirect(ctx, a)
	case 10:
		d.leave(a)
	default:
		for range 3 {
			a.shard.Post(taskFunc(a.act))
		}
	}
}

func (d *driver) publishOne(ctx context.Context) {
	n := d.Namespace(worldNamespaces[d.rand.IntN(2)])
	name := worldTopics[d.rand.IntN(len(worldTopics))]
	m := mark{Pub: d.ids.Add(1), Key: fmt.Sprint("k", d.rand.IntN(4)), Pad: pad(d.rand)}
	p := delivery.Publication{Payload: m.json()}
	if d.rand.IntN(5) == 0 {
		p = delivery.Publication{Binary: true, Key: m.Key, Payload: append(binary.BigEndian.AppendUint64(nil, m.Pub), m.Pad...)}
	}
	if d.rand.IntN(6) == 0 {
		p.Target.Rooms = []string{"red"}
	}
	d.mu.Lock() // so that offsets are known before anything is checked
	d.keys[m.Pub] = m.Key
	d.mu.Unlock()
	sent, err := d.Publish(ctx, n, name, &p, d.rand.IntN(2) == 0)
	if err != nil {
		d.t.Errorf("publish to %s: %v", name, err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offsets[m.Pub] = sent.Offset
}

func pad(r *rand.Rand) string {
	n := r.IntN(100)
	switch r.IntN(20) {
	case 0:
		n = 40_000
	case 1:
		n = 60_000
	case 2, 3:
		n = 4_000
	}
	return fill(n + 2)[1 : n+1]
}

func (d *driver) broadcast(ctx context.Context) {
	d.seq++
	path, name := worldNamespaces[d.rand.IntN(2)], []string{"news", "oldest", "prices", "room:1", "lazy"}[d.rand.IntN(5)]
	f := d.event(path, name, mark{Source: d.n, Seq: d.seq}, d.rand.IntN(3))
	var to delivery.Target
	e := delivery.Emission{Frame: f, Volatile: d.rand.IntN(4) == 0}
	if d.rand.IntN(2) == 0 {
		to.Rooms = []string{"r1", "red"}
	}
	if err := d.Emit(ctx, d.Namespace(path), name, e, to); err != nil {
		d.t.Errorf("emit %s: %v", name, err)
	}
}

// emitDirect sends to one socket, in order with its broadcasts.
func (d *driver) emitDirect(ctx context.Context, a *actor) {
	var s *delivery.Socket
	a.do(func() {
		if len(a.sockets) > 0 {
			s = a.sockets[d.rand.IntN(len(a.sockets))]
		}
	})
	if s == nil {
		return
	}
	d.seq++
	f := d.event(s.Namespace.Path, "direct", mark{Source: d.n, Seq: d.seq}, d.rand.IntN(2))
	if err := s.Emit(ctx, "direct", delivery.Emission{Frame: f}, false); err != nil {
		d.t.Errorf("emit: %v", err)
	}
}

// leave ends a connection one way or the other, and another one comes.
func (d *driver) leave(a *actor) {
	if d.rand.IntN(3) != 0 {
		return
	}
	how := d.rand.IntN(3)
	a.do(func() {
		switch how {
		case 0:
			a.conn.Close(base.CauseTransportClose)
		case 1:
			a.conn.Finish(base.CauseDraining)
		case 2:
			a.fault = context.Canceled // the next write fails, and the transport closes
			a.shard.Post(taskFunc(func() { a.conn.Close(base.CauseTransportError) }))
		}
	})
	d.connect(d.rand.IntN(2), rand.New(rand.NewPCG(d.rand.Uint64(), 1)))
}
