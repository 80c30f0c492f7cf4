package engineio

import "sync"

// tracker counts what has to be over before Close returns. Unlike a WaitGroup
// it refuses newcomers once it is closing. Any goroutine may call it.
type tracker struct {
	mu      sync.Mutex
	count   int
	closing bool
	idle    chan struct{} // closed when closing and nobody is left
}

func newTracker() *tracker { return &tracker{idle: make(chan struct{})} }

// enter counts one more; false means that it is too late.
func (t *tracker) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return false
	}
	t.count++
	return true
}

func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count--
	if t.closing && t.count == 0 {
		close(t.idle)
	}
}

// close refuses newcomers and returns a channel that is closed when nobody is
// left. Idempotent.
func (t *tracker) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closing {
		t.closing = true
		if t.count == 0 {
			close(t.idle)
		}
	}
	return t.idle
}

func (t *tracker) isClosing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closing
}
