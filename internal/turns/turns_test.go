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

func TestNewcomersHaveHalfOfAStepAsLongAsOthersWait(t *testing.T) {
	var q turns.Turns
	var got []string
	q.Begin()
	if q.Spend(turns.Step / 2); q.Over() {
		t.Error("over after half a step, though nobody waits")
	}
	q.Add(&taker{&q, "a", 1, turns.Step/2 - 1, &got})
	q.Add(&taker{&q, "b", 1, 1, &got})
	if !q.Over() {
		t.Error("not over after half a step, though others wait")
	}
	if n := q.Run(); n != 2 {
		t.Errorf("%d of those that wait had a turn in the other half, want 2", n)
	}
}
