package recent_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/recent"
)

// count is something done, and how often.
type count struct{ n atomic.Int32 }

func (c *count) do() (int32, error) { return c.n.Add(1), nil }

func TestOnceIsDoneOnceForSomeMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids recent.IDs[string, int32]
		var c count
		once := func(wantResult int32, wantAgain bool) {
			t.Helper()
			if got, again, err := ids.Once(t.Context(), "x", c.do); got != wantResult || again != wantAgain || err != nil {
				t.Errorf("result %d, again %t, error %v; want %d, %t", got, again, err, wantResult, wantAgain)
			}
		}
		once(1, false)
		once(1, true)
		time.Sleep(6 * time.Minute)
		once(1, true)
		time.Sleep(6 * time.Minute)
		once(2, false)
	})
}

func TestOnceWaitsForTheAttemptUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids recent.IDs[string, int32]
		var c count
		fail := errors.New("failed")
		attempts := make(chan error)
		first := func() (int32, error) { return 0, <-attempts }
		go func() { _, _, _ = ids.Once(t.Context(), "x", first) }()
		synctest.Wait()

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := ids.Once(ended, "x", c.do); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v of one who could not wait", err)
		}
		go func() { synctest.Wait(); attempts <- fail }()
		if got, again, err := ids.Once(t.Context(), "x", c.do); got != 1 || again || err != nil {
			t.Errorf("after an attempt that failed: result %d, again %t, error %v", got, again, err)
		}
	})
}
