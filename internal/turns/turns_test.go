package turns_test

import (
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/turns"
)

// taker wants n shares of the loop and writes down when it gets one.
type taker struct {
	t    *turns.Turns
	name string
	n    int
	cost int
	got  *[]string
}

func (x *taker) Turn() bool {
	*x.got = append(*x.got, x.name)
	x.t.Spend(x.cost)
	x.n--
	return x.n > 0
}

func TestThoseThatWaitHaveATurnEachInOrder(t *testing.T) {
	var q turns.Turns
	var got []string
	for _, x := range []*taker{{name: "a", n: 3, cost: 1}, {name: "b", n: 1, cost: 1}, {name: "c", n: 2, cost: 1}} {
		x.t, x.got = &q, &got
		q.Add(x)
	}
	for step := 0; q.Waiting() > 0; step++ {
		q.Begin()
		q.Run()
		got = append(got, "|")
	}
	if want := []string{"a", "b", "c", "|", "a", "c", "|", "a", "|"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
}

func TestAStepEndsWhenItsWorkIsDone(t *testing.T) {
	var q turns.Turns
	var got []string
	for _, name := range []string{"a", "b", "c"} {
		q.Add(&taker{&q, name, 2, turns.Step / 2, &got})
	}
	for q.Waiting() > 0 {
		q.Begin()
		if len(got) == 3 { // new work has taken the whole step: one of those that wait has a turn all the same
			q.Spend(turns.Step)
		}
		q.Run()
		got = append(got, "|")
	}
	if want := []string{"a", "b", "|", "c", "|"}; !slices.Equal(got[:5], want) {
		t.Errorf("turns %v, want %v first", got, want)
	}
}
