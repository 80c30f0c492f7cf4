package demo

import "github.com/streamweir/weir"

// The names of the demo's namespace, and of the topic for the curl line.
const (
	Namespace  = "/feed"
	HelloTopic = "hello"
)

// laneMessages bounds every lane of the demo.
const laneMessages = 16

// Action is one card of the page: a topic with its overflow action.
type Action struct {
	Topic    string `json:"topic"`
	Overflow string `json:"overflow"` // as the configuration writes it
	Sees     string `json:"sees"`     // what one sees, in one sentence

	overflow weir.Overflow
	key      string
}

// Actions lists the cards in the order of the page.
func Actions() []Action {
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
	for i := range list {
		list[i].Overflow = list[i].overflow.String()
	}
	return list
}

// topics declares the actions' topics and the one for the curl line.
func topics() []weir.TopicOptions {
	list := []weir.TopicOptions{{Name: HelloTopic}}
	for _, a := range Actions() {
		list = append(list, weir.TopicOptions{
			Name: a.Topic, Overflow: a.overflow, Key: a.key, Max: weir.Limits{Messages: laneMessages},
		})
	}
	return list
}
