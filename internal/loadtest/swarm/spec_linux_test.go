package swarm_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestStartRefusesASpecWithEveryProblem(t *testing.T) {
	for want, spec := range map[string]swarm.Spec{
		"want http://host:port": {URL: "127.0.0.1:80"},
		"over TLS":              {URL: "https://127.0.0.1"},
		"does not begin with":   {URL: "http://127.0.0.1", Namespace: "feed"},
		"timeout is -1":         {URL: "http://127.0.0.1", Timeout: -1},
		"sources is 1000":       {URL: "http://127.0.0.1", Sources: 1000},
		"firstSource is 1":      {URL: "http://127.0.0.1", FirstSource: 1},
		"without a name":        {URL: "http://127.0.0.1", Subscribe: []string{""}},
		"not counted":           {URL: "http://127.0.0.1", Event: `a"b`},
		"not a JSON object":     {URL: "http://127.0.0.1", Auth: json.RawMessage(`1`)},
		"resolve":               {URL: "http://no.such.host.invalid:1"},
	} {
		s, err := swarm.Start(spec)
		if err == nil {
			_ = s.Close()
			t.Errorf("accepted: %+v", spec)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something about %q", err, want)
		}
	}
	_, err := swarm.Start(swarm.Spec{URL: "http://127.0.0.1", Abreast: -1, Sources: -2})
	if err == nil || !strings.Contains(err.Error(), "abreast") || !strings.Contains(err.Error(), "sources") {
		t.Errorf("%v, want both problems", err)
	}
}

func TestAddRefusesAGroup(t *testing.T) {
	s, err := swarm.Start(swarm.Spec{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, g := range []swarm.Group{
		{}, {Clients: 1, Rate: -1}, {Clients: 1, ReceiveBuffer: -1}, {Clients: 1, ReadRate: -2},
		{Clients: 1, Reconnect: &swarm.Reconnect{}}, {Clients: 1, Reconnect: &swarm.Reconnect{Delay: 2, DelayMax: 1}},
		{Clients: 1, Reconnect: &swarm.Reconnect{Delay: 1, DelayMax: 1, Jitter: 2}}, {Clients: 1, Emit: &swarm.Emit{}},
		{Clients: 1, Emit: &swarm.Emit{Event: "x", Window: -1}}, {Clients: 1, ReadRate: swarm.Stalled, Emit: &swarm.Emit{Event: "x"}},
	} {
		if err := s.Add(g); err == nil {
			t.Errorf("accepted: %+v", g)
		}
	}
	if err := s.Add(swarm.Group{Name: "a", Clients: 1}); err != nil {
		t.Error(err)
	}
	if err := s.Add(swarm.Group{Name: "a", Clients: 1}); err == nil {
		t.Error("two groups of one name are accepted")
	}
	if s.Cut("b", 1) == nil || s.Leave("b") == nil {
		t.Error("a group nobody has added can be told to do something")
	}
}

func TestSpecAndGroupSurviveJSON(t *testing.T) {
	spec := swarm.Spec{
		URL: "http://127.0.0.1", Namespace: "/feed", Auth: json.RawMessage(`{"token":"x"}`), Header: map[string]string{"A": "b"},
		Subscribe: []string{"load"}, Event: "load", Ack: true, Sources: 2, FirstSource: 3, Abreast: 4, Timeout: time.Second,
	}
	group := swarm.Group{
		Name: "g", Clients: 1, Rate: 2, ReceiveBuffer: 3, ReadRate: 4,
		Reconnect: &swarm.Reconnect{Delay: 1, DelayMax: 2, Jitter: 0.5}, Emit: &swarm.Emit{Event: "e", Size: 1, Window: 2, Rate: 3},
	}
	for _, v := range []any{&spec, &group} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := json.Unmarshal(b, again); err != nil || !reflect.DeepEqual(v, again) {
			t.Errorf("%s: %v, %+v", b, err, again)
		}
	}
}
