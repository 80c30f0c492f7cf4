package swarm_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestSnapshotSurvivesJSON(t *testing.T) {
	f := listen(t).serve()
	h := gather(t, feed(f.url()), swarm.Group{Name: "g", Clients: 3})
	h.allReady("g")
	f.deliver(0, 1, 5)
	want := h.until("g", "all is there", has(9))
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got swarm.Snapshot
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !got.Latency.Equals(want.Latency) || !got.ConnectTime.Equals(want.ConnectTime) || got.EmitLatency.TotalCount() != 0 {
		t.Error("the histograms differ")
	}
	for _, s := range []*swarm.Snapshot{&got, want} {
		s.Latency, s.ConnectTime, s.EmitLatency = nil, nil, nil
	}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", *want); a != b {
		t.Errorf("%s, want %s", a, b)
	}
}

func TestMergeAddsProcesses(t *testing.T) {
	one := swarm.Snapshot{Group: "g", Asked: 2, Ready: 1, Deliveries: 3, Newest: 7, Failures: map[string]int64{"refused": 1}, Latency: swarm.NewHistogram()}
	other := swarm.Snapshot{Group: "g", Asked: 3, Ready: 3, Gaps: 1, Newest: 5, Failures: map[string]int64{"refused": 2, "reset": 1}, Latency: swarm.NewHistogram()}
	for _, us := range []int64{10, 20} {
		if err := one.Latency.RecordValue(us); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Latency.RecordValue(1000); err != nil {
		t.Fatal(err)
	}
	var all swarm.Snapshot
	swarm.Merge(&all, one)
	swarm.Merge(&all, other)
	if all.Group != "g" || all.Asked != 5 || all.Ready != 4 || all.Deliveries != 3 || all.Gaps != 1 || all.Newest != 7 {
		t.Errorf("%+v", all)
	}
	if all.Failures["refused"] != 3 || all.Failures["reset"] != 1 || all.Latency.TotalCount() != 3 || all.Latency.Max() != 1000 {
		t.Errorf("%+v", all)
	}
	if one.Failures["refused"] != 1 || one.Latency.TotalCount() != 2 {
		t.Error("Merge has changed what it merged")
	}
}
