package demo

import (
	"context"
	"io"
	"sync"
	"time"
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

// Pace holds a Setting for any number of readers, which follow every change at once. It is safe for concurrent use.
type Pace struct {
	mu      sync.Mutex
	setting Setting
	changed chan struct{} // closed by the next Set
}

// NewPace returns a Pace with that setting.
func NewPace(s Setting) *Pace { return &Pace{setting: s, changed: make(chan struct{})} }

// Set changes how all readers read.
func (p *Pace) Set(s Setting) { p.Change(func(to *Setting) { *to = s }) }

// Change is Set for what depends on the setting before: no other change comes in between. It returns the new one.
func (p *Pace) Change(f func(*Setting)) Setting {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.setting)
	close(p.changed)
	p.changed = make(chan struct{})
	return p.setting
}

// Setting returns how the readers read now.
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

// Await returns as soon as the readers are not stalled, or with ctx's error.
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

// Reader returns a reader of r that takes no more than the rate from it and, while stalled, nothing: at most one step
// that was under way when the stall began. In any time t it takes at most rate * t and one step, an eighth of a
// second's worth. It is for one goroutine; its Read ends with ctx's error, unless r itself blocks.
func (p *Pace) Reader(ctx context.Context, r io.Reader) io.Reader {
	return &pacedReader{ctx: ctx, pace: p, from: r}
}

type pacedReader struct {
	ctx  context.Context
	pace *Pace
	from io.Reader

	took int       // bytes of the last step
	at   time.Time // of the last step
}

// stepsPerSecond makes a slow reader trickle rather than gulp.
const stepsPerSecond = 8

func (r *pacedReader) Read(b []byte) (int, error) {
	for {
		if err := r.pace.Await(r.ctx); err != nil {
			return 0, err
		}
		s, changed := r.pace.look()
		if s.Stalled {
			continue
		}
		if !r.due(s.Rate, changed) {
			continue
		}
		if s.Rate > 0 {
			b = b[:min(len(b), s.Rate/stepsPerSecond)]
		}
		n, err := r.from.Read(b)
		r.took, r.at = n, time.Now()
		return n, err
	}
}

// due waits until the last step is paid for. It reports false if the setting or the context ended the wait.
func (r *pacedReader) due(rate int, changed <-chan struct{}) bool {
	if rate == 0 {
		return true
	}
	wait := time.Until(r.at.Add(time.Duration(r.took) * time.Second / time.Duration(rate)))
	if wait <= 0 {
		return true
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-changed:
	case <-r.ctx.Done():
	}
	return false
}
