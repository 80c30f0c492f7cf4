package budget_test

import (
	"math"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/budget"
)

// What is claimed by many at a time is never more than the limit, and the accounts add up to the whole.
func TestClaimsNeverExceedTheLimit(t *testing.T) {
	var b budget.Budget
	b.Init(1000, 0.8)
	var wg sync.WaitGroup
	for a := range budget.Account(budget.Accounts) {
		wg.Go(func() {
			for range 100 {
				b.Claim(a, 7)
				if held := b.Held(); held > 1000 {
					t.Errorf("%d held", held)
				}
			}
		})
	}
	wg.Wait()
	var sum int64
	for a := range budget.Account(budget.Accounts) {
		sum += b.Of(a)
	}
	if sum != b.Held() || sum < 1000-7 {
		t.Errorf("the accounts add up to %d, %d are held", sum, b.Held())
	}
}

// A promise is in the way of claims, and is not held.
func TestPromisesAreInTheWayOfClaims(t *testing.T) {
	var b budget.Budget
	b.Init(100, 0)
	if !b.Reserve(10, 80) || b.Held() != 10 {
		t.Fatalf("%d held", b.Held())
	}
	if b.Claim(budget.Topics, 20) {
		t.Error("claimed what is promised")
	}
	b.Promise(-80)
	if !b.Claim(budget.Topics, 20) || b.Of(budget.Topics) != 20 || b.Held() != 30 {
		t.Errorf("%d held, %d of them topics", b.Held(), b.Of(budget.Topics))
	}
	b.Hold(budget.Topics, -20)
	b.Add(-10)
	if b.Held() != 0 {
		t.Errorf("%d held at the end", b.Held())
	}
}

// The largest limit there can be is one, whatever the share of it.
func TestLimitsAtTheirEnd(t *testing.T) {
	for _, share := range []float64{1, 0.9999999999999999, 0.8} {
		var b budget.Budget
		b.Init(math.MaxInt64, share)
		if b.High() <= 0 || b.High() > b.EvictAbove() || b.EvictAbove() > b.Limit() {
			t.Errorf("share %v: sheds above %d, evicts above %d of %d", share, b.High(), b.EvictAbove(), b.Limit())
		}
	}
}
