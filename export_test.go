package weir

import (
	"unsafe"

	"github.com/streamweir/weir/internal/delivery"
)

// The sizes of what an idle connection holds, in bytes.
const (
	ClientSize = unsafe.Sizeof(client{})
	SocketSize = unsafe.Sizeof(Socket{})
)

// Residue lists what the socket and its connection keep beside themselves.
func (s *Socket) Residue() (left []string, err error) {
	err = s.onShard(func(*delivery.Socket) error {
		if s.mailbox != nil {
			left = append(left, "a mailbox")
		}
		if w := s.client.waiting(); w != nil && (w.holds > 0 || len(w.undecided)+len(w.backlog) > 0) {
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
