package weir

import (
	"context"
	"time"

	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/link"
)

// The tests of the whole are in a room of their own, and some have to hold a loop, or to see what a client keeps. They get
// that here, and not by exported names that embedders would find.
func init() {
	attach.Tests = attach.Inside{
		OnLoop: func(socket any, f func()) error {
			return socket.(*Socket).onLoop(func() error { f(); return nil })
		},
		LoopOf:             func(socket any) int { return socket.(*Socket).client.Shard().Index() },
		Residue:            func(socket any) ([]string, error) { return socket.(*Socket).residue() },
		ExpireWhileClosing: func(socket any) (bool, error) { return socket.(*Socket).expireWhileClosing() },
		LockHandlers: func(namespace any) (release func()) {
			n := namespace.(*Namespace)
			n.mu.Lock()
			return n.mu.Unlock
		},
		Unlocked: func(socket any) bool {
			s := socket.(*Socket)
			free := s.mu.TryLock()
			if free {
				s.mu.Unlock()
			}
			return free
		},
		OccupyReaders: func(server any) (release func()) { return link.Occupy(server.(*Server).readers) },
		CloseOutside:  func(ctx context.Context, server any) error { return server.(*Server).outside.Close(ctx) },
		FlushLog:      func(server any, most time.Duration) (left int) { return server.(*Server).lines.Flush(most) },
	}
}

// expireWhileClosing is attach.Inside's.
func (s *Socket) expireWhileClosing() (armed bool, err error) {
	err = s.onLoop(func() error {
		armed = s.client.ExpireWhileClosing()
		return nil
	})
	return armed, err
}

// residue is attach.Inside's.
func (s *Socket) residue() (left []string, err error) {
	err = s.onLoop(func() error {
		if s.desk.Load() != nil {
			left = append(left, "a mailbox")
		}
		if s.client.Waits() {
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

// onLoop runs f on the loop of a socket that has not left and waits for it.
func (s *Socket) onLoop(f func() error) error {
	d, err := s.sendable()
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	done := s.post(func() { result <- f() })
	select {
	case <-done:
	case <-d.Conn().Shard().Done():
		return ErrDraining
	}
	select {
	case err := <-result:
		return err
	default:
		return ErrDisconnected
	}
}
