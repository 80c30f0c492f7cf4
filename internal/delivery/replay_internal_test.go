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

// A stretch is for lanes of its numbering and form that stand in it, and in it nothing is missing.
func TestStretchIsForWhoStandsInIt(t *testing.T) {
	at := func(previous, offset uint64) topiclog.Placement {
		return topiclog.Placement{Record: &topiclog.Record{}, Position: topiclog.Position{Previous: previous, Offset: offset}}
	}
	topic := new(Topic)
	x := &stretch{topic: topic, epoch: "e", after: 3, records: []topiclog.Placement{at(3, 5), at(5, 6), at(6, 9)}}
	here := &lag{lane: &outLane{topic: topic}, epoch: "e"}
	for offset, want := range map[uint64]int{2: -1, 3: 0, 4: 0, 5: 1, 7: 2, 8: 2, 9: -1} {
		if has := x.has(here, 0, offset); has != (want >= 0) || (has && x.behind(offset) != want) {
			t.Errorf("behind %d: %t, %d", offset, has, x.behind(offset))
		}
	}
	for _, other := range []*lag{{lane: here.lane, epoch: "f"}, {lane: &outLane{topic: new(Topic)}, epoch: "e"}} {
		if x.has(other, 0, 5) || x.has(here, 1, 5) {
			t.Error("it is for lanes of another topic, numbering or form")
		}
	}
	whole := topiclog.Batch{Placements: x.records}
	lost, broken := whole, topiclog.Batch{Placements: []topiclog.Placement{at(3, 5), at(6, 9)}}
	lost.Lost = true
	if !inOneStretch(&whole, 3) || inOneStretch(&whole, 2) || inOneStretch(&lost, 3) || inOneStretch(&broken, 3) || inOneStretch(new(topiclog.Batch), 3) {
		t.Error("what is missing in a stretch is not seen, or something is that is not missing")
	}
}
