package delivery

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// What was read back takes the room in an inbox that it has, and the budget counts it there; what somebody else's read has made
// and keeps is counted once.
func TestReplayWeighsWhatItHolds(t *testing.T) {
	const records, size = 8, 64 << 10
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Topics: []TopicSpec{{Name: "mail"}}}}})
	defer h.Close()
	topic, err := h.Namespace("/").Topic("mail")
	if err != nil {
		t.Fatal(err)
	}
	h.readBack.keep(1)
	sh := h.shards[0]
	found := func(to topiclog.Recipient) *replay {
		var b topiclog.Batch
		for i := range records {
			r := &topiclog.Record{Namespace: "/", Topic: "mail", ID: fmt.Sprint(i), Payload: make([]byte, size), Binary: true, To: to}
			b.Placements = append(b.Placements, topiclog.Placement{Record: r, Position: topiclog.Position{Offset: uint64(i) + 1}})
		}
		x := &replay{topic: topic, shard: sh}
		x.Found(b)
		return x
	}
	one := found(topiclog.Recipient{Principal: "p"})
	if one.weight < records*size || one.hold < records*size {
		t.Errorf("%d bytes for one weigh %d, the budget counts %d", records*size, one.weight, one.hold)
	}
	first, second := found(topiclog.Recipient{}), found(topiclog.Recipient{})
	if first.hold < records*size || second.hold >= size || second.weight < records*size {
		t.Errorf("the budget counts %d and %d, the second weighs %d", first.hold, second.hold, second.weight)
	}
	if second.messages[0] != first.messages[0] {
		t.Error("they do not share")
	}
}
