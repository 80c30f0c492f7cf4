package guard_test

import (
	"net/netip"
	"testing"

	"github.com/streamweir/weir/internal/guard"
)

func TestComersCountsWhoComesBackOnce(t *testing.T) {
	c := guard.NewComers(nil)
	a, b := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	c.Came(a)
	c.Left(a)
	c.Left(a)
	c.Came(b)
	for range 3 {
		c.Came(a)
	}
	c.Left(b)
	if got := c.Back(); got != 2 {
		t.Errorf("%d came back, want 2", got)
	}
	c.Came(b)
	if got := c.Back(); got != 3 {
		t.Errorf("%d came back, want 3", got)
	}
}
