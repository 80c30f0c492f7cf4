//go:build linux || darwin

package guard_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/guard"
)

// Clients beyond Room are answered 503, for which each needs a descriptor: the ceiling, beyond which a connection is
// closed unanswered, comes later, however many descriptors the loops hold.
func TestCeilingComesAfterRoomWhateverTheLoopsHold(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	const others = 12 // that a server has open: standard streams, Go's poller, ports, a spare
	for _, limit := range []uint64{256, 1024, 4096} {
		lower := unix.Rlimit{Cur: limit, Max: before.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
			t.Fatal(err)
		}
		for _, loops := range []int{1, 2, 16, 32, 64} {
			own := 3 * loops
			room, found := guard.Room(own)
			ceiling := guard.Ceiling(own)
			if found != int(limit) || room < 1 {
				t.Errorf("limit %d, %d loops: Room says %d of %d", limit, loops, room, found)
			}
			if open := own + others + room; open >= ceiling {
				t.Errorf("limit %d, %d loops: %d clients and what the server holds are %d descriptors, the ceiling is %d", limit, loops, room, open, ceiling)
			}
			if left := found - ceiling; left < 16 {
				t.Errorf("limit %d, %d loops: %d descriptors are left to the server", limit, loops, left)
			}
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	if room, _ := guard.Room(3 * 64); room != 1 {
		t.Errorf("where the loops hold more than there is, %d clients have room, want 1", room)
	}
	if guard.Ceiling(3*64) > 64 {
		t.Error("the ceiling is above the limit")
	}
}
