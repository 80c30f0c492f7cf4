// Package hook asks a backend of the application, over HTTP: it signs, bounds, gives up and remembers, so that a backend
// which is slow, gone or mad costs clients a clear answer and the server nothing that grows.
package hook

import (
	"container/list"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/latency"
)

// callBytes is what a call takes beyond its body: itself, its timers, the buffers of its connection.
const callBytes = 12 << 10

// Options of a Caller. All are given: it knows no defaults.
type Options struct {
	Name      string // of the hook, in the log and the field User-Agent
	URL       string
	Secrets   [][]byte // see sign
	Timeout   time.Duration
	Max       int // calls under way
	Waiting   int // calls that wait for one of those to end
	MaxAnswer int // bytes
	// After so many calls in a row that found nobody none is made for Pause.
	After int
	Pause time.Duration
	Roots *x509.CertPool // whose certificates are believed; nil: the system's
	// Claim counts n bytes in the budget, or says that they may not be; Hold counts them whatever it says, or less.
	Claim func(n int) error
	Hold  func(n int)
	Log   *slog.Logger
}

// Call is one question. Its functions are called by goroutines of the Caller, or by Do.
type Call struct {
	Body []byte // JSON
	// Needless is asked when the call's turn has come: true says that there is an answer by now. Nil: there never is.
	Needless func() bool
	// Read is given the answer. Its error says what is wrong with it, and nothing of a client.
	Read func(answer []byte) error
	// Done is called once, after Read: nil, or a *Failure.
	Done func(error)
}

// Caller makes calls to one URL. All methods may be called from any goroutine.
type Caller struct {
	o       Options
	client  *http.Client
	secrets atomic.Pointer[[][]byte]
	ending  context.Context // ends with Close
	end     context.CancelFunc
	calls   sync.WaitGroup // those that are not done
	runs    sync.WaitGroup // goroutines
	count   [results]atomic.Uint64

	mu      sync.Mutex
	breaker breaker
	running int        // goroutines, each with a call
	line    *list.List // of *pending
	took    latency.Histogram
	closed  bool
	troubles
}

// pending is a call that is not done.
type pending struct {
	Call
	ctx    context.Context
	place  *list.Element // in the line; nil: it is not there, or any more
	forget func() bool   // stops what takes it out of the line when ctx ends
}

func (p *pending) bytes() int { return callBytes + len(p.Body) }

// NewCaller connects to nobody yet.
func NewCaller(o Options) *Caller {
	c := &Caller{o: o, client: newClient(&o), breaker: breaker{after: o.After, pause: o.Pause}, line: list.New()}
	c.ending, c.end = context.WithCancel(context.Background())
	c.SetSecrets(o.Secrets)
	return c
}

// SetSecrets has calls that begin from now on signed with other secrets.
func (c *Caller) SetSecrets(secrets [][]byte) { c.secrets.Store(&secrets) }

// Do has a call made, or tells at once why it is not. It does not wait: Done is called, by Do itself where nothing has to be waited
// for. When ctx ends the call is given up, wherever it is.
func (c *Caller) Do(ctx context.Context, call Call) {
	p := &pending{Call: call, ctx: ctx}
	if err := c.o.Claim(p.bytes()); err != nil {
		c.conclude(p, &Failure{Full, err})
		return
	}
	if why := c.enter(p); why != nil {
		c.o.Hold(-p.bytes())
		c.conclude(p, why)
	}
}

// enter gives a call a goroutine or a place in the line; or it says why it has none.
func (c *Caller) enter(p *pending) *Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return &Failure{Result: Ended}
	case !c.breaker.lets(time.Now()):
		return &Failure{Result: Broken}
	case c.running < c.o.Max:
		c.running++
		c.calls.Add(1)
		c.runs.Add(1)
		go c.run(p)
	case c.line.Len() >= c.o.Waiting:
		return &Failure{Full, errors.New("as many wait as may")}
	default:
		c.calls.Add(1)
		p.place = c.line.PushBack(p)
		p.forget = context.AfterFunc(p.ctx, func() { c.withdraw(p) })
	}
	return nil
}

// run makes a call, and then those that wait; it ends when none does.
func (c *Caller) run(p *pending) {
	defer c.runs.Done()
	for p != nil {
		c.finish(p, c.make(p))
		p = c.next()
	}
}

// next is the call that has waited longest; nil: none has, and its caller ends.
func (c *Caller) next() *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.line.Front()
	if first == nil {
		c.running--
		return nil
	}
	return c.takeLocked(first.Value.(*pending)) // nothing else is in the line
}

func (c *Caller) takeLocked(p *pending) *pending {
	c.line.Remove(p.place)
	p.place = nil
	p.forget()
	return p
}

// withdraw gives up a call that waits.
func (c *Caller) withdraw(p *pending) {
	c.mu.Lock()
	waits := p.place != nil
	if waits {
		c.takeLocked(p)
	}
	c.mu.Unlock()
	if waits {
		c.finish(p, &Failure{Left, p.ctx.Err()})
	}
}

// make makes a call.
func (c *Caller) make(p *pending) *Failure {
	if p.Needless != nil && p.Needless() {
		return &Failure{Result: Cached}
	}
	if c.ending.Err() != nil {
		return &Failure{Result: Ended}
	}
	if err := p.ctx.Err(); err != nil {
		return &Failure{Left, err}
	}
	begun := time.Now()
	c.mu.Lock()
	before := c.breaker.state
	ok, decides := c.breaker.begin(begun)
	after := c.breaker.state
	c.mu.Unlock()
	c.tellState(before, after)
	if !ok {
		return &Failure{Result: Broken}
	}
	c.o.Hold(c.o.MaxAnswer)
	why := c.post(p, begun)
	c.o.Hold(-c.o.MaxAnswer)
	now := time.Now()
	c.mu.Lock()
	c.took.Observe(int64(now.Sub(begun)))
	before = c.breaker.state
	c.breaker.end(now, decides, why.verdict())
	after = c.breaker.state
	c.mu.Unlock()
	c.tellState(before, after)
	return why
}

// finish ends a call that was entered.
func (c *Caller) finish(p *pending, why *Failure) {
	defer c.calls.Done()
	c.o.Hold(-p.bytes())
	c.conclude(p, why)
}

// conclude counts how a call ended, and tells it.
func (c *Caller) conclude(p *pending, why *Failure) {
	result := Answered
	if why != nil {
		result = why.Result
	}
	c.count[result].Add(1)
	c.tellFailure(why)
	switch result {
	case Answered, Cached:
		p.Done(nil)
	default:
		p.Done(why)
	}
}

// Close gives up all calls, and returns when each is done. It may be called twice.
func (c *Caller) Close() {
	c.mu.Lock()
	c.closed = true
	var waiting []*pending
	for e := c.line.Front(); e != nil; e = c.line.Front() {
		waiting = append(waiting, c.takeLocked(e.Value.(*pending))) // nothing else is in the line
	}
	c.mu.Unlock()
	c.end()
	for _, p := range waiting {
		c.finish(p, &Failure{Result: Ended})
	}
	c.calls.Wait()
	c.runs.Wait()
	c.client.CloseIdleConnections()
}

// Stats are the figures of a Caller at one moment.
type Stats struct {
	Running, Waiting int
	Breaker          BreakerState
	Results          [results]uint64 // by Result
	Took             latency.Distribution
}

// Stats returns them.
func (c *Caller) Stats() Stats {
	c.mu.Lock()
	s := Stats{Running: c.running, Waiting: c.line.Len(), Breaker: c.breaker.state}
	c.mu.Unlock()
	s.Took.Add(&c.took)
	for i := range c.count {
		s.Results[i] = c.count[i].Load()
	}
	return s
}
