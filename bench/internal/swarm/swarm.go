package swarm

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// abreast is how many clients connect at the same time.
const abreast = 32

// Swarm is a number of clients that come and go together.
type Swarm struct {
	Clients []*Client

	readers sync.WaitGroup
	mu      sync.Mutex
	failed  error
}

// Gather connects n clients to a server, each with the options of its index, and subscribes them to topics. On an error
// none is left.
func Gather(address string, n int, options func(i int) Options, topics ...Topic) (*Swarm, error) {
	s := &Swarm{Clients: make([]*Client, n)}
	errs := make([]error, n)
	var comers sync.WaitGroup
	for w := range min(n, abreast) {
		comers.Go(func() {
			for i := w; i < n; i += abreast {
				s.Clients[i], errs[i] = gatherOne(address, options(i), topics)
			}
		})
	}
	comers.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 { // one says it: the others met the same
		return nil, errors.Join(fmt.Errorf("client %d of %d: %w", i, n, errs[i]), s.Close())
	}
	return s, nil
}

func gatherOne(address string, o Options, topics []Topic) (*Client, error) {
	c, err := Dial(address, o)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if err := c.Subscribe(t.Name()); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Read starts a goroutine that reads client i until the swarm closes. The first error of any is kept for Err: whoever
// waits for messages must ask, and bound the wait.
func (s *Swarm) Read(i int, on func(text []byte) error) {
	s.readers.Go(func() {
		if err := s.Clients[i].Read(on); err != nil {
			s.fail(fmt.Errorf("client %d: %w", i, err))
		}
	})
}

func (s *Swarm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
}

// Err is the first error a reader met.
func (s *Swarm) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Close ends every connection, waits for the readers and returns the first error one of them met.
func (s *Swarm) Close() error {
	for _, c := range s.Clients {
		if c != nil {
			_ = c.Close() // nothing is lost that anyone waits for
		}
	}
	s.readers.Wait()
	return s.Err()
}
