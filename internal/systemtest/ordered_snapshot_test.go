package systemtest_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/streamweir/weir"
)

// begun is what a subscription's answer says of its snapshot.
func begun(a map[string]any) string {
	b, _ := json.Marshal([]any{a["ok"], a["code"], a["snapshot"], a["ignored"]})
	return string(b)
}

// heardNext reads a delivery and returns its payload and metadata, as they came.
func (p *peer) heardNext() string {
	p.t.Helper()
	pk := p.packet()
	return fmt.Sprintf("%s %s", pk.name, pk.args)
}

// TestSubscriptionBeginsWithTheNewestValue: asked for by the client or declared, in
// both shapes, before anything live; where nothing was kept the client is told so.
func TestSubscriptionBeginsWithTheNewestValue(t *testing.T) {
	const about = `"messageId":"%s","ackRequired":%v,"snapshot":true%s}`
	o := feed(weir.TopicOptions{Name: "asked"}, weir.TopicOptions{Name: "late"}, weir.TopicOptions{Name: "declared", Snapshot: true},
		weir.TopicOptions{Name: "user:*"}, weir.TopicOptions{Name: "none", SnapshotMax: weir.Limits{Messages: weir.Off}},
		weir.TopicOptions{Name: "keys*", Overflow: weir.Coalesce, Key: "/k", Snapshot: true}, orders(weir.TopicOptions{Snapshot: true}))
	o.Namespaces[0].AutoSubscribe = []string{"declared"}
	srv := start(t, o)
	early := dial(t, addr(srv), "/feed", nil, dialOptions{})
	early.subscribe("/feed", "asked", map[string]any{"snapshot": true})
	ids, places := map[string]string{}, map[string]string{}
	publish(t, srv, "late", 1)
	for _, topic := range []string{"asked", "declared", "orders"} {
		publish(t, srv, topic, 1)
		sent := publish(t, srv, topic, 2)
		ids[topic], places[topic] = sent.MessageID, fmt.Sprintf(`,"offset":%d,"epoch":%q`, sent.Offset, sent.Epoch)
	}
	for k := range 100 {
		publish(t, srv, "keys.1", map[string]int{"k": k % 50, "v": k})
	}
	meta := func(topic string, ack bool, place string) string {
		return `{"namespace":"/feed","topic":"` + topic + `",` + fmt.Sprintf(about, ids[topic], ack, place)
	}
	asks := map[string]any{"snapshot": true}

	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	if got, want := p.heardNext(), "declared [2 "+meta("declared", false, "")+"]"; got != want {
		t.Errorf("subscribed automatically: %s, want %s", got, want)
	}
	for _, c := range []struct {
		topic  string
		extra  map[string]any
		answer string
		first  string
	}{
		{"asked", asks, `[true,null,{"complete":true,"values":1},null]`, "asked [2 " + meta("asked", false, "") + "]"},
		{"orders", asks, `[true,null,{"complete":true,"values":1},null]`, "orders [2 " + meta("orders", true, places["orders"]) + "]"},
		{"asked", asks, `[true,null,null,{"snapshot":"subscribed before: what was published since has been delivered"}]`, ""},
		{"user:1", asks, `[true,null,{"complete":true,"values":0},null]`, ""},
		{"late", asks, `[true,null,{"complete":false,"values":0},{"snapshot":"nothing was kept before it was asked for: snapshot: true on the topic keeps it always"}]`, ""},
		{"none", asks, `[false,"invalid",null,null]`, ""},
		{"user:2", map[string]any{"snapshot": false}, `[true,null,null,null]`, ""},
	} {
		if got := begun(p.subscribe("/feed", c.topic, c.extra)); got != c.answer {
			t.Errorf("%s %v: %s, want %s", c.topic, c.extra, got, c.answer)
		}
		if c.first == "" {
			continue
		}
		if got := p.heardNext(); got != c.first {
			t.Errorf("%s: %s, want %s", c.topic, got, c.first)
		}
	}
	if got := begun(p.subscribe("/feed", "keys.1")); got != `[true,null,{"complete":true,"values":50},null]` {
		t.Errorf("keys: %s", got)
	}
	for k := range 50 {
		if got := p.heardNext(); got[:20] != fmt.Sprintf(`keys.1 [{"k":%d,"v":%d`, k, k+50)[:20] {
			t.Errorf("value %d: %s", k, got)
		}
	}
	envelope := dial(t, addr(srv), "/feed", nil, dialOptions{})
	envelope.heardNext()
	envelope.subscribe("/feed", "asked", map[string]any{"snapshot": true, "shape": "envelope"})
	if got, want := envelope.heardNext(), `asked [{"metadata":`+meta("asked", false, places["asked"])+`,"payload":2}]`; got != want {
		t.Errorf("envelope: %s, want %s", got, want)
	}
	publish(t, srv, "asked", 3)
	if got := p.heardNext(); got != "asked [3]" {
		t.Errorf("live: %s", got)
	}
}
