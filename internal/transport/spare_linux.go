package transport

import (
	"errors"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// spare is a descriptor kept for the moment when there is none: handing a connection to net/http takes a second one for
// an instant, which must not cost the client its connection. The zero spare has none until keep.
type spare struct {
	mu   sync.Mutex
	file *os.File // nil: none could be had
	done bool
}

// keep takes a descriptor, if there is one to be had.
func (s *spare) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepLocked()
}

func (s *spare) keepLocked() {
	if s.file == nil && !s.done {
		s.file, _ = os.Open(os.DevNull) // without one there is only less to fall back on
	}
}

// conn makes a net.Conn of a connection's descriptor, which it closes.
func (s *spare) conn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	conn, err := net.FileConn(f)
	if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
		_ = f.Close()
		return conn, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
		conn, err = net.FileConn(f)
	}
	_ = f.Close() // its descriptor is the next spare's
	s.keepLocked()
	return conn, err
}

// drop gives the descriptor back for good. Idempotent.
func (s *spare) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done = true; s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
