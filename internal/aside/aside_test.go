package aside_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/aside"
)

func TestItemsAreDoneInOrderOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []int
		q := aside.New(aside.Limits{Items: 10_000, Bytes: 1}, func(i int) { got = append(got, i) })
		var want []int
		for i := range 10_000 {
			if !q.Put(i, 0) {
				t.Fatalf("item %d was refused", i)
			}
			want = append(want, i)
		}
		if left := q.Flush(time.Minute); left != 0 {
			t.Errorf("%d items are left", left)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d items were done, and not in order", len(got))
		}
	})
}

// The item being done counts: who holds the queue holds its room.
func TestQueueRefusesBeyondItsLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits aside.Limits
		bytes  int
		takes  int
	}{
		{"items", aside.Limits{Items: 3, Bytes: 1 << 20}, 1, 3},
		{"bytes", aside.Limits{Items: 100, Bytes: 10}, 4, 2},
		{"one large item has room", aside.Limits{Items: 100, Bytes: 10}, 50, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				q := aside.New(c.limits, func(int) { <-gate })
				taken := 0
				for i := range 10 {
					synctest.Wait()
					if q.Put(i, c.bytes) {
						taken++
					}
				}
				if taken != c.takes {
					t.Errorf("%d items were taken, want %d", taken, c.takes)
				}
				if left := q.Flush(time.Second); left != c.takes {
					t.Errorf("while an item hangs Flush says %d, want %d", left, c.takes)
				}
				close(gate)
				if left := q.Flush(time.Second); left != 0 {
					t.Errorf("%d items are left", left)
				}
				if !q.Put(11, c.bytes) {
					t.Error("an empty queue refuses")
				}
				q.Flush(time.Second)
			})
		})
	}
}

func TestItemMayPutAndMayEndItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []int
		var q *aside.Queue[int]
		q = aside.New(aside.Limits{Items: 10, Bytes: 10}, func(i int) {
			mu.Lock()
			got = append(got, i)
			mu.Unlock()
			if i == 1 {
				q.Put(3, 1)
				runtime.Goexit()
			}
		})
		q.Put(1, 1)
		q.Put(2, 1)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("done: %v, want 1 2 3", got)
		}
	})
}
