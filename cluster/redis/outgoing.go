package redis

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/streamweir/weir/cluster"
)

// outgoing is what a member publishes. One call of the engine is under way at a time: what comes meanwhile is gathered, by
// channels, and goes with the next. So who is alone waits for nobody, and many share the price of a round trip; the order of
// those who come after one another is kept.
type outgoing struct {
	of      *member
	running sync.WaitGroup

	mu      sync.Mutex
	waiting []*parcel          // in the order of their first messages
	open    map[string]*parcel // by channel: of waiting, those that take more
	spare   [][]byte           // empty, for data of parcels
	busy    bool               // run is there, and will look again
	closed  bool
}

// parcel is one message of the engine: messages for one channel.
type parcel struct {
	channel string
	lengths []byte
	data    []byte
	held    int
	left    int           // how many wait for it
	leaves  bool          // it is on its way, or nobody wants it any more
	done    chan struct{} // closed when err is known
	err     error
}

// How much goes in one parcel, and in one call, unless one message has more.
const (
	parcelBytes = 256 << 10
	callBytes   = 1 << 20
	callParcels = 256
	spareMost   = 4 // buffers, of at most twice parcelBytes each
)

// publish has data sent, and waits until the engine has it. held is given back when it is not held any more.
func (o *outgoing) publish(ctx context.Context, channel string, data []byte, held int) error {
	p := o.put(channel, data, held)
	if p == nil {
		o.of.Leave(held)
		return cluster.ErrClosed
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		o.forgo(p)
		return ctx.Err()
	}
}

// put puts a message in the parcel in which it will go; nil: nothing goes any more.
func (o *outgoing) put(channel string, data []byte, held int) *parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	p := o.open[channel]
	if p == nil || len(p.data)+len(data) > parcelBytes {
		p = &parcel{channel: channel, done: make(chan struct{})}
		if n := len(o.spare); n > 0 && len(data) <= parcelBytes {
			p.data, o.spare = o.spare[n-1], o.spare[:n-1]
		}
		if o.open == nil {
			o.open = make(map[string]*parcel)
		}
		o.open[channel] = p
		o.waiting = append(o.waiting, p)
	}
	p.lengths, p.data = appendLength(p.lengths, len(data)), append(p.data, data...)
	p.held += held
	p.left++
	if !o.busy {
		o.busy = true
		o.running.Go(o.run)
	}
	return p
}

// forgo says that somebody waits for a parcel no longer. One that nobody waits for, and that is not on its way, does not go.
func (o *outgoing) forgo(p *parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.left--; p.left > 0 || p.leaves {
		return
	}
	p.leaves = true
	o.of.Leave(p.held)
	p.data, p.lengths = nil, nil
	if o.open[p.channel] == p {
		delete(o.open, p.channel)
	}
}

// take is what goes in the next call; nothing: run ends.
func (o *outgoing) take() (list []*parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, bytes := 0, 0
	for _, p := range o.waiting {
		if bytes += len(p.data); len(list) == callParcels || (bytes > callBytes && len(list) > 0) {
			break
		}
		n++
		if p.leaves {
			continue
		}
		p.leaves = true
		if o.open[p.channel] == p {
			delete(o.open, p.channel)
		}
		list = append(list, p)
	}
	if o.waiting = o.waiting[n:]; len(o.waiting) == 0 {
		o.waiting = nil
	}
	o.busy = len(list) > 0
	return list
}

// run sends until nothing waits.
func (o *outgoing) run() {
	for list := o.take(); len(list) > 0; list = o.take() {
		o.send(list)
		o.settle(list)
	}
}

// settle tells those who wait for parcels what has become of them.
func (o *outgoing) settle(list []*parcel) {
	o.mu.Lock()
	for _, p := range list {
		if len(o.spare) < spareMost && cap(p.data) <= 2*parcelBytes {
			o.spare = append(o.spare, p.data[:0])
		}
		p.data = nil
	}
	o.mu.Unlock()
	for _, p := range list {
		o.of.Leave(p.held)
		close(p.done)
	}
}

// send sends parcels in one call of the engine.
func (o *outgoing) send(list []*parcel) {
	m := o.of
	ctx, cancel := m.Call(m.Life())
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		for _, p := range list {
			p.err = err
		}
		return
	}
	commands := make(rueidis.Commands, 0, len(list))
	for _, p := range list {
		commands = append(commands, m.client.B().Publish().Channel(m.names.channel+p.channel).Message(joinBody(p.lengths, p.data)).Build())
	}
	for i, r := range m.client.DoMulti(ctx, commands...) {
		list[i].err = m.failed(m.Life(), r.Error())
	}
}

// close waits until nothing is sent any more. It is called when the member's life has ended.
func (o *outgoing) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.running.Wait()
}
