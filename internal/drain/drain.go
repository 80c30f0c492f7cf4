// Package drain sends all clients of a server away: one owner and one rate, however many ask for it.
package drain

import (
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// step is how often clients are sent away, and how often it is seen whether any are left.
const step = 10 * time.Millisecond

// catchUp is how much lost time is made up for at once when the process did not get to run: a rate is not kept by a burst.
const catchUp = 10 * step

// Herd are the clients. The drain's goroutine calls the methods, and so does any that asks for Progress.
type Herd interface {
	// Here is how many clients are connected, and how many of them nobody has told to leave yet.
	Here() (all, staying int)
	// SendAway tells up to n of those staying to leave, wherever they are, and does not wait for them.
	SendAway(n int)
	// SentAway is how many SendAway has told so far.
	SentAway() int
}

// Options shape a Drain.
type Options struct {
	Herd      Herd
	PerSecond int           // clients sent away in a second; more than 0
	Timeout   time.Duration // from the beginning, after which those left are not waited for
	Linger    time.Duration // for the last packets of those told, once nobody is left to be told
	Logger    *slog.Logger
}

// Drain is one leaving of all clients. All methods may be called concurrently.
type Drain struct {
	o     Options
	asked atomic.Bool
	began chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	since   time.Time // zero until it has begun
	until   time.Time // zero until it is over
	clients int       // when it began
	cut     int       // left when its time was over
}

// New returns a drain that has not begun.
func New(o Options) *Drain {
	o.PerSecond = min(o.PerSecond, int(time.Second)) // one a nanosecond is all at once
	return &Drain{o: o, began: make(chan struct{}), done: make(chan struct{})}
}

// Began is closed when the drain has begun, Done when it is over.
func (d *Drain) Began() <-chan struct{} { return d.began }

// Done is closed when all clients have left, or are not waited for any longer.
func (d *Drain) Done() <-chan struct{} { return d.done }

// Run sends the clients away, at Options.PerSecond and never faster, until none is left, the time is over or stop is
// closed. A second call returns at once: there is one drain, and Done says when it has ended.
func (d *Drain) Run(stop <-chan struct{}) {
	if d.asked.Swap(true) {
		return
	}
	d.begin()
	defer d.end()
	d.run(stop)
}

func (d *Drain) begin() {
	all, _ := d.o.Herd.Here()
	d.mu.Lock()
	d.since, d.clients = time.Now(), all
	d.mu.Unlock()
	p := d.Progress()
	close(d.began)
	args := []any{"clients", p.Clients, "clients_per_second", p.PerSecond, "seconds", p.SecondsLeft, "linger_seconds", p.LingerSeconds, "timeout_seconds", p.TimeoutSeconds}
	if p.CutAtTimeout > 0 {
		d.o.Logger.Warn("draining: the time-out is shorter than it takes to send all clients away, the others will be cut then; "+
			"raise drain.timeoutMs or drain.clientsPerSecond", append(args, "cut_at_timeout", p.CutAtTimeout)...)
		return
	}
	d.o.Logger.Info("draining", args...)
}

func (d *Drain) end() {
	all, _ := d.o.Herd.Here()
	d.mu.Lock()
	d.until, d.cut = time.Now(), all
	d.mu.Unlock()
	close(d.done)
}

func (d *Drain) run(stop <-chan struct{}) {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	over := time.NewTimer(d.o.Timeout)
	defer over.Stop()
	last, owed := time.Now(), int64(0) // in clients a second times nanoseconds
	var told time.Time                 // when nobody was left to be told
	for {
		all, staying := d.o.Herd.Here()
		switch {
		case all == 0:
			return
		case staying > 0:
			told = time.Time{}
		case told.IsZero():
			told = time.Now()
		case time.Since(told) > d.o.Linger: // polling sessions that never ask again, above all
			return
		}
		select {
		case <-ticker.C:
		case <-over.C:
			return
		case <-stop:
			return
		}
		now := time.Now()
		owed += int64(d.o.PerSecond) * int64(min(now.Sub(last), catchUp))
		last = now
		if n := owed / int64(time.Second); n > 0 {
			owed %= int64(time.Second)
			d.o.Herd.SendAway(int(n))
		}
	}
}

// Progress is how far a drain is, or would be if it began now.
type Progress struct {
	Draining bool `json:"draining"` // it has begun
	// Clients are those connected when it began, Left those still connected, SentAway those told to leave. The others
	// have left by themselves.
	Clients   int `json:"clients"`
	Left      int `json:"left"`
	SentAway  int `json:"sentAway"`
	PerSecond int `json:"clientsPerSecond"`
	// SecondsLeft is how long it takes to send away those not told yet, or until the time-out if that comes first.
	SecondsLeft float64 `json:"secondsLeft"`
	// LingerSeconds is how much longer, at most, those told may take for their last packets: a polling client has to ask.
	LingerSeconds  float64 `json:"lingerSeconds"`
	TimeoutSeconds float64 `json:"timeoutSeconds"`
	// CutAtTimeout is how many will not have been told when the time is over; once it is, how many were still connected.
	CutAtTimeout int `json:"cutAtTimeout"`
	// Took is how long it took; 0 until it is over.
	Took time.Duration `json:"-"`
}

// Progress says how far the drain is. Before it has begun it tells what a drain would have to do.
func (d *Drain) Progress() Progress {
	all, staying := d.o.Herd.Here()
	d.mu.Lock()
	defer d.mu.Unlock()
	p := Progress{
		Draining: !d.since.IsZero(), Clients: all, Left: all, SentAway: d.o.Herd.SentAway(), PerSecond: d.o.PerSecond,
		LingerSeconds:  d.o.Linger.Seconds(),
		TimeoutSeconds: d.o.Timeout.Seconds(),
	}
	remaining := d.o.Timeout
	if p.Draining {
		p.Clients = d.clients
		remaining = max(0, remaining-time.Since(d.since))
	}
	if !d.until.IsZero() {
		p.Took, p.CutAtTimeout = d.until.Sub(d.since), d.cut
		return p
	}
	need := time.Duration(math.Ceil(float64(staying) / float64(d.o.PerSecond) * float64(time.Second)))
	p.SecondsLeft = min(need, remaining).Seconds()
	if need > remaining {
		p.CutAtTimeout = staying - int(remaining.Seconds()*float64(d.o.PerSecond))
	}
	return p
}
