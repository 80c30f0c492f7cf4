package peer

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// stepsPerSecond makes a slow reader trickle rather than gulp: one step is this part of what it reads in a second.
const stepsPerSecond = 8

// paced is a connection that is read no faster than its rate. What it did not use of the rate it does not catch up on:
// in any time t it takes at most rate * t and one step. What a read that is under way brings when a stall has begun is
// held for after the stall. Under TLS the rate is that of the bytes on the wire.
//
// One goroutine reads; the other methods may be called by any.
type paced struct {
	net.Conn

	mu       sync.Mutex
	rate     int // bytes a second; 0: as they come; Stalled
	deadline time.Time
	closed   bool
	changed  chan struct{} // closed by the next change of the above

	// The reader's.
	due  time.Time // when the last step is paid for
	held []byte    // read while a stall began
}

func newPaced(c net.Conn) *paced { return &paced{Conn: c, changed: make(chan struct{})} }

// change makes a change the reader wakes up for.
func (p *paced) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *paced) setRate(bytesPerSecond int) {
	p.change(func() { p.rate = bytesPerSecond })
}

// SetReadDeadline implements net.Conn.
func (p *paced) SetReadDeadline(t time.Time) error {
	p.change(func() { p.deadline = t })
	return p.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (p *paced) SetDeadline(t time.Time) error {
	p.change(func() { p.deadline = t })
	return p.Conn.SetDeadline(t)
}

// Close implements net.Conn.
func (p *paced) Close() error {
	p.change(func() { p.closed = true })
	return p.Conn.Close()
}

// Read implements net.Conn.
func (p *paced) Read(b []byte) (int, error) {
	for {
		rate, err := p.await()
		if err != nil {
			return 0, err
		}
		step := b
		if rate > 0 {
			step = b[:min(len(b), max(rate/stepsPerSecond, 1))]
		}
		n, err := p.take(step)
		switch {
		case err == nil && p.stalled(): // since it began to read
			p.held = append(bytes.Clone(step[:n]), p.held...)
			continue
		case rate > 0:
			p.due = time.Now().Add(time.Duration(n) * time.Second / time.Duration(rate))
		}
		return n, err
	}
}

// take reads what is held, or else the connection.
func (p *paced) take(b []byte) (int, error) {
	if len(p.held) == 0 {
		p.held = nil
		return p.Conn.Read(b)
	}
	n := copy(b, p.held)
	p.held = p.held[n:]
	return n, nil
}

func (p *paced) stalled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate == Stalled
}

// await waits until a step is due and returns the rate it is due at.
func (p *paced) await() (rate int, err error) {
	for {
		p.mu.Lock()
		rate, deadline, closed, changed := p.rate, p.deadline, p.closed, p.changed
		p.mu.Unlock()

		now := time.Now()
		switch {
		case closed:
			return 0, net.ErrClosed
		case !deadline.IsZero() && !now.Before(deadline):
			return 0, os.ErrDeadlineExceeded
		case rate == 0, rate > 0 && !now.Before(p.due):
			return rate, nil
		}
		wakeUp := deadline
		if rate > 0 && (wakeUp.IsZero() || p.due.Before(wakeUp)) {
			wakeUp = p.due
		}
		wait(changed, wakeUp)
	}
}

// wait returns at a moment, if there is one, or when changed is closed.
func wait(changed <-chan struct{}, until time.Time) {
	var moment <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		moment = t.C
	}
	select {
	case <-changed:
	case <-moment:
	}
}
