package demo

import (
	"context"
	"sync"

	"github.com/streamweir/weir/internal/peer"
)

// The rates a Setting allows besides 0, in bytes per second.
const (
	MinRate = 256
	MaxRate = 64 << 10
)

// Setting is how the slow clients read.
type Setting struct {
	Rate    int  `json:"rate"` // bytes per second, from MinRate to MaxRate; 0 = as fast as they come
	Stalled bool `json:"stalled"`
}

// readRate is the setting in peer's terms.
func (s Setting) readRate() int {
	if s.Stalled {
		return peer.Stalled
	}
	return s.Rate
}

// Pace holds a Setting for any number of connections, which follow every change at once. It is safe for concurrent use.
type Pace struct {
	mu      sync.Mutex
	setting Setting
	changed chan struct{}           // closed by the next Change
	conns   map[*peer.Conn]struct{} // those that follow
}

// NewPace returns a Pace with that setting.
func NewPace(s Setting) *Pace {
	return &Pace{setting: s, changed: make(chan struct{}), conns: make(map[*peer.Conn]struct{})}
}

// Set changes how all connections are read.
func (p *Pace) Set(s Setting) { p.Change(func(to *Setting) { *to = s }) }

// Change is Set for what depends on the setting before: no other change comes in between. It returns the new one.
func (p *Pace) Change(f func(*Setting)) Setting {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.setting)
	for c := range p.conns {
		c.SetReadRate(p.setting.readRate()) // here, so that of two changes the later one stays
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return p.setting
}

// Setting returns how the connections are read now.
func (p *Pace) Setting() Setting {
	s, _ := p.look()
	return s
}

// look returns the setting and a channel that is closed when it is no longer current.
func (p *Pace) look() (Setting, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.setting, p.changed
}

// Await returns as soon as the setting is not stalled, or with ctx's error.
func (p *Pace) Await(ctx context.Context) error {
	for {
		s, changed := p.look()
		if !s.Stalled {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Drive makes a connection follow until release is called.
func (p *Pace) Drive(c *peer.Conn) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.SetReadRate(p.setting.readRate())
	p.conns[c] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	}
}
