package doctor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cmd/weir/internal/doctor"
	"github.com/streamweir/weir/internal/config"
)

func TestNeedsFollowTheConfiguration(t *testing.T) {
	const file = `
weir: 1
workers: {max: 40}
memory: {budgetBytes: 5000000}
management: {port: 9400, probes: {port: 9500}}
servers:
  a:
    port: 3001
    notSentLowatBytes: 8192
    socketio: {path: /a/, pingInterval: 30000}
    namespaces: [{path: /feed, topics: [prices]}]
  b:
    port: 3002
    namespaces: [{path: /, topics: [prices]}]
`
	c, err := config.Parse("weir.yaml", []byte(file), config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := doctor.Needs{
		Connections: doctor.Assumed, Assumed: true, Ports: []int{3001, 3002, 9400, 9500}, NotSentLowat: 8192,
		PingInterval: 30 * time.Second, MaxMessage: 1_000_000, Workers: 40, BudgetBytes: 5000000, Broker: doctor.Broker{Name: "memory"},
		Journal: doctor.Journal{MaxBytes: doctor.JournalBytes, Fsync: "interval"},
		Path:    "/a/", Namespace: "/feed",
	}
	if diff := cmp.Diff(want, doctor.NeedsOf(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNeedsOfTheKernelsLowatAreTheKernels(t *testing.T) {
	for _, servers := range [][]weir.ServerOptions{
		{{NotSentLowat: 4096}, {NotSentLowat: -1}},
		{{NotSentLowat: -1}, {NotSentLowat: 4096}},
	} {
		if n := doctor.NeedsFrom(weir.Options{Servers: servers}, nil); n.NotSentLowat != 0 {
			t.Errorf("%d of %v", n.NotSentLowat, servers)
		}
	}
}

// Keys that this version refuses count once they are in force.
func TestNeedsKnowTheKeysThatComeLater(t *testing.T) {
	got := doctor.NeedsFrom(weir.Options{}, []config.Setting{
		{Path: "servers.a.limits.maxConnections", Value: int64(20000)},
		{Path: "servers.b.limits.maxConnections", Value: int64(30000)},
		{Path: "servers.c.limits.maxConnections", Value: int64(0)},
		{Path: "journal.path", Value: "/var/lib/weir"},
		{Path: "journal.maxBytes", Value: int64(1 << 30)},
		{Path: "cluster.broker", Value: "redis"},
		{Path: "cluster.url", Value: "redis://10.0.0.7"},
		{Path: "cluster.prefix", Value: "weir"},
	})
	want := doctor.Needs{
		Connections: 50000, Journal: doctor.Journal{Path: "/var/lib/weir", MaxBytes: 1 << 30},
		Broker: doctor.Broker{Name: "redis", URLs: []string{"redis://10.0.0.7"}}, Path: "/socket.io/", Namespace: "/",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
