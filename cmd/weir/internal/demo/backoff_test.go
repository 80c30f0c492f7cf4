package demo_test

import (
	"testing"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/demo"
)

func TestBackoffDoublesUpToItsBoundAndHeedsTheServer(t *testing.T) {
	b := demo.Backoff{First: time.Second, Most: 8 * time.Second}
	for i, bound := range []time.Duration{1, 2, 4, 8, 8} {
		if d := b.Next(0); d > bound*time.Second {
			t.Errorf("wait %d is %v, want at most %v s", i, d, int(bound))
		}
	}
	if d := b.Next(time.Minute); d < time.Minute || d > 75*time.Second {
		t.Errorf("wait is %v, want the server's minute and at most a quarter more", d)
	}
	b.Reset()
	if d := b.Next(0); d > time.Second {
		t.Errorf("wait after a good connection is %v, want at most 1s", d)
	}
}
