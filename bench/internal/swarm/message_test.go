package swarm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/bench/internal/swarm"
)

var tick = swarm.NewTopic("tick")

func TestDeliverySaysItsNumbers(t *testing.T) {
	m := swarm.Message{N: 12, At: 345 * time.Millisecond}
	published := string(tick.AppendPublish(nil, m, 128))
	payload := strings.TrimSuffix(strings.TrimPrefix(published, `42/feed,["publish",{"topic":"tick","payload":`), `}]`)
	if len(payload) != 128 {
		t.Errorf("payload %q has %d bytes, want 128", payload, len(payload))
	}
	got, ok := tick.Parse([]byte(`42/feed,["tick",` + payload + `]`))
	if !ok || got != m {
		t.Errorf("got %+v, %v; want %+v", got, ok, m)
	}
}

func TestOnlyDeliveriesOfTheTopicAreParsed(t *testing.T) {
	for _, text := range []string{
		"", "2", `42/feed,["tock",{"n":1,"t":2}]`, `42/feed,["tick",{"n":,"t":2}]`, `42/feed,["tick",{"n":1}]`,
		`42/feed,["tick",{"n":1,"t":}]`, `42/feed,["weir:error",{"code":"forbidden"}]`,
	} {
		if m, ok := tick.Parse([]byte(text)); ok {
			t.Errorf("%q was taken for message %+v", text, m)
		}
	}
}

func TestAckNamesTheMessageOfTheMetadata(t *testing.T) {
	delivery := `42/feed,["tick",{"n":1,"t":2,"messageId":"decoy"},{"namespace":"/feed","topic":"tick","messageId":"a-7","ackRequired":true}]`
	got, ok := tick.AppendAck(nil, []byte(delivery))
	if want := `42/feed,["ack",{"topic":"tick","messageId":"a-7"}]`; !ok || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, ok, want)
	}
	if got, ok := tick.AppendAck(nil, []byte(`42/feed,["tick",{"n":1,"t":2}]`)); ok {
		t.Errorf("without a message id: %q", got)
	}
}

func TestScheduleDoesNotDriftWithItsRate(t *testing.T) {
	s := swarm.Schedule{Start: time.Second, Rate: 15}
	if got, want := s.Due(15*3600), time.Second+time.Hour; got != want {
		t.Errorf("message after an hour is due at %v, want %v", got, want)
	}
}

func TestLatencyMergesItsParts(t *testing.T) {
	l := swarm.NewLatency()
	for i := range 1000 {
		l.Record(i, time.Duration(i+1)*time.Millisecond)
	}
	got := l.Read()
	for name, v := range map[string][2]float64{"p50": {got.P50, 500}, "p99": {got.P99, 990}, "max": {got.Max, 1000}} {
		if v[0] < v[1]*0.998 || v[0] > v[1]*1.002 {
			t.Errorf("%s %v ms, want %v to three digits", name, v[0], v[1])
		}
	}
	if got.Count != 1000 {
		t.Errorf("count %d, want 1000", got.Count)
	}
}
