package delivery_test

import (
	"testing"

	"github.com/streamweir/weir/internal/delivery"
)

// What an idle connection costs here: these, its socket's entry in a map, and the
// places in the slices that list it. The limits are size classes of the allocator.
func TestIdleConnectionIsSmall(t *testing.T) {
	for what, x := range map[string]struct{ size, limit uintptr }{
		"Conn":       {delivery.ConnSize, 128},
		"Socket":     {delivery.SocketSize, 128},
		"topic lane": {delivery.TopicLaneSize, 128},
	} {
		if x.size > x.limit {
			t.Errorf("a %s takes %d bytes, want at most %d", what, x.size, x.limit)
		}
	}
}
