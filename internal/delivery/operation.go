package delivery

import (
	"context"

	"github.com/streamweir/weir/internal/delivery/inbox"
)

// EachAndWait runs f on every socket a target means at one place in the namespace's
// order of emits, on the sockets' shards, and waits until all have done so. f must
// not block; different shards call it at the same time. A socket that leaves the
// namespace meanwhile may be left out.
func (h *Hub) EachAndWait(ctx context.Context, n *Namespace, to Target, f func(*Socket)) error {
	o := &operation{ns: n, target: &to, load: load{weight: inbox.Cost(0)}, each: f}
	o.receipt = newReceipt(h.receivers(&to))
	if err := h.post(ctx, o); err != nil {
		return err
	}
	select {
	case <-o.receipt.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.done:
		return ErrClosed
	}
}

// post appends an operation to the inboxes of all shards, or of the one its target
// names, at one place in the namespace's order.
func (h *Hub) post(ctx context.Context, o *operation) error {
	if h.closed() {
		return ErrClosed
	}
	var held reservation
	defer held.release()
	if err := held.reserveAll(ctx, h, o.target, o.weight); err != nil {
		return err
	}
	o.ns.mu.Lock()
	defer o.ns.mu.Unlock()
	held.put(o)
	return nil
}

// home implements job.
func (o *operation) home(sh *Shard) **stream { return &o.ns.on(sh).orders }

// begin implements job.
func (*operation) begin(_ *Shard, u *underWay) { u.choosing = true }

// goOn implements job.
func (o *operation) goOn(sh *Shard, u *underWay, most int) (done bool) {
	if u.choosing && !sh.choose(o.ns, o.target, u, most) {
		return false
	}
	for ; u.left > 0 && sh.spent < most; u.left-- {
		sh.spent++
		if s := u.chosen[u.left-1]; !s.closed {
			o.each(s)
		}
	}
	return u.left == 0
}

// end implements job.
func (o *operation) end(sh *Shard, _ *underWay) {
	o.receipt.finished()
	o.lift(sh)
}

// Do runs f on the socket's shard, in order with the plain events sent before.
func (s *Socket) Do(ctx context.Context, f func()) error {
	if s.Namespace.hub.closed() {
		return ErrClosed
	}
	sh := s.shard()
	c := &call{ns: s.Namespace, load: load{weight: inbox.Cost(0)}, run: f}
	if err := sh.reserve(ctx, c.weight); err != nil {
		return err
	}
	sh.in.PutJob(c)
	return nil
}

// home implements job.
func (c *call) home(sh *Shard) **stream { return &c.ns.on(sh).orders }

// begin implements job.
func (c *call) begin(*Shard, *underWay) { c.run() }

// goOn implements job.
func (*call) goOn(*Shard, *underWay, int) bool { return true }

// end implements job.
func (c *call) end(sh *Shard, _ *underWay) { c.lift(sh) }
