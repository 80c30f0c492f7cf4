package attach

import (
	"context"
	"time"
)

// Inside is what the tests of the whole (internal/systemtest) see and hold of a server, and no user can: a socket is a
// *weir.Socket, a namespace a *weir.Namespace, a server a *weir.Server.
type Inside struct {
	// OnLoop runs f on the loop of a socket that has not left, and waits for it.
	OnLoop func(socket any, f func()) error
	// LoopOf is the number of a socket's loop.
	LoopOf func(socket any) int
	// Residue lists what a socket and its connection keep beside themselves.
	Residue func(socket any) ([]string, error)
	// ExpireWhileClosing lets the time to join run out for a socket's client, over polling, after its session was closed; it
	// reports whether a time is set for its end.
	ExpireWhileClosing func(socket any) (armed bool, err error)
	// LockHandlers takes the lock of a namespace's handlers until release is called.
	LockHandlers func(namespace any) (release func())
	// Unlocked reports whether nobody holds a socket's lock.
	Unlocked func(socket any) bool
	// OccupyReaders keeps all readers of large messages busy until release is called; of a server with one shard.
	OccupyReaders func(server any) (release func())
	// CloseOutside closes the pool on which the application is asked, as the end of a server does before it closes the workers.
	CloseOutside func(ctx context.Context, server any) error
	// FlushLog waits until the lines a server has logged are written, at most as long as given, and reports how many are not.
	FlushLog func(server any, most time.Duration) (left int)
}

// Tests is set by the root package, in inside.go, and used by tests only (a house rule).
var Tests Inside
