package recent_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/delivery/recent"
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
		time.Sleep(5 * time.Minute)
		once(1, true)
		time.Sleep(time.Second)
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

// An id is remembered for five minutes however many others come, up to a stated number;
// and the memory goes back when their time is over.
func TestIDsAreRememberedAmongManyAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held int64
		ids := recent.IDs[int, int]{Account: recent.Account[int]{
			Cost:  func(int) int64 { return 10 },
			Claim: func(n int64) recent.Claimed { held += n; return recent.Taken },
			Give:  func(n int64) { held -= n },
		}}
		once := func(id int) (again bool) {
			_, again, _ = ids.Once(t.Context(), id, func() (int, error) { return 0, nil })
			return again
		}
		for i := range 300_000 {
			once(i)
			if i%1000 == 0 {
				time.Sleep(time.Second * 290 / 300)
			}
		}
		if !once(0) || held != 3_000_000 || ids.Forgotten.Load() != 0 {
			t.Errorf("the first is forgotten: %d bytes held, %d forgotten before their time", held, ids.Forgotten.Load())
		}
		time.Sleep(recent.Lifetime + time.Second)
		if ids.Expire(); held != 0 {
			t.Errorf("%d bytes held when all are forgotten", held)
		}
	})
}

// Where memory is short the oldest go before their time, which is counted, and one that
// has no room at all is refused.
func TestIDsGiveWayWhereMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1000
		var held int64
		ids := recent.IDs[int, int]{Account: recent.Account[int]{
			Cost: func(id int) int64 { return int64(max(10, id-1_000_000)) },
			Claim: func(n int64) recent.Claimed {
				if held+n > limit {
					return recent.GiveWay
				}
				held += n
				return recent.Taken
			},
			Give: func(n int64) { held -= n },
		}}
		for i := range 10_000 {
			if _, _, err := ids.Once(t.Context(), i, func() (int, error) { return i, nil }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, again, _ := ids.Once(t.Context(), 9_999, func() (int, error) { return 0, nil }); !again {
			t.Error("the last is forgotten")
		}
		if held > limit || ids.Forgotten.Load() == 0 {
			t.Errorf("%d bytes held, %d forgotten", held, ids.Forgotten.Load())
		}
		if _, _, err := ids.Once(t.Context(), 1_000_000+limit+1, func() (int, error) { return 0, nil }); !errors.Is(err, recent.ErrNoRoom) {
			t.Errorf("error %v", err)
		}
		fail := errors.New("failed")
		before := held
		if _, _, err := ids.Once(t.Context(), -1, func() (int, error) { return 0, fail }); !errors.Is(err, fail) || held > before {
			t.Errorf("error %v, %d bytes held, %d before", err, held, before)
		}
	})
}

// Where the memory is held by others, to forget ids would not help: none is, and the new
// one is refused.
func TestIDsDoNotGiveWayToWhatOthersHold(t *testing.T) {
	full := false
	ids := recent.IDs[int, int]{Account: recent.Account[int]{
		Cost: func(int) int64 { return 10 },
		Claim: func(int64) recent.Claimed {
			if full {
				return recent.Refused
			}
			return recent.Taken
		},
		Give: func(int64) {},
	}}
	once := func(id int) (again bool, err error) {
		_, again, err = ids.Once(t.Context(), id, func() (int, error) { return 0, nil })
		return again, err
	}
	_, _ = once(1)
	full = true
	if _, err := once(2); !errors.Is(err, recent.ErrNoRoom) {
		t.Errorf("error %v", err)
	}
	if again, err := once(1); !again || err != nil || ids.Forgotten.Load() != 0 {
		t.Errorf("again %t, error %v, %d forgotten", again, err, ids.Forgotten.Load())
	}
}

// What panics has failed: the next one tries again and does not wait for it.
func TestOnceThatPanicsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids recent.IDs[string, int]
		started, end := make(chan struct{}), make(chan struct{})
		go func() {
			defer func() { _ = recover() }()
			_, _, _ = ids.Once(context.Background(), "x", func() (int, error) { close(started); <-end; panic("as planned") })
		}()
		<-started
		got := make(chan int)
		go func() {
			n, _, _ := ids.Once(context.Background(), "x", func() (int, error) { return 2, nil })
			got <- n
		}()
		synctest.Wait()
		close(end)
		if n := <-got; n != 2 {
			t.Errorf("result %d", n)
		}
	})
}

// What is done once under an id takes no channel: nobody waits for it.
func BenchmarkOnce(b *testing.B) {
	var ids recent.IDs[int, int]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _, _ = ids.Once(b.Context(), i, func() (int, error) { return 0, nil })
	}
}
