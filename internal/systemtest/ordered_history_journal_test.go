package systemtest_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir"
)

// TestHistoryIsReadFromTheJournal: a topic that has one is read from there, also after a restart of the server.
func TestHistoryIsReadFromTheJournal(t *testing.T) {
	dir := t.TempDir()
	server := func(t *testing.T) *weir.Server {
		o := remembering(weir.TopicOptions{Name: "ticks", History: 10, Retention: weir.Retention{MaxBytes: 1 << 20}},
			weir.TopicOptions{Name: "spilling", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk, History: 10})
		o.Journal.Path = dir
		return start(t, o)
	}
	t.Run("published", func(t *testing.T) {
		srv := server(t)
		for n := range 30 {
			publish(t, srv, "ticks", n)
			publish(t, srv, "spilling", n)
		}
	})
	srv := server(t)
	for _, topic := range []string{"ticks", "spilling"} {
		p := dial(t, addr(srv), "/feed", nil, dialOptions{})
		if a := p.subscribe("/feed", topic, map[string]any{"last": 50}); fmt.Sprint(a["history"]) != "map[messages:10]" {
			t.Errorf("%s: %v", topic, a)
		}
		publish(t, srv, topic, 30)
		for n := 20; n <= 30; n++ {
			if pk := p.packet(); pk.name != topic || string(pk.args[0]) != fmt.Sprint(n) {
				t.Fatalf("%d: %s %s", n, pk.name, pk.args)
			}
		}
		q := dial(t, addr(srv), "/feed", nil, dialOptions{})
		if a := q.history(map[string]any{"topic": topic, "from": 1, "limit": 3}); a.payloads() != "0 1 2" || a.First != 1 || a.Lost {
			t.Errorf("%s: %+v", topic, a)
		}
	}
}
