package survey_test

import (
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey"
)

// What is remembered of clients that were cut is bounded in number, bytes and time, and what it holds is told.
func TestCutsAreBounded(t *testing.T) {
	var c survey.Cuts
	held := int64(0)
	c.Init(0, func(n int64) { held += n })
	at := time.Unix(1_000_000, 0)
	const more = 100
	for i := range survey.CutMost + more {
		c.Add(survey.CutNotice{Cause: base.CauseSlowConsumer, Clients: []survey.Client{{ID: "x", Depth: i, CutAt: at}}})
	}
	list := c.List(at, 2*survey.CutMost)
	if len(list) != survey.CutMost || list[0].Depth != survey.CutMost+more-1 || c.Counted(base.CauseSlowConsumer) != survey.CutMost+more || held == 0 {
		t.Errorf("%d remembered, %d counted, %d bytes held", len(list), c.Counted(base.CauseSlowConsumer), held)
	}
	if list := c.List(at, 3); len(list) != 3 {
		t.Errorf("%d listed, want 3", len(list))
	}
	c.Count(base.CauseDraining)
	c.Add(survey.CutNotice{Cause: base.CauseDraining, Clients: []survey.Client{{ID: "late", CutAt: at.Add(30 * time.Minute)}}})
	if c.Expire(at.Add(61 * time.Minute)); len(c.List(at.Add(61*time.Minute), 10)) != 1 || c.Counted(base.CauseDraining) != 2 {
		t.Errorf("after an hour: %v", c.List(at.Add(61*time.Minute), 10))
	}
	if c.Expire(at.Add(91 * time.Minute)); held != 0 {
		t.Errorf("%d bytes held of nobody", held)
	}
}

// Of a small budget they take a part only.
func TestCutsAreAPartOfTheBudget(t *testing.T) {
	var c survey.Cuts
	held, most := int64(0), int64(0)
	c.Init(1<<20, func(n int64) { held += n; most = max(most, held) })
	for range 1000 {
		c.Add(survey.CutNotice{Clients: []survey.Client{{ID: "x", CutAt: time.Unix(0, 0), Lanes: make([]survey.Lane, survey.CutLanes)}}})
	}
	if most > 1<<20/32+8<<10 || most == 0 {
		t.Errorf("%d bytes held of a budget of %d", most, 1<<20)
	}
}
