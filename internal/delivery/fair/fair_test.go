package fair_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/delivery/fair"
)

type line = fair.Line[int, string]

// Every line keeps its order, whatever is added between turns, and is gone from its
// owner exactly when it is empty.
func TestLinesKeepTheirOrder(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	var lines fair.Lines[int, string]
	var homes [5]*line
	var added, done [5][]int
	for n := range 20_000 {
		i := rnd.IntN(len(homes))
		if rnd.IntN(3) > 0 || n < 1000 {
			lines.Add(&homes[i], n)
			added[i] = append(added[i], n)
		}
		for turns := rnd.IntN(2); turns > 0 && lines.Any(); turns-- {
			l := lines.Next()
			i := slices.Index(homes[:], l)
			for range 1 + rnd.IntN(3) {
				if !l.Empty() {
					done[i] = append(done[i], l.First())
					l.Pop()
				}
			}
			lines.Return(l)
		}
		for i, l := range homes {
			if (l == nil) != (len(done[i]) == len(added[i])) {
				t.Fatalf("seed %d: %d of %d items of line %d are done, it is there: %t", seed, len(done[i]), len(added[i]), i, l != nil)
			}
		}
	}
	for i := range homes {
		if !slices.Equal(done[i], added[i][:len(done[i])]) {
			t.Errorf("seed %d: line %d was not done in its order", seed, i)
		}
	}
}

func TestLinesHaveTurns(t *testing.T) {
	var lines fair.Lines[int, string]
	var a, b, c *line
	for n := range 3 {
		lines.Add(&a, n)
	}
	lines.Add(&b, 10)
	lines.Add(&c, 20)
	lines.Add(&b, 11)
	var order []int
	for lines.Any() {
		l := lines.Next()
		order = append(order, l.First())
		l.Pop()
		lines.Return(l)
	}
	if got := fmt.Sprint(order); got != "[0 10 20 1 11 2]" {
		t.Errorf("order %s", got)
	}
}

// A line that never empties and one that always does are both a steady state.
func TestLinesAllocateNothingWhenSteady(t *testing.T) {
	for _, standing := range []int{0, 1, 7, 100} {
		var lines fair.Lines[int, string]
		var home *line
		for n := range standing {
			lines.Add(&home, n)
		}
		n := testing.AllocsPerRun(1000, func() {
			for n := range 200 {
				lines.Add(&home, n)
				l := lines.Next()
				l.Pop()
				lines.Return(l)
			}
		})
		if n > 0 {
			t.Errorf("with %d items standing: %v allocations for 200 more", standing, n)
		}
	}
}
