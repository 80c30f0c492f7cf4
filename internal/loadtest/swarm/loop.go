package swarm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wheel"
)

const (
	readSize = 64 << 10 // bytes of one read
	slice    = 128      // clients that a long job does something to in one turn

	portsPerSource = 2_000 // of the 28 k a source address has: the more are taken, the longer the kernel looks for one
	firstSource    = 2     // 127.0.0.2
	maxSources     = 250
)

// interest is what a client's descriptor is watched for; its end is always seen.
type interest uint8

const (
	wantRead interest = 1 << iota
	wantWrite
	wantHangup // the server has sent all it will, without reading it
)

// readiness is what a descriptor is ready for.
type readiness uint8

const (
	canRead readiness = 1 << iota
	canWrite
	hungUp
	broken
)

// loop owns all clients. Only its goroutine touches it, but for poller.wake and delivered.
type loop struct {
	spec      Spec
	script    *peer.Script
	server    *endpoint
	poller    *poller
	wheel     *wheel.Wheel
	delivered chan int64

	in       []byte // every client's read
	out      []byte // frames of the client at hand, see client.flush
	text     []byte // scratch of one text
	now      int64  // nanos of the turn, of the read within a read
	words    words
	ledger   ledger
	groups   []*group
	byName   map[string]*group
	jobs     []job
	asked    int // clients of all groups
	newest   int64
	random   *rand.Rand
	dialed   int
	stopping bool
	over     bool          // the thread is gone
	used     time.Duration // CPU time of the thread when it went
	told     time.Duration // of it, in snapshots so far
	failed   error
}

// job is something long, done a slice a turn. It reports whether there is more to do.
type job func() (more bool)

func newLoop(spec Spec) (*loop, error) {
	target, err := spec.target()
	if err := errors.Join(err, spec.validate()); err != nil {
		return nil, err
	}
	script, err := target.Script(0)
	if err != nil {
		return nil, err
	}
	server, err := resolve(target.Address())
	if err != nil {
		return nil, err
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	if spec.Abreast == 0 {
		spec.Abreast = defaultAbreast
	}
	if spec.Timeout == 0 {
		spec.Timeout = defaultTimeout
	}
	return &loop{
		spec: spec, script: script, server: server, poller: p, wheel: wheel.New(wheel.MinTick, nanos()),
		delivered: make(chan int64, 1), in: make([]byte, readSize), words: newWords(spec, script.Namespace()),
		ledger: newLedger(), byName: map[string]*group{}, newest: -1,
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}, nil
}

// run turns until stop, then closes every connection. asked empties the queue of what is wanted from outside.
func (l *loop) run(asked func() []func()) {
	runtime.LockOSThread() // the CPU time is this thread's
	defer runtime.UnlockOSThread()
	l.told = threadTime() // the thread may have had another life
	for !l.stopping {
		if err := l.poller.wait(l.nextDue(), l.ready); err != nil {
			l.failed = fmt.Errorf("watch the clients' connections: %w", err)
			l.stopping = true
		}
		l.now = nanos()
		for _, f := range asked() {
			f()
		}
		l.wheel.Advance(l.now, slice)
		l.work()
		l.report()
	}
	l.closeAll()
	l.used, l.over = threadTime(), true
}

func (l *loop) stop() { l.stopping = true }

// nextDue is the moment up to which a turn may wait; 0 is for ever, and a moment past not at all.
func (l *loop) nextDue() int64 {
	if len(l.jobs) > 0 {
		return l.now
	}
	due := int64(0)
	if when, ok := l.wheel.Next(); ok {
		due = max(when, 1)
	}
	for _, g := range l.groups {
		if when, ok := g.nextDial(l.now, l.spec.Abreast); ok && (due == 0 || when < due) {
			due = max(when, 1)
		}
	}
	return due
}

// ready is called by the poller.
func (l *loop) ready(group, client int, what readiness) {
	c := &l.groups[group].clients[client]
	if c.fd >= 0 {
		c.ready(what)
	}
}

// work does a slice of everything long.
func (l *loop) work() {
	for _, g := range l.groups {
		g.dial(l.now, l.spec.Abreast)
	}
	jobs := l.jobs
	l.jobs = nil
	for _, j := range jobs {
		if j() {
			l.jobs = append(l.jobs, j)
		}
	}
}

// each makes a job of doing something to every client of a group.
func (l *loop) each(g *group, do func(*client)) {
	at := 0
	l.jobs = append(l.jobs, func() bool {
		end := min(at+slice, len(g.clients))
		for ; at < end; at++ {
			do(&g.clients[at])
		}
		return at < len(g.clients)
	})
}

func (l *loop) named(name string) *group { return l.byName[name] }

// admit is Swarm.Add.
func (l *loop) admit(spec Group) {
	g := newGroup(l, spec, len(l.groups))
	l.groups = append(l.groups, g)
	l.byName[spec.Name] = g
	l.asked += spec.Clients
}

// cut is Swarm.Cut.
func (l *loop) cut(g *group, share float64) {
	due := 0.0
	l.each(g, func(c *client) {
		if c.state != ready {
			return
		}
		if due += share; due >= 1-1e-9 {
			due--
			c.cut()
		}
	})
}

// pace is Swarm.Read.
func (l *loop) pace(g *group, rate int) {
	g.spec.ReadRate = rate
	l.each(g, func(c *client) {
		if c.state == ready {
			c.due = 0
			c.settle(nil)
		}
	})
}

// begin is Swarm.Begin.
func (l *loop) begin(g *group) {
	if !g.held {
		return
	}
	g.held = false
	l.each(g, func(c *client) {
		if c.state == ready {
			c.beginEmit()
			c.settle(nil)
		}
	})
}

// leave is Swarm.Leave.
func (l *loop) leave(g *group) {
	g.leaving = true
	l.each(g, (*client).leave)
}

func (l *loop) closeAll() {
	for _, g := range l.groups {
		for i := range g.clients {
			if c := &g.clients[i]; c.fd >= 0 {
				closeSocket(int(c.fd))
				c.fd = -1
			}
		}
	}
}

// report tells the closed loop how far everybody has got, once a turn.
func (l *loop) report() {
	n, ok := l.ledger.news()
	if !ok {
		return
	}
	select {
	case l.delivered <- n:
		return
	default:
	}
	select {
	case <-l.delivered: // unread: n says more
	default:
	}
	l.delivered <- n // there is room: nobody else sends
}

func (l *loop) snapshot() []Snapshot {
	all := make([]Snapshot, len(l.groups))
	for i, g := range l.groups {
		all[i] = g.snapshot()
	}
	if len(all) > 0 {
		used := l.used
		if !l.over {
			used = threadTime()
		}
		all[0].Loop.Busy, l.told = used-l.told, used
	}
	return all
}

// source is where the next connection comes from, as the last byte of 127.0.0.x; 0 leaves it to the system. They take
// turns, so that a client whose source has no port left finds another the next time.
func (l *loop) source() int {
	if !l.server.loopback() {
		return 0
	}
	n := l.spec.Sources
	if n == 0 {
		n = min(1+l.asked/portsPerSource, maxSources)
	}
	first := l.spec.FirstSource
	if first == 0 {
		first = firstSource + os.Getpid()%maxSources
	}
	l.dialed++
	return firstSource + (first-firstSource+l.dialed%n)%maxSources
}
