package admin_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/survey"
)

type clientsAnswer struct {
	Total, Lagging, Listed int
	Clients                []survey.Client
	Groups                 []struct {
		Name                   string
		Clients, Lagging       int
		Depth, Bytes, InFlight int
		Dropped                uint64
		OldestAgeMs            int64
	}
}

func (a clientsAnswer) principals() (names []string) {
	for _, c := range a.Clients {
		names = append(names, c.Principal)
	}
	return names
}

// threeClients connects fast, who reads, and slow and slower, who do not: slower
// has lost two messages, slow has waited longer for one.
func threeClients(f *fixture) {
	f.connect(connection{principal: "fast", address: "10.0.0.1", topics: []string{"prices"}})
	f.connect(connection{principal: "slow", address: "10.0.0.2", shard: 1, stalled: true, topics: []string{"user:1"}})
	f.publish("user:1")
	time.Sleep(2 * time.Second)
	f.connect(connection{principal: "slower", address: "10.0.0.2", stalled: true, topics: []string{"prices"}})
	for range 6 {
		f.publish("prices")
		synctest.Wait() // fast takes each
	}
	time.Sleep(500 * time.Millisecond)
}

func TestClientsListsWhoLagsInTheOrderAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		threeClients(f)
		for query, want := range map[string][]string{
			"":                      {"slow", "slower", "fast"},
			"?sort=lag":             {"slow", "slower", "fast"},
			"?sort=bytes&limit=1":   {"slower"},
			"?sort=drops&limit=1":   {"slower"},
			"?topic=prices&limit=1": {"slower"},
			"?principal=fast":       {"fast"},
			"?address=10.0.0.2":     {"slow", "slower"},

			"?address=::ffff:10.0.0.1": {"fast"},
			"?namespace=/feed&id=no":   nil,
		} {
			a := get[clientsAnswer](f, "/api/clients"+query)
			if got := a.principals(); !slices.Equal(got, want) || a.Listed != len(want) {
				t.Errorf("%q: %q, listed %d, want %q", query, got, a.Listed, want)
			}
		}
		a := get[clientsAnswer](f, "/api/clients?limit=1")
		if v := a.Clients[0]; a.Total != 3 || a.Lagging != 1 || v.OldestMs != 2500 || v.Depth != 1 || v.Address != "10.0.0.2" {
			t.Errorf("%+v", a)
		}
	})
}

// A shard that does not answer makes the question fail, not hang.
func TestClientsGivesUpOnStuckShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		hold := make(chan struct{})
		f.hub.Shards()[1].Post(task(func() { <-hold }))
		for _, target := range []string{"/api/clients", "/api/lag"} {
			begun := time.Now()
			w := f.do(http.MethodGet, target, "")
			if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusTooManyRequests || e.Code != "busy" || time.Since(begun) != 5*time.Second {
				t.Errorf("%s: %d %+v after %s", target, w.Code, e, time.Since(begun))
			}
		}
		close(hold)
		synctest.Wait()
	})
}

func TestClientsGroupsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		threeClients(f)
		groups := func(query string) string {
			out := ""
			for _, g := range get[clientsAnswer](f, "/api/clients?"+query).Groups {
				out += fmt.Sprintf("%q %d clients %d lag depth %d dropped %d oldest %d; ", g.Name, g.Clients, g.Lagging, g.Depth, g.Dropped, g.OldestAgeMs)
			}
			return out
		}
		for query, want := range map[string]string{
			"groupBy=address": `"10.0.0.2" 2 clients 1 lag depth 5 dropped 2 oldest 2500; "10.0.0.1" 1 clients 0 lag depth 0 dropped 0 oldest 0; `,
			"groupBy=topic&sort=drops": `"prices" 2 clients 0 lag depth 4 dropped 2 oldest 500; "" 3 clients 0 lag depth 0 dropped 0 oldest 0; ` +
				`"user:1" 1 clients 1 lag depth 1 dropped 0 oldest 2500; `,
			"groupBy=server":                       `"default" 3 clients 1 lag depth 5 dropped 2 oldest 2500; `,
			"groupBy=principal&limit=1&sort=bytes": `"slower" 1 clients 0 lag depth 4 dropped 2 oldest 500; `,
		} {
			if got := groups(query); got != want {
				t.Errorf("%s:\n got %s\nwant %s", query, got, want)
			}
		}
	})
}

func TestClientsShowsThoseCutNewestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		for _, principal := range []string{"a", "b"} { // a lagged when it was cut, b did not
			c := f.connect(connection{principal: principal, stalled: true, topics: []string{"prices"}})
			f.publish("prices")
			if principal == "a" {
				time.Sleep(2 * time.Second)
			}
			f.on(f.hub.Shards()[0], func() {
				c.conn.RecordCut(base.CauseSlowConsumer)
				c.Cut(base.CauseSlowConsumer)
			})
		}
		a := get[clientsAnswer](f, "/api/clients?cut=1")
		if !slices.Equal(a.principals(), []string{"b", "a"}) || a.Clients[0].Cause != "slow_consumer" || a.Clients[0].CutAt.IsZero() || a.Total != 2 || a.Lagging != 1 {
			t.Errorf("%+v", a)
		}
		for query, want := range map[string][]string{
			"&sort=lag": {"a", "b"}, "&principal=a": {"a"}, "&topic=prices&limit=1": {"b"}, "&topic=orders": nil, "&address=192.0.2.9": nil,
		} {
			if got := get[clientsAnswer](f, "/api/clients?cut=1"+query).principals(); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
	})
}

type topicsAnswer struct {
	Topics []struct {
		Topic, DeliveryMode, OverflowAction string
		Published, Subscribers              uint64
		Names                               []struct {
			Topic       string
			Subscribers int
		}
		Books struct {
			Offered, Written uint64
			Queued           int64
			Drops            map[string]uint64
		}
	}
}

func TestTopicsAndStatsShowTheBooks(t *testing.T) {
	f := setUp(t, func(o *admin.Options) {
		o.Extra = func() metrics.Extra {
			return metrics.Extra{
				Sessions: map[string]int{"polling": 2}, Build: metrics.Build{Version: "1.2.3"}, Workers: metrics.Workers{Running: 4},
				Namespaces: map[string]metrics.NamespaceFigures{"/feed": {Opened: 9, NoHandler: 5}},
			}
		}
	})
	f.connect(connection{stalled: true, topics: []string{"prices"}})
	for range 6 {
		f.publish("prices")
	}
	f.publish("user:1")
	for range 2 { // the first may run in the same turn as the messages, and before them
		f.on(f.hub.Shards()[0], func() {})
	}
	topics := get[topicsAnswer](f, "/api/topics?namespace=/feed")
	p := topics.Topics[0]
	if len(topics.Topics) != 3 || p.Topic != "prices" || p.DeliveryMode != "BEST_EFFORT" || p.OverflowAction != "DROP_OLDEST" || p.Published != 6 ||
		p.Books.Offered != 6 || p.Books.Queued != 4 || p.Books.Drops["overflow"] != 2 {
		t.Errorf("%+v", topics)
	}
	if u := topics.Topics[1]; u.Topic != "user:*" || u.Published != 1 {
		t.Errorf("pattern: %+v", u)
	}
	f.connect(connection{topics: []string{"user:1", "prices"}})
	f.connect(connection{topics: []string{"user:2"}})
	f.connect(connection{topics: []string{"user:2"}})
	if u := get[topicsAnswer](f, "/api/topics?topic=user:*&names=1").Topics; len(u) != 1 || u[0].Subscribers != 3 ||
		len(u[0].Names) != 1 || u[0].Names[0].Topic != "user:2" || u[0].Names[0].Subscribers != 2 {
		t.Errorf("presence: %+v", u)
	}
	if p := get[topicsAnswer](f, "/api/topics?topic=prices").Topics; len(p) != 1 || p[0].Subscribers != 2 || p[0].Names != nil {
		t.Errorf("presence: %+v", p)
	}
	stats := get[map[string]any](f, "/api/stats")
	for path, want := range map[string]any{
		"configuration": map[string]any{"hash": "964fb8cb381b"}, "connections": 4.0, "subscriptions": 5.0, "sockets": 4.0, "unbalanced": 0.0,
		"build": map[string]any{"version": "1.2.3", "revision": "", "goVersion": ""}, "sessions": map[string]any{"polling": 2.0},
		"workers": map[string]any{"running": 4.0, "queued": 0.0, "panics": 0.0}, "refused": map[string]any{}, "cuts": map[string]any{}, "left": map[string]any{},
	} {
		if !reflect.DeepEqual(stats[path], want) {
			t.Errorf("stats %s: %v, want %v", path, stats[path], want)
		}
	}
}

func TestConfigIsTheBackends(t *testing.T) {
	f := setUp(t)
	if got := get[map[string]any](f, "/api/config"); !reflect.DeepEqual(got, map[string]any{"weir": 1.0}) {
		t.Errorf("%v", got)
	}
}

func TestSocketsRequestsHandOnEveryField(t *testing.T) {
	f := setUp(t)
	post := func(path, body, answer string) {
		t.Helper()
		if w := f.do(http.MethodPost, path, body); w.Code != http.StatusOK || w.Body.String() != answer+"\n" {
			t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
	}
	post("/api/sockets/join", `{"namespace":"/feed","filter":{"principal":"alice"},"rooms":["r","s"]}`, `{"sockets":3,"skipped":1}`)
	post("/api/sockets/leave", `{"namespace":"/feed","filter":{"topic":"prices"},"rooms":["r"]}`, `{"sockets":3}`)
	post("/api/sockets/disconnect", `{"namespace":"/feed","filter":{"id":"x"}}`, `{"sockets":7}`)
	post("/api/sockets/disconnect", `{"namespace":"/feed","filter":{"room":"r"},"rate":50,"reconnect":false,"dryRun":true}`, `{"sockets":7,"dryRun":true}`)
	post("/api/sockets/disconnect", `{"namespace":"/feed","filter":{"address":"10.0.0.1"},"reconnect":true}`, `{"sockets":7}`)
	wantMoved := []move{
		{"join", admin.Filter{Namespace: "/feed", Principal: "alice"}, []string{"r", "s"}},
		{"leave", admin.Filter{Namespace: "/feed", Topic: "prices"}, []string{"r"}},
	}
	if !reflect.DeepEqual(f.backend.moved, wantMoved) {
		t.Errorf("moved %+v", f.backend.moved)
	}
	wantCut := []admin.DisconnectRequest{
		{Filter: admin.Filter{Namespace: "/feed", ID: "x"}, Reconnect: true},
		{Filter: admin.Filter{Namespace: "/feed", Room: "r"}, Rate: 50, DryRun: true},
		{Filter: admin.Filter{Namespace: "/feed", Address: "10.0.0.1"}, Reconnect: true},
	}
	if !reflect.DeepEqual(f.backend.cut, wantCut) {
		t.Errorf("cut %+v", f.backend.cut)
	}
}
