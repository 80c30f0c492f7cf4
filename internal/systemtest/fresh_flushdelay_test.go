package systemtest_test

import (
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// Once its receipt is there, a message is with the kernel or waits for its topic's
// flush delay.
func TestFlushDelayIsTheTopicsOwn(t *testing.T) {
	for name, waits := range map[string]bool{"lazy": true, "prompt": false} {
		srv := start(t, feed(weir.TopicOptions{Name: "lazy", FlushDelay: time.Second}, weir.TopicOptions{Name: "prompt"}))
		p := dial(t, addr(srv), "/feed", nil, dialOptions{})
		p.subscribe("/feed", name)
		waited := false
		for range 10 { // a second may pass between two lines of a test
			publish(t, srv, name, 1, weir.WithReceipt())
			waited = waited || lane(client(t, srv, p.sid), name).Depth > 0
		}
		for range 10 {
			p.next()
		}
		if waited != waits {
			t.Errorf("%s: a message waited after its receipt: %v, want %v", name, waited, waits)
		}
	}
}
