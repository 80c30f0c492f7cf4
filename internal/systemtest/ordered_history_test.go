package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// pageOf is an answer about history.
type pageOf struct {
	OK          *bool
	Code        string
	Reason      string
	Topic       string
	Epoch       string
	First, Last uint64
	Next        uint64
	Lost        bool
	Records     []struct {
		Offset, Previous uint64
		MessageID        string
		Payload          json.RawMessage
		PayloadBase64    []byte
		To               map[string]string
		TooLarge         int
	}
}

func (a *pageOf) payloads() string {
	var out []string
	for _, r := range a.Records {
		out = append(out, string(r.Payload)+string(r.PayloadBase64))
	}
	return strings.Join(out, " ")
}

// history asks for what is kept of a topic.
func (p *peer) history(arg map[string]any) (a pageOf) {
	p.t.Helper()
	p.emit("/feed", 7, "weir:history", arg)
	pk := p.packet()
	if err := json.Unmarshal(pk.args[0], &a); err != nil || pk.id != 7 {
		p.t.Fatalf("%v: %v", pk, err)
	}
	return a
}

// remembering are topics with a history, in a namespace whose clients may read it.
func remembering(topics ...weir.TopicOptions) weir.Options {
	o := feed(topics...)
	o.Namespaces[0].ClientHistory = true
	o.Management.Addr = "127.0.0.1:0"
	return o
}

// TestSubscriptionBeginsWithHistory: the newest messages first, marked, then what is published later; what excludes it,
// or has no effect, is told.
func TestSubscriptionBeginsWithHistory(t *testing.T) {
	srv := start(t, remembering(weir.TopicOptions{Name: "ticks", History: 50, Snapshot: true}, weir.TopicOptions{Name: "plain"},
		weir.TopicOptions{Name: "one", History: 1, Overflow: weir.RejectNew, Max: weir.Limits{Messages: 1}}, weir.TopicOptions{Name: "user:*", History: 5}))
	for n := range 60 {
		publish(t, srv, "ticks", n)
		publish(t, srv, "one", n)
	}
	publish(t, srv, "user:1", "hers")
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	a := p.subscribe("/feed", "ticks", map[string]any{"last": 50})
	if fmt.Sprint(a["history"]) != "map[messages:50]" || a["offset"] != 60.0 || a["snapshot"] != nil {
		t.Errorf("ticks: %v", a)
	}
	publish(t, srv, "ticks", 60)
	for n := 10; n <= 60; n++ {
		pk := p.packet()
		if pk.name != "ticks" || string(pk.args[0]) != fmt.Sprint(n) || (n < 60) != (len(pk.args) == 2 && strings.Contains(string(pk.args[1]), `"history":true,"offset":`)) {
			t.Fatalf("%d: %s %s", n, pk.name, pk.args)
		}
	}
	for _, c := range []struct {
		topic string
		extra map[string]any
		want  string
	}{
		{"ticks", map[string]any{"last": 3}, `[null,{"last":"subscribed before: what was published since has been delivered"}]`},
		{"plain", map[string]any{"last": 3}, `[null,{"last":"the topic has no history"}]`},
		{"one", map[string]any{"last": 3, "snapshot": true}, `["invalid",null]`},
		{"one", map[string]any{"last": 1.5}, `["invalid",null]`},
		{"one", map[string]any{"last": -1}, `["invalid",null]`},
		{"one", map[string]any{"last": "1"}, `["invalid",null]`},
		{"one", map[string]any{"last": 1 << 60}, `["invalid",null]`},
		{"one", map[string]any{"last": 0}, `[null,null]`},
		{"none", map[string]any{"last": 1}, `["unknown",null]`},
		{"user:2", map[string]any{"last": 1<<53 - 1}, `[null,null]`},
	} {
		a := p.subscribe("/feed", c.topic, c.extra)
		if got, _ := json.Marshal([]any{a["code"], a["ignored"]}); string(got) != c.want {
			t.Errorf("%s %v: %s, want %s", c.topic, c.extra, got, c.want)
		}
	}
	p.emit("/feed", 1, "unsubscribe", map[string]any{"topic": "one"})
	p.packet()
	if a := p.subscribe("/feed", "one", map[string]any{"last": 9}); fmt.Sprint(a["history"]) != "map[messages:1]" {
		t.Errorf("one: %v", a)
	}
	if got := p.heardNext(); !strings.HasPrefix(got, "one [59 ") {
		t.Errorf("one: %s", got)
	}
	if a := p.subscribe("/feed", "user:1", map[string]any{"last": 9}); fmt.Sprint(a["history"]) != "map[messages:1]" {
		t.Errorf("user:1: %v", a)
	}
}

// TestClientsReadHistory: page by page, and only what was for them.
func TestClientsReadHistory(t *testing.T) {
	o := remembering(weir.TopicOptions{Name: "ticks", History: 20}, weir.TopicOptions{Name: "plain"}, weir.TopicOptions{Name: "large", History: 20})
	o.Namespaces[0].EventsLane.Bytes = 4096
	srv := start(t, o)
	for n := range 30 {
		publish(t, srv, "ticks", n)
	}
	publish(t, srv, "ticks", "secret", weir.ToPrincipal("alice"))
	publish(t, srv, "ticks", []byte("bytes"))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	if a := p.history(map[string]any{"topic": "ticks", "limit": 3}); a.OK == nil || !*a.OK || a.payloads() != "28 29 bytes" || a.Next != 33 || a.First != 13 || a.Last != 32 || a.Topic != "ticks" {
		t.Errorf("the newest: %+v", a)
	}
	if a := p.history(map[string]any{"topic": "ticks", "from": 20, "limit": 4}); a.payloads() != "19 20 21 22" || a.Next != 24 || a.Lost {
		t.Errorf("from 20: %+v", a)
	}
	if a := p.history(map[string]any{"topic": "ticks", "from": 0, "limit": 2}); a.payloads() != "12 13" || !a.Lost {
		t.Errorf("from the beginning: %+v", a)
	}
	for _, arg := range []string{
		`{"topic":"ticks","limit":0}`, `{"topic":"ticks","limit":1001}`, `{"topic":"ticks","from":-1}`, `{"topic":"ticks","from":1e3}`,
		`{"topic":"ticks","from":9007199254740992}`, `{"topic":"ticks","epoch":"x","from":3}`, `{"topic":"plain"}`, `{"topic":"ticks","more":1}`, `{}`,
	} {
		p.send(`42/feed,9["weir:history",` + arg + `]`)
		if got := p.packet(); !strings.Contains(string(got.args[0]), `"code":"invalid"`) {
			t.Errorf("%s: %s", arg, got.args)
		}
	}
	p.emit("/feed", -1, "weir:history", map[string]any{"topic": "ticks"})
	if got := p.heardNext(); !strings.HasPrefix(got, "weir:error") || !strings.Contains(got, "callback") {
		t.Errorf("without a callback: %s", got)
	}
	publish(t, srv, "large", strings.Repeat("x", 5000))
	for range 10 {
		publish(t, srv, "large", strings.Repeat("y", 500))
	}
	if a := p.history(map[string]any{"topic": "large", "from": 1}); len(a.Records) != 1 || a.Records[0].TooLarge != 5002 || a.Next != 2 {
		t.Errorf("one that no answer may hold: %+v", a)
	}
	if a := p.history(map[string]any{"topic": "large", "from": 2}); len(a.Records) != 2 || a.Next != 4 {
		t.Errorf("as many as an answer may hold: %d, next %d", len(a.Records), a.Next)
	}
}

// TestHistoryNeedsTheRight: denied by default, and where a topic asks for a token Authenticate hears what it is for.
func TestHistoryNeedsTheRight(t *testing.T) {
	g := &gate{}
	o := feed(weir.TopicOptions{Name: "ticks", History: 5})
	o.Namespaces = append(o.Namespaces, weir.NamespaceOptions{
		Path: "/open", ClientHistory: true, Topics: []weir.TopicOptions{{Name: "private", History: 5, AuthRequired: true}},
	})
	o = weir.Options{Servers: []weir.ServerOptions{{Auth: true, Namespaces: o.Namespaces}}, Authenticate: g.authenticate}
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.emit("/feed", 1, "weir:history", map[string]any{"topic": "ticks"})
	if got := string(p.packet().args[0]); !strings.Contains(got, "forbidden") {
		t.Errorf("by default: %s", got)
	}
	q := dial(t, addr(srv), "/open", nil, dialOptions{})
	for token, want := range map[string]string{"": "unauthorized", "bad": "unauthorized", "reader": `"records":[]`} {
		q.emit("/open", 1, "weir:history", map[string]any{"topic": "private", "token": token})
		if got := string(q.packet().args[0]); !strings.Contains(got, want) || g.last() != "history private "+token {
			t.Errorf("%q: %s, asked %q", token, got, g.last())
		}
	}
}

// TestManagementReadsHistory: everything, with whom it was for; each number is checked.
func TestManagementReadsHistory(t *testing.T) {
	srv := start(t, remembering(weir.TopicOptions{Name: "ticks", History: 20}, weir.TopicOptions{Name: "plain"}, weir.TopicOptions{Name: "user:*", History: 2}))
	for n := range 30 {
		publish(t, srv, "ticks", n)
	}
	publish(t, srv, "ticks", "hers", weir.ToPrincipal("alice"))
	publish(t, srv, "user:1", 1)
	ask := func(query string) (int, pageOf) {
		t.Helper()
		status, body := management(t, srv, "GET", "/api/history?namespace="+url.QueryEscape("/feed")+"&"+query, nil)
		var a pageOf
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatal(errors.Join(err, errors.New(body)))
		}
		return status, a
	}
	if status, a := ask("topic=ticks&limit=2"); status != 200 || a.payloads() != `29 "hers"` || a.Records[1].To["principal"] != "alice" || a.Records[1].Previous != 30 || a.Next != 32 {
		t.Errorf("%d %+v", status, a)
	}
	if status, a := ask("topic=ticks"); status != 200 || len(a.Records) != 20 {
		t.Errorf("%d %d records", status, len(a.Records))
	}
	if status, a := ask("topic=ticks&from=30&limit=1000"); status != 200 || a.payloads() != `29 "hers"` || a.Lost {
		t.Errorf("%d %+v", status, a)
	}
	if status, a := ask("topic=user:1&from=0"); status != 200 || a.payloads() != "1" || a.Lost {
		t.Errorf("%d %+v", status, a)
	}
	for query, want := range map[string]int{
		"topic=none": 404, "topic=user:*": 404, "": 400, "topic=plain": 400, "topic=ticks&limit=0": 400, "topic=ticks&limit=1001": 400, "topic=ticks&from=-1": 400,
		"topic=ticks&from=x": 400, "topic=ticks&from=9007199254740992": 400, "topic=ticks&from=3&epoch=other": 400, "topic=ticks&more=1": 400,
	} {
		if status, a := ask(query); status != want {
			t.Errorf("%q: %d %+v, want %d", query, status, a, want)
		}
	}
}

// TestHistoryIsNotReadForWhoDoesNotRead: a client that asks 3,000 times and does not read has the log read for it until half
// of its events lane is full; the rest waits, and is answered when it reads (P1).
func TestHistoryIsNotReadForWhoDoesNotRead(t *testing.T) {
	const asked = 3000 / heavy
	o := withDriver(remembering(weir.TopicOptions{Name: "ticks", History: 1000, HistoryBytes: 1 << 20}))
	sockets := make(chan *weir.Socket, 1)
	srv := start(t, o, func(srv *weir.Server) {
		srv.Namespace("/feed").OnConnect(func(_ context.Context, s *weir.Socket) error { sockets <- s; return nil })
	})
	for range 400 {
		publish(t, srv, "ticks", strings.Repeat("x", 1000))
	}
	p := dial(t, addr(srv), "/feed", nil, dialOptions{receiveBuffer: 64 << 10})
	s := <-sockets
	before := measure(t)
	var all []byte
	for i := range asked {
		limit := 1000 // a page of half of the events lane
		if i >= 200/heavy {
			limit = 1
		}
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, fmt.Appendf(nil, `42/feed,%d["weir:history",{"topic":"ticks","from":1,"limit":%d}]`, i, limit))
	}
	sent := make(chan error, 1)
	go func() { _, err := p.conn.Write(all); sent <- err }()
	stopped(t, srv, s)
	if l := lane(client(t, srv, p.sid), ""); l.Bytes > 1<<20 || l.Depth == 0 {
		t.Errorf("%d B in %d answers wait for a client that reads nothing", l.Bytes, l.Depth)
	}
	before.grewLess(t, 4<<20)
	for i := range asked {
		if got, want := p.next(), fmt.Sprintf(`43/feed,%d[{"ok":true`, i); !strings.HasPrefix(got, want) {
			t.Fatalf("answer %.60q, want %q", got, want)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
