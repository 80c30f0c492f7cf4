package systemtest_test

import (
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
