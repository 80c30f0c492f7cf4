package weir

import (
	"context"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/workers"
)

// The sizes of what an idle connection holds, in bytes.
const (
	ClientSize = unsafe.Sizeof(client{})
	SocketSize = unsafe.Sizeof(Socket{})
)

// ExpireWhileClosing lets the time to join run out for the socket's client, over polling,
// after its session was closed; it reports whether a time is set for its end.
func (s *Socket) ExpireWhileClosing() (armed bool, err error) {
	err = s.onShard(func() error {
		c := s.client
		was := c.joined
		c.joined = guard.NeverJoined
		c.session.Close(base.CauseForcedClose)
		c.out.Shard().Schedule(&c.timer, 0) // it has fired
		c.Expire(nil, c.connectBy())
		armed, c.joined = c.timer.Armed(), was
		return nil
	})
	return armed, err
}

// Residue lists what the socket and its connection keep beside themselves.
func (s *Socket) Residue() (left []string, err error) {
	err = s.onShard(func() error {
		if s.mailbox != nil {
			left = append(left, "a mailbox")
		}
		if w := s.client.waiting(); w != nil && (w.pauses > 0 || len(w.undecided)+len(w.backlog) > 0) {
			left = append(left, "a list of what waits")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.own != nil {
			left = append(left, "belongings")
		}
		return nil
	})
	return left, err
}

// task is a base.Task.
type task func()

// Run implements base.Task.
func (f task) Run() { f() }

// onShard runs f on the shard of a socket that has not left and waits for it.
func (s *Socket) onShard(f func() error) error {
	d, err := s.sendable()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	d.Conn().Shard().Post(task(func() {
		if d.Closed() {
			done <- ErrDisconnected
			return
		}
		done <- f()
	}))
	select {
	case err := <-done:
		return err
	case <-d.Conn().Shard().Done():
		return ErrDraining
	}
}

// OnShardForTest runs f on the socket's shard and waits for it.
func (s *Socket) OnShardForTest(f func()) {
	_ = s.onShard(func() error { f(); return nil })
}

// ShardForTest is the number of the socket's shard.
func (s *Socket) ShardForTest() int { return s.client.out.Shard().Index() }

// HoldForTest takes the lock of the namespace's handlers until release is called.
func (n *Namespace) HoldForTest() (release func()) {
	n.mu.Lock()
	return n.mu.Unlock
}

// FreeForTest reports whether nobody holds the socket's lock.
func (s *Socket) FreeForTest() bool {
	free := s.mu.TryLock()
	if free {
		s.mu.Unlock()
	}
	return free
}

// HoldReadersForTest keeps all readers of large messages busy until release is called; of a server with one shard.
func (s *Server) HoldReadersForTest() (release func()) {
	held, open := make(chan struct{}), make(chan struct{})
	box := new(workers.Mailbox)
	box.Init(s.readers, &readingLimits, nil)
	box.Push(workers.JobFunc(func(context.Context) { close(held); <-open }), 0)
	<-held
	return func() { close(open) }
}

// Door is what a test asks of a server of the options.
type Door struct {
	Name       string
	Namespaces []string
	Auth       bool
}

// DoorsForTest lists the servers of the options as they came out.
func DoorsForTest(s *Server) (list []Door) {
	for _, d := range s.doors {
		out := Door{Name: d.opts.Name, Auth: d.opts.Auth, Namespaces: []string{}}
		for _, n := range d.opts.Namespaces {
			out.Namespaces = append(out.Namespaces, n.Path)
		}
		list = append(list, out)
	}
	return list
}

// ViewForTest is what the application sees of a client.
func ViewForTest(v *survey.Client) ClientView { return viewOf(v) }

// CloseOutside closes the pool that the application is asked on, as the end of the server does before it closes the workers.
func (s *Server) CloseOutside(ctx context.Context) error { return s.outside.Close(ctx) }
