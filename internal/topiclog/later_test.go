package topiclog_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// Whoever waits or listens, before, while or after the position becomes known, is told it, once; and who has waited knows that all
// who listened before have heard.
func TestLaterTellsEachOnce(t *testing.T) {
	for range 2000 {
		l := topiclog.NewLater()
		at := topiclog.Position{Epoch: "e", Offset: 7}
		var before, heard, waited atomic.Int32
		hear := func(got topiclog.Position, err error) {
			if got != at || err != nil {
				t.Errorf("heard %+v, %v", got, err)
			}
			heard.Add(1)
		}
		l.Hear(func(topiclog.Position, error) { before.Add(1) })
		var all sync.WaitGroup
		all.Go(func() { l.Place(at) })
		for range 3 {
			all.Go(func() { l.Hear(hear) })
			all.Go(func() {
				if got, err := l.Wait(t.Context()); got != at || err != nil || before.Load() != 1 {
					t.Errorf("waited for %+v, %v; %d have heard", got, err, before.Load())
				}
				waited.Add(1)
			})
		}
		all.Wait()
		l.Hear(hear)
		if heard.Load() != 4 || waited.Load() != 3 || before.Load() != 1 {
			t.Fatalf("%d and %d have heard, %d waited", before.Load(), heard.Load(), waited.Load())
		}
	}
}

// The same where nobody listens until it is about to be told.
func TestLaterThatNobodyHasHeardTellsEachOnce(t *testing.T) {
	for range 2000 {
		l := topiclog.NewLater()
		var heard, waited atomic.Int32
		var all sync.WaitGroup
		all.Go(func() { l.Fail(topiclog.ErrFull) })
		all.Go(func() { l.Hear(func(topiclog.Position, error) { heard.Add(1) }) })
		all.Go(func() {
			if _, err := l.Wait(t.Context()); err == topiclog.ErrFull { //nolint:errorlint // as it was given
				waited.Add(1)
			}
		})
		all.Wait()
		if heard.Load() != 1 || waited.Load() != 1 {
			t.Fatalf("%d heard, %d waited", heard.Load(), waited.Load())
		}
	}
}

// BenchmarkLater is a position that is told before anybody has waited, as most are.
func BenchmarkLater(b *testing.B) {
	at := topiclog.Position{Epoch: "e", Offset: 7}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		l := topiclog.NewLater()
		l.Place(at)
		if got, err := l.Wait(ctx); got.Offset != 7 || err != nil {
			b.Fatal(err)
		}
	}
}
