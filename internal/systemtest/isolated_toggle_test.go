package systemtest_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// TestTogglingASubscriptionTakesTurns is promise P3: what a client has done for it in one step of its loop is bounded also where
// its messages are short and dear. Most of what a subscription costs is not in its bytes; counted by those alone, a step would
// do six times as many.
func TestTogglingASubscriptionTakesTurns(t *testing.T) {
	const toggles, perStep = 2000, 8 // turns.Share over turns.Subscription
	srv := start(t, weir.Options{Shards: 1, Namespaces: []weir.NamespaceOptions{{
		Path: "/feed", EventsLane: weir.Limits{Messages: toggles + 10}, Topics: []weir.TopicOptions{{Name: "prices"}},
	}}})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	var all []byte
	for i := range toggles {
		verb := [2]string{"weir:subscribe", "weir:unsubscribe"}[i%2]
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, fmt.Appendf(nil, `42/feed,%d["%s",{"topic":"prices"}]`, i, verb))
	}
	before := metric(t, srv, "weir_loop_seconds_count")
	if _, err := p.conn.Write(all); err != nil {
		t.Fatal(err)
	}
	for i := range toggles {
		if pk := p.packet(); pk.id != uint64(i) {
			t.Fatalf("answer %d is to %d", i, pk.id)
		}
	}
	if n := metric(t, srv, "weir_loop_seconds_count") - before; n < toggles/perStep {
		t.Errorf("%d subscriptions were begun and ended in %v steps of the loop", toggles, n)
	} else {
		t.Logf("%v steps", n)
	}
}
