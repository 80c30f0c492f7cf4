package engineio_test

import (
	"testing"
	"unsafe"

	"github.com/streamweir/weir/internal/engineio"
)

// idleBudget is this package's share, in bytes, of the 1.2 KB that an idle Socket.IO connection may cost in all
// packages together (architecture.md D4). The session is all it has but for a slot of a map.
const idleBudget = 128

func TestIdleSessionKeepsItsSize(t *testing.T) {
	if size := unsafe.Sizeof(engineio.Session{}); size > idleBudget {
		t.Errorf("Session of %d bytes, want at most %d", size, idleBudget)
	}
}
