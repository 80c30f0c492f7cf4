package systemtest_test

import (
	"errors"
	"testing"

	"github.com/streamweir/weir"
)

// What the journal holds in memory, so that readers a little behind need no disk, is in the budget under its name, and a small part of it.
func TestTheJournalsMemoryIsInTheBudget(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "ticks", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16}})
	o.Memory.BudgetBytes = 32 << 20
	srv := start(t, o)
	for n := range 2000 {
		publish(t, srv, "ticks", numbered(n, 1024))
	}
	const most = 32 << 20 / 32
	if n := metric(t, srv, "weir_memory_held_bytes", `what="journal"`); n < most/2 || n > most+64<<10 {
		t.Errorf("%v bytes are held by the journal, of %d", n, most)
	}
}

// Where memory is short the journal gives back what it holds to be faster, before that is taken from clients.
func TestTheJournalGivesMemoryBack(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "ticks", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16}},
		weir.TopicOptions{Name: "prices", Max: weir.Limits{Messages: 100_000, Bytes: 64 << 20}})
	o.Memory.BudgetBytes = 32 << 20
	srv := start(t, o)
	for n := range 2000 {
		publish(t, srv, "ticks", numbered(n, 1024))
	}
	held := func() float64 { return metric(t, srv, "weir_memory_held_bytes", `what="journal"`) }
	if n := held(); n < 32<<20/64 {
		t.Fatalf("%v bytes are held by the journal", n)
	}
	dial(t, addr(srv), "/feed", nil, dialOptions{}).subscribe("/feed", "prices")
	eventually(t, "the journal holds next to nothing", func() bool {
		for topic, size := range map[string]int{"prices": 64 << 10, "ticks": 1024} { // a log that rests keeps nothing anyway
			if _, err := srv.Publish(t.Context(), "/feed", topic, numbered(0, size)); err != nil && !errors.Is(err, weir.ErrBusy) {
				t.Fatal(err)
			}
		}
		return held() < 64<<10
	})
	for _, reason := range []string{"budget", "overflow"} {
		if n := metric(t, srv, "weir_dropped_total", `reason="`+reason+`"`); n != 0 {
			t.Errorf("%v messages of clients were dropped for %s before", n, reason)
		}
	}
}
