package demo

import "github.com/streamweir/weir"

// The names of the demo's namespace, and of the topic for the curl line.
const (
	Namespace  = "/feed"
	HelloTopic = "hello"
)

// laneMessages bounds every lane of the demo.
const laneMessages = 16

// journalBytes bounds what the demo has on disk: some two hours of its feed.
const journalBytes = 256 << 20

// Action is one card of the page: a topic with its overflow action.
type Action struct {
	Topic    string `json:"topic"`
	Overflow string `json:"overflow"` // as the configuration writes it
	Sees     string `json:"sees"`     // what one sees, in one sentence
	Spills   bool   `json:"spills"`   // what has no room waits on disk: nothing is lost

	overflow weir.Overflow
	key      string
}

// Actions lists the cards in the order of the page; with a disk there is one more.
func Actions(disk bool) []Action {
	list := []Action{
		{
			Topic: "prices.drop-oldest", overflow: weir.DropOldest,
			Sees: "Full lane: the oldest goes. The slow reader skips values, and what it gets next is recent.",
		},
		{
			Topic: "prices.reject-new", overflow: weir.RejectNew,
			Sees: "Full lane: the new one is refused. What waits is kept in order, so the slow reader sees the past.",
		},
		{
			Topic: "prices.coalesce", overflow: weir.Coalesce, key: "/symbol",
			Sees: "One place per symbol: a new price replaces the one that waits. No symbol is ever missing.",
		},
		{
			Topic: "prices.snapshot-only", overflow: weir.SnapshotOnly,
			Sees: "At most one message waits, always the newest: the least memory, the freshest value.",
		},
		{
			Topic: "prices.disconnect", overflow: weir.DisconnectClient,
			Sees: "Full lane: the client is cut and refused for a while. It comes back to a live feed.",
		},
	}
	if disk {
		list = append(list, Action{
			Topic: "prices.spill-to-disk", overflow: weir.SpillToDisk, Spills: true,
			Sees: "Full lane: the rest waits on disk. The slow reader gets every price, in order, and catches up when it can.",
		})
	}
	for i := range list {
		list[i].Overflow = list[i].overflow.String()
	}
	return list
}

// topics declares the actions' topics and the one for the curl line.
func topics(actions []Action) []weir.TopicOptions {
	list := []weir.TopicOptions{{Name: HelloTopic}}
	for _, a := range actions {
		t := weir.TopicOptions{Name: a.Topic, Overflow: a.overflow, Key: a.key, Max: weir.Limits{Messages: laneMessages}}
		if a.Spills {
			t.Retention.MaxBytes = journalBytes / 2
		}
		list = append(list, t)
	}
	return list
}
