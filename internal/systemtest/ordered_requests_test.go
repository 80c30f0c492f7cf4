package systemtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
)

// slowGate is a server whose topic private asks an AuthFunc that waits until it is let go.
func slowGate(t *testing.T) (srv *weir.Server, open func()) {
	t.Helper()
	gate := make(chan struct{})
	srv = start(t, weir.Options{
		Authenticate: func(context.Context, weir.AuthRequest) (weir.Identity, error) { <-gate; return weir.Identity{}, nil },
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{
			Path: "/feed", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "private", AuthRequired: true}, {Name: "public"}},
		}}}},
	}, func(s *weir.Server) {
		s.Namespace("/feed").On("subscribed", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			r, err := srv.Publish(ctx, "/feed", "private", 1, weir.ToSocket(s.ID()), weir.WithReceipt())
			if err != nil {
				return err
			}
			return e.Reply(ctx, r.Subscribers)
		})
	})
	return srv, func() { close(gate) }
}

// answers reads packets until it has as many acks, and returns them in their order.
func (p *peer) answers(n int) (list []string) {
	p.t.Helper()
	for len(list) < n {
		if pk := p.packet(); pk.typ == sio.Ack {
			var a struct {
				OK   bool
				Code string
			}
			if json.Unmarshal(pk.args[0], &a) != nil {
				list = append(list, fmt.Sprintf("%d %s", pk.id, pk.args[0]))
				continue
			}
			list = append(list, strings.TrimSpace(fmt.Sprintf("%d %v %s", pk.id, a.OK, a.Code)))
		}
	}
	return list
}

// TestRequestsOfOneSocketTakeEffectInTheirOrder: whatever waits for an authorization,
// what a client has been answered last is how it is.
func TestRequestsOfOneSocketTakeEffectInTheirOrder(t *testing.T) {
	private, public := map[string]any{"topic": "private"}, map[string]any{"topic": "public"}
	for name, c := range map[string]struct {
		events      []string
		topics      []map[string]any
		want        string
		subscribers int // of private, afterwards
	}{
		"unsubscribe while it is asked": {
			[]string{"weir:subscribe", "weir:unsubscribe"}, []map[string]any{private, private}, "0 true; 1 true; ", 0,
		},
		"and subscribed again": {
			[]string{"weir:subscribe", "weir:unsubscribe", "weir:subscribe"}, []map[string]any{private, private, private}, "0 true; 1 true; 2 true; ", 1,
		},
		"another topic in between": {
			[]string{"weir:subscribe", "weir:subscribe", "weir:unsubscribe", "weir:unsubscribe"},
			[]map[string]any{private, public, public, public}, "0 true; 1 true; 2 true; 3 false not_subscribed; ", 1,
		},
		"a handler sees what was asked before": {
			[]string{"weir:subscribe", "subscribed", "weir:unsubscribe", "subscribed"},
			[]map[string]any{private, {}, private, {}}, "0 true; 1 1; 2 true; 3 0; ", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, open := slowGate(t)
			p := dial(t, addr(srv), "/feed", nil, dialOptions{})
			for i, event := range c.events {
				p.emit("/feed", i, event, c.topics[i])
			}
			p.send("42/feed,99[\"weir:history\",{\"topic\":\"x\"}]") // answered at once: all before has been read
			for {
				if pk := p.packet(); pk.typ == sio.Ack && pk.id == 99 {
					break
				}
				t.Error("answered before the authorization was")
			}
			open()
			got := ""
			list := p.answers(len(c.events)) // that of a handler may overtake, or be overtaken
			slices.Sort(list)
			for _, a := range list {
				got += a + "; "
			}
			if got != c.want {
				t.Errorf("answered %q, want %q", got, c.want)
			}
			r := publish(t, srv, "private", 1, weir.WithReceipt())
			if r.Subscribers != c.subscribers {
				t.Errorf("afterwards %d subscribers, want %d", r.Subscribers, c.subscribers)
			}
		})
	}
}

// TestOwnPublishFollowsTheSubscribeBeforeIt: who subscribes and then publishes gets it,
// and who publishes and then unsubscribes too.
func TestOwnPublishFollowsTheSubscribeBeforeIt(t *testing.T) {
	srv, open := slowGate(t)
	open()
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for i := range 50 {
		p.emit("/feed", 1, "weir:subscribe", map[string]any{"topic": "private"})
		p.emit("/feed", 2, "weir:publish", map[string]any{"topic": "private", "payload": i})
		for heard := 0; heard < 3; {
			switch pk := p.packet(); {
			case pk.typ == sio.Ack:
				heard++
			case pk.name == "private" && string(pk.args[0]) == fmt.Sprint(i):
				heard++
			default:
				t.Fatalf("round %d: %v %s %s", i, pk.typ, pk.name, pk.args)
			}
		}
		p.emit("/feed", 3, "weir:unsubscribe", map[string]any{"topic": "private"})
		if a := p.answers(1); a[0] != "3 true" {
			t.Fatalf("round %d: unsubscribe: %s", i, a)
		}
	}
}

// TestAuthenticateThatPanicsIsAnswered, and the requests after it too.
func TestAuthenticateThatPanicsIsAnswered(t *testing.T) {
	srv := start(t, weir.Options{
		Authenticate: func(context.Context, weir.AuthRequest) (weir.Identity, error) { panic("no") },
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{
			Path: "/feed", Topics: []weir.TopicOptions{{Name: "private", AuthRequired: true}, {Name: "public"}},
		}}}},
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.emit("/feed", 1, "weir:subscribe", map[string]any{"topic": "private"})
	p.emit("/feed", 2, "weir:subscribe", map[string]any{"topic": "public"})
	if a := p.answers(2); a[0] != "1 false internal" || a[1] != "2 true" {
		t.Errorf("answered %q", a)
	}
}

// TestWrongShapesOfDeliveryEventsAreAnsweredWithTheRightOne: with a callback by an
// answer, without by weir:error, and nothing that would not be obeyed is accepted.
func TestWrongShapesOfDeliveryEventsAreAnsweredWithTheRightOne(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	const subscribe = "want subscribe {topic, token?, shape?, notifyLoss?, ack?"
	for _, c := range []struct{ args, want string }{
		{`"subscribe","prices"`, subscribe}, {`"subscribe"`, subscribe}, {`"subscribe",{"topics":["prices"]}`, subscribe},
		{`"weir:subscribe"`, subscribe}, {`"weir:subscribe","prices"`, subscribe}, {`"subscribe",{"topic":""}`, subscribe},
		{`"subscribe",{"topic":"prices","notifyLosses":true}`, `there is no field \"notifyLosses\"`},
		{`"subscribe",{"topic":"prices","notifyLoss":"yes"}`, "notifyLoss is not true or false"},
		{`"subscribe",{"topic":"prices","token":7}`, "token is not a string"},
		{`"unsubscribe","prices"`, "want unsubscribe {topic, token?}"}, {`"publish","prices",1`, "want publish {topic, payload, token?}"},
		{`"publish",{"topic":"prices"}`, "payload is missing"}, {`"ack","prices"`, "want ack {topic, messageId}"},
		{`"ack",{"topic":"prices"}`, "messageId is missing"},
		{`"subscribe",{"topic":"prices","topic":"other"}`, "topic is given twice"},
		{`"subscribe",{"topic":"prices","t\u006fpic":"other"}`, "topic is given twice"},
		{`"subscribe",{"topic":"prices","snapshot":null,"snapshot":true}`, "snapshot is given twice"},
		{`"subscribe",{"topic":"prices"},{"snapshot":true}`, subscribe},
		{`"weir:subscribe",{"topic":"prices"},{"snapshot":true}`, "more than one argument: " + subscribe},
	} {
		for _, id := range []string{"", "7"} {
			p.send("42/feed," + id + "[" + c.args + "]")
			begin := `42/feed,["weir:error",{"ok":false,`
			if id != "" {
				begin = `43/feed,7[{"ok":false,`
			}
			if got := p.next(); !strings.HasPrefix(got, begin) || !strings.Contains(got, `"code":"invalid"`) || !strings.Contains(got, c.want) {
				t.Errorf("%s with id %q: %s, want %s", c.args, id, got, c.want)
			}
		}
	}
	if a := p.subscribe("/feed", "prices", map[string]any{"token": nil, "shape": nil, "notifyLoss": nil}); a["ok"] != true {
		t.Errorf("null is not left out: %v", a)
	}
	p.send(`42/feed,8["weir:unsubscribe",{"topic":"prices"},null]`) // what JavaScript makes of undefined
	if got := p.next(); !strings.HasPrefix(got, `43/feed,8[{"ok":true`) {
		t.Errorf("an argument more that is undefined: %s", got)
	}
	long := strings.Repeat("x", 10_000)
	p.emit("/feed", 9, "unsubscribe", map[string]any{"topic": long})
	if got := p.next(); !strings.Contains(got, `"code":"not_subscribed"`) || strings.Contains(got, long[:200]) {
		t.Errorf("a long name is told in full: %d bytes", len(got))
	}
}

// TestBareNamesInOtherShapesStayTheApplications: where it handles them.
func TestBareNamesInOtherShapesStayTheApplications(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}), func(s *weir.Server) {
		s.Namespace("/feed").On("subscribe", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			var name string
			if err := e.Decode(&name); err != nil {
				return err
			}
			return e.Reply(ctx, "mine: "+name)
		})
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.emit("/feed", 1, "subscribe", "prices")
	if got := p.next(); got != `43/feed,1["mine: prices"]` {
		t.Errorf("answered %s", got)
	}
	if a := p.subscribe("/feed", "prices"); a["ok"] != true {
		t.Errorf("%v", a)
	}
}

// TestSecondSubscribeChangesWhatItCanAndSaysWhatItCannot.
func TestSecondSubscribeChangesWhatItCanAndSaysWhatItCannot(t *testing.T) {
	srv := start(t, feed(plug, weir.TopicOptions{Name: "prices"}, orders(weir.TopicOptions{})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "prices")
	if a := p.subscribe("/feed", "prices", map[string]any{"shape": "envelope"}); a["ok"] != true || a["ignored"] != nil {
		t.Fatalf("another shape: %v", a)
	}
	publish(t, srv, "prices", 1)
	if pk := p.packet(); len(pk.args) != 1 || !strings.Contains(string(pk.args[0]), `"payload":1`) {
		t.Errorf("after asking for envelope: %s", pk.args)
	}
	if a := p.subscribe("/feed", "prices"); a["ok"] != true || a["ignored"] != nil {
		t.Errorf("nothing named: %v", a)
	}
	publish(t, srv, "prices", 2)
	if pk := p.packet(); !strings.Contains(string(pk.args[0]), `"payload":2`) {
		t.Errorf("what was not named has changed: %s", pk.args)
	}
	if a := p.subscribe("/feed", "prices", map[string]any{"ack": "callback"}); a["ok"] != true || !strings.Contains(fmt.Sprint(a["ignored"]), "BEST_EFFORT") {
		t.Errorf("acks of a topic that has none: %v", a)
	}
	p.subscribe("/feed", "orders")
	publish(t, srv, "orders", 1)
	d := p.delivery()
	a := p.subscribe("/feed", "orders", map[string]any{"ack": "callback", "shape": "envelope", "notifyLoss": false})
	why, _ := a["ignored"].(map[string]any)
	if a["ok"] != true || len(why) != 3 || !strings.Contains(fmt.Sprint(why["shape"], why["ack"]), "wait") || !strings.Contains(fmt.Sprint(why["notifyLoss"]), "always") {
		t.Errorf("while a message waits for its ack: %v", a)
	}
	p.ack(d)
	if a := p.subscribe("/feed", "orders", map[string]any{"ack": "callback"}); a["ok"] != true || a["ignored"] != nil {
		t.Errorf("when none does: %v", a)
	}
	publish(t, srv, "orders", 2)
	if m := p.next(); !strings.HasPrefix(m, "42/feed,") || m[len("42/feed,")] == '[' {
		t.Errorf("a delivery with an ack callback: %s", m)
	}
}

// TestClientsPublishIsToldForWhomThePromiseEnded, as publishers in Go and over HTTP are (P6).
func TestClientsPublishIsToldForWhomThePromiseEnded(t *testing.T) {
	o := feed(orders(weir.TopicOptions{Max: weir.Limits{Messages: 1}, MaxInFlight: 1}))
	o.Namespaces[0].ClientPublish, o.Namespaces[0].InboundAck = true, weir.AckAfterHandlerSuccess
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	dial(t, addr(srv), "/feed", nil, dialOptions{}).subscribe("/feed", "orders") // it acknowledges nothing
	for i, want := range []string{`"ok":true}`, `"ok":true,"rejected":1}`} {
		p.emit("/feed", i, "weir:publish", map[string]any{"topic": "orders", "payload": i})
		if got := string(p.packet().args[0]); !strings.HasSuffix(got, want) {
			t.Errorf("publish %d: %s, want …%s", i, got, want)
		}
	}
}

// TestAckSaysWhetherItSettledAnything: a second one does not.
func TestAckSaysWhetherItSettledAnything(t *testing.T) {
	srv := start(t, feed(orders(weir.TopicOptions{})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	publish(t, srv, "orders", 1)
	d := p.delivery()
	for id, want := range []string{"true", "false"} {
		p.emit("/feed", id, "ack", map[string]any{"topic": d.Topic, "messageId": d.MessageID})
		if got := p.next(); got != fmt.Sprintf(`43/feed,%d[{"ok":true,"settled":%s}]`, id, want) {
			t.Errorf("ack %d: %s", id, got)
		}
	}
}
