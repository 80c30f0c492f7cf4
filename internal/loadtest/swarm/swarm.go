package swarm

import (
	"errors"
	"fmt"
	"sync"
)

// ErrClosed is returned by what is asked of a swarm after Close.
var ErrClosed = errors.New("the swarm is closed")

// Swarm is clients in groups. Any goroutine may call its methods.
type Swarm struct {
	loop   *loop
	thread sync.WaitGroup

	mu     sync.Mutex
	queue  []func() // for the loop, in order
	groups map[string]bool
	closed bool // nothing is queued any more
}

// Start opens a swarm without clients. Its loop runs on a thread of its own until Close. The error is one about the
// Spec, every problem of it at once, or about this machine.
func Start(spec Spec) (*Swarm, error) {
	l, err := newLoop(spec)
	if err != nil {
		return nil, fmt.Errorf("start clients: %w", err)
	}
	s := &Swarm{loop: l, groups: map[string]bool{}}
	s.thread.Go(s.run)
	return s, nil
}

// run is the loop's goroutine. Close ends it, and so would an epoll that fails.
func (s *Swarm) run() {
	s.loop.run(s.take)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, f := range s.queue { // who waits for an answer has it
		f()
	}
	s.queue = nil
	s.loop.poller.close()
}

// take empties the queue.
func (s *Swarm) take() []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.queue
	s.queue = nil
	return asked
}

// Add brings in a group, which begins to connect. The error is about the group, or ErrClosed.
func (s *Swarm) Add(g Group) error {
	if err := g.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.groups[g.Name] {
		return fmt.Errorf("group %q is there already", g.Name)
	}
	if len(s.groups) == maxGroups {
		return fmt.Errorf("group %q: a swarm has at most %d", g.Name, maxGroups)
	}
	s.groups[g.Name] = true
	s.postLocked(func() { s.loop.admit(g) })
	return nil
}

const maxGroups = 1 << 10

// Cut closes a share, 0 to 1, of a group's ready clients, spread evenly over it, without a word: the server gets
// a RST. They count as lost with the reason "cut" and come back if the group reconnects.
func (s *Swarm) Cut(name string, share float64) error {
	return s.order(name, func(g *group) { s.loop.cut(g, share) })
}

// Leave makes all of a group close in order, and those that are not ready give up. None comes back.
func (s *Swarm) Leave(name string) error {
	return s.order(name, s.loop.leave)
}

// Begin lets a group send whose Emit is held. Who comes in later sends at once.
func (s *Swarm) Begin(name string) error {
	return s.order(name, s.loop.begin)
}

// Read makes all of a group read at another rate from now on: bytes a second, 0 for as they come, Stalled for never.
func (s *Swarm) Read(name string, rate int) error {
	if rate < Stalled {
		return fmt.Errorf("read rate %d: bytes a second, 0 for as they come or %d for stalled", rate, Stalled)
	}
	return s.order(name, func(g *group) { s.loop.pace(g, rate) })
}

// order asks the loop to do something to a group.
func (s *Swarm) order(name string, do func(*group)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if !s.groups[name] {
		return fmt.Errorf("there is no group %q", name)
	}
	s.postLocked(func() { do(s.loop.named(name)) })
	return nil
}

func (s *Swarm) postLocked(f func()) {
	s.queue = append(s.queue, f)
	if len(s.queue) == 1 {
		s.loop.poller.wake() // under the lock: run closes the poller
	}
}

// Delivered tells a closed loop how far it may go: the highest number that every ready client has which reads as fast
// as it can, and everything before it; a number missed counts as had, and a client that is lost does not count. One
// that became ready after the first delivery counts from its own first one. The channel holds the newest value only.
func (s *Swarm) Delivered() <-chan int64 { return s.loop.delivered }

// Snapshot returns what each group does and has counted since the last call, in the order of Add. After Close it
// returns the rest.
func (s *Swarm) Snapshot() []Snapshot {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.thread.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.loop.snapshot()
	}
	answer := make(chan []Snapshot, 1)
	s.postLocked(func() { answer <- s.loop.snapshot() })
	s.mu.Unlock()
	return <-answer
}

// Close closes every connection and waits for the loop. Only the first call does anything. The error is that of an
// epoll that failed.
func (s *Swarm) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.postLocked(s.loop.stop)
	}
	s.mu.Unlock()
	s.thread.Wait()
	return s.loop.failed
}
