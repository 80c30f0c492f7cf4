package redis_test

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/redistest"
)

// What many publish while the engine is asked goes with the next call, in one piece for each channel, and each publisher's order
// is kept.
func TestMessagesThatGatherGoTogether(t *testing.T) {
	const publishers, each, channels = 64, 100, 2
	s := redistest.Start(t)
	e := newEar()
	m := join(t, s.Addr(), "", e)
	if err := m.Subscribe(t.Context(), "0", "1", "end"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range publishers {
		all.Go(func() {
			for k := range each {
				if err := m.Publish(t.Context(), strconv.Itoa(i%channels), fmt.Appendf(nil, "%d %d", i, k)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	calls := regexp.MustCompile(`cmdstat_publish:calls=(\d+)`).FindStringSubmatch(s.Do("INFO commandstats"))
	if calls == nil {
		t.Fatal("redis does not say how often it was asked to publish")
	}
	if n, err := strconv.Atoi(calls[1]); err != nil || n > publishers*each/2 {
		t.Errorf("redis was asked %s times to publish %d messages", calls[1], publishers*each)
	}
	if err := m.Publish(t.Context(), "end", nil); err != nil {
		t.Fatal(err)
	}
	for !e.has("end ") {
		<-e.came
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heard) != publishers*each+1 {
		t.Errorf("%d messages came", len(e.heard))
	}
	next := make(map[int]int)
	for _, text := range e.heard[:len(e.heard)-1] {
		var channel, i, k int
		if _, err := fmt.Sscanf(text, "%d %d %d", &channel, &i, &k); err != nil || channel != i%channels || k != next[i] {
			t.Fatalf("%q comes where publisher %d is at %d: %v", text, i, next[i], err)
		}
		next[i] = k + 1
	}
}

// A burst of small messages, as handlers of many sockets publish them, is heard in full: what is answered is not lost on its way.
func TestBurstOfSmallMessagesIsHeard(t *testing.T) {
	t.Parallel()
	const publishers = 12_000
	s := redistest.Start(t)
	e := newEar()
	m := join(t, s.Addr(), "", e)
	if err := m.Subscribe(t.Context(), "x", "end"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var refused atomic.Int64
	for range publishers {
		all.Go(func() {
			if err := m.Publish(t.Context(), "x", []byte("0123456789")); err != nil {
				refused.Add(1) // its place in the line was not free in time
			}
		})
	}
	all.Wait()
	if err := m.Publish(t.Context(), "end", nil); err != nil {
		t.Fatal(err)
	}
	for !e.has("end ") {
		<-e.came
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.heard) - 1; n+int(refused.Load()) < publishers || len(e.lapses) > 0 {
		t.Errorf("of %d messages %d were refused and %d are heard, with %d lapses", publishers, refused.Load(), n, len(e.lapses))
	}
}
