package systemtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// bystander is a client beside one that misbehaves: nothing may disturb it.
type bystander struct {
	t   *testing.T
	srv *weir.Server
	c   *lean
	n   int
}

func newBystander(t *testing.T, srv *weir.Server) *bystander {
	t.Helper()
	b := &bystander{t: t, srv: srv, c: newLean(t, addr(srv), "/feed", leanOptions{})}
	if err := b.c.subscribe("/feed", "prices"); err != nil {
		t.Fatal(err)
	}
	return b
}

// undisturbed checks that the bystander gets the next message, and the next answer.
func (b *bystander) undisturbed() {
	b.t.Helper()
	b.n++
	publish(b.t, b.srv, "prices", numbered(b.n, 40))
	if n, err := b.c.number("prices"); err != nil || n != b.n {
		b.t.Fatalf("the client beside got %d, %v; want %d", n, err, b.n)
	}
	if err := b.c.send(fmt.Sprintf(`42/feed,%d["subscribe",{"topic":"prices"}]`, b.n)); err != nil {
		b.t.Fatal(err)
	}
	if m, err := b.c.text(); err != nil || !strings.HasPrefix(m, fmt.Sprintf(`43/feed,%d[{`, b.n)) {
		b.t.Fatalf("the client beside was answered %.80q, %v", m, err)
	}
}

// TestBrokenPacketsCloseTheirSessionOnly: protocol.md 2.1, rejections and state rules.
func TestBrokenPacketsCloseTheirSessionOnly(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	beside := newBystander(t, srv)
	eleven := `{"_placeholder":true,"num":0}` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 10)
	for name, packets := range map[string][]string{
		"unknown type":                 {`49/feed,["x"]`},
		"not a digit":                  {`4x`},
		"empty message":                {`4`},
		"eleven attachments":           {`4511-/feed,["x",` + eleven + `]`},
		"no attachments":               {`450-/feed,["x"]`},
		"bad attachment count":         {`45x-/feed,["x"]`},
		"no attachment count":          {`45/feed,["x"]`},
		"placeholder out of range":     {`451-/feed,["x",{"_placeholder":true,"num":7}]`},
		"text between attachments":     {`452-/feed,["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, `42/feed,["y"]`},
		"invalid JSON":                 {`42/feed,["x"`},
		"trailing bytes":               {`42/feed,["x"]]`},
		"no array":                     {`42/feed,{}`},
		"no name":                      {`42/feed,[]`},
		"name of another type":         {`42/feed,[true]`},
		"reserved name connect":        {`42/feed,["connect"]`},
		"reserved name disconnect":     {`42/feed,["disconnect"]`},
		"reserved name in escapes":     {`42/feed,["\u0064isconnecting"]`},
		"reserved name connect_error":  {`42/feed,["connect_error"]`},
		"reserved name newListener":    {`42/feed,["newListener"]`},
		"reserved name removeListener": {`42/feed,["removeListener"]`},
		"double CONNECT":               {`40/feed,`},
		"CONNECT with an array":        {`40/other,[1]`},
		"CONNECT with a string":        {`40/other,"abc"`},
		"CONNECT_ERROR":                {`44/feed,{"message":"no"}`},
		"not joined":                   {`42/other,["x"]`},
		"not joined root":              {`42["x"]`},
		"ack not joined":               {`43/other,1[]`},
		"DISCONNECT not joined":        {`41/other,`},
		"DISCONNECT with a payload":    {`41/feed,{}`},
		"acknowledgement not an array": {`43/feed,1{}`},
		"ack id beyond 64 bits":        {`42/feed,99999999999999999999["x"]`},
		"ping of a client":             {`2`},
		"empty frame":                  {``},
		"unknown Engine.IO type":       {`7`},
	} {
		t.Run(name, func(t *testing.T) {
			before := metric(t, srv, "weir_sockets_closed_total")
			p := dial(t, addr(srv), "/feed", nil, dialOptions{})
			for _, m := range packets {
				p.send(m)
			}
			if err := p.closed(); err != nil {
				t.Fatalf("%q: %v", packets, err)
			}
			_ = p.conn.Close() // or the server waits for it
			eventually(t, "the socket is counted as closed", func() bool { return metric(t, srv, "weir_sockets_closed_total") == before+1 })
			beside.undisturbed()
		})
	}
}

// TestProtocolFaultsAreCounted: what closed a session is a cause among the others.
func TestProtocolFaultsAreCounted(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.send(`42/feed,["x"`)
	if err := p.closed(); err != nil {
		t.Fatal(err)
	}
	_ = p.conn.Close() // or the server waits for it
	eventually(t, "the fault is counted", func() bool { return metric(t, srv, "weir_cut_total", `cause="parse_error"`) == 1 })
}

// TestWhoLeavesIsNotCountedAsCut: weir_cut_total has those the server has closed, weir_left_total the others.
func TestWhoLeavesIsNotCountedAsCut(t *testing.T) {
	srv := start(t, feed())
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	_ = p.conn.Close()
	eventually(t, "the client's leave is counted", func() bool { return metric(t, srv, "weir_left_total") == 1 })
	if n := metric(t, srv, "weir_cut_total"); n != 0 {
		t.Errorf("%v counted as cut", n)
	}
}

// TestBrokenFramesCloseWithTheirCode: RFC 6455 7.4.1.
func TestBrokenFramesCloseWithTheirCode(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{{
		SocketIO: weir.SocketIOOptions{MaxHTTPBufferSize: 10_000}, Namespaces: o.Namespaces,
	}}})
	beside := newBystander(t, srv)
	masked := func(op ws.Opcode, payload string) []byte {
		return ws.AppendMasked(nil, op, [4]byte{1, 2, 3, 4}, []byte(payload))
	}
	flip := func(b []byte, bits byte) []byte { b[0] ^= bits; return b }
	for name, c := range map[string]struct {
		wire []byte
		code int
	}{
		"not masked":               {ws.AppendFrame(nil, ws.Text, []byte("42/feed,[1]")), 1002},
		"reserved bit":             {flip(masked(ws.Text, "42/feed,[1]"), 0x40), 1002},
		"unknown opcode":           {masked(3, "x"), 1002},
		"fragmented control frame": {flip(masked(ws.Ping, "x"), 0x80), 1002},
		"continuation of nothing":  {masked(ws.Continuation, "x"), 1002},
		"long control frame":       {masked(ws.Ping, strings.Repeat("x", 126)), 1002},
		"invalid UTF-8":            {masked(ws.Text, "42/feed,[\"\xff\"]"), 1007},
		"too large":                {masked(ws.Text, `42/feed,["`+strings.Repeat("x", 10_000)+`"]`), 1009},
		"too large by its header":  {append(ws.AppendHeader(nil, ws.Text, 1<<40)[:1:1], 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			p := newLean(t, addr(srv), "/feed", leanOptions{})
			if _, err := p.conn.Write(c.wire); err != nil {
				t.Fatal(err)
			}
			for {
				op, payload, err := p.frame()
				if err != nil {
					t.Fatalf("closed without a close frame: %v", err)
				}
				if op != ws.Close {
					continue
				}
				if len(payload) < 2 || int(payload[0])<<8|int(payload[1]) != c.code {
					t.Errorf("close payload % x, want code %d", payload, c.code)
				}
				break
			}
			beside.undisturbed()
		})
	}
}

// TestAttachmentsBeyondTheLimitCloseTheSession: a packet is its header and all its
// attachments, and the limit is for all together.
func TestAttachmentsBeyondTheLimitCloseTheSession(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{{
		SocketIO: weir.SocketIOOptions{MaxHTTPBufferSize: 10_000}, Namespaces: o.Namespaces,
	}}})
	beside := newBystander(t, srv)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.send(`452-/feed,["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	for range 2 {
		// The session may be closed already when the second is written.
		_, _ = p.conn.Write(ws.AppendMasked(nil, ws.Binary, [4]byte{}, make([]byte, 6000)))
	}
	if err := p.closed(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is held for the unfinished packet", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0 })
	beside.undisturbed()
}

// TestRefusedRequestsAreAnsweredAndCounted: the session goes on after each.
func TestRefusedRequestsAreAnsweredAndCounted(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"}, weir.TopicOptions{Name: "small", Max: weir.Limits{Bytes: 200}})
	o.Namespaces = append(o.Namespaces, weir.NamespaceOptions{
		Path: "/open", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "small", Max: weir.Limits{Bytes: 200}}},
	})
	srv := start(t, o)
	beside := newBystander(t, srv)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.join("/open", nil)
	large := strings.Repeat("x", 300)
	id := 0
	for _, c := range []struct{ namespace, event, arg, code string }{
		{"/feed", "subscribe", `{"topic":"none"}`, "unknown"},
		{"/feed", "weir:subscribe", `{}`, "invalid"},
		{"/feed", "weir:subscribe", `"prices"`, "invalid"},
		{"/feed", "weir:subscribe", `{"topic":7}`, "invalid"},
		{"/feed", "subscribe", `{"topic":"prices","shape":"round"}`, "invalid"},
		{"/feed", "subscribe", `{"topic":"prices","ack":"pigeon"}`, "invalid"},
		{"/feed", "unsubscribe", `{"topic":"prices"}`, "not_subscribed"},
		{"/feed", "publish", `{"topic":"prices","payload":1}`, "forbidden"},
		{"/feed", "weir:history", `{"topic":"prices"}`, "forbidden"},
		{"/feed", "weir:nothing", `{"topic":"prices"}`, "no_handler"},
		{"/open", "publish", `{"topic":"none","payload":1}`, "unknown"},
		{"/open", "publish", `{"topic":"small"}`, "invalid"},
		{"/open", "publish", `{"topic":"small","payload":"` + large + `"}`, "too_large"},
	} {
		id++
		p.send(fmt.Sprintf("42%s,%d[%q,%s]", c.namespace, id, c.event, c.arg))
		m := p.next()
		var answer []struct {
			OK           *bool
			Code, Reason string
			Retryable    *bool
		}
		body, ok := strings.CutPrefix(m, fmt.Sprintf("43%s,%d", c.namespace, id))
		if !ok || json.Unmarshal([]byte(body), &answer) != nil || len(answer) != 1 {
			t.Fatalf("%s %s: answered %q", c.event, c.arg, m)
		}
		if a := answer[0]; a.OK == nil || *a.OK || a.Code != c.code || a.Reason == "" || a.Retryable == nil {
			t.Errorf("%s %s: answered %s, want the code %s", c.event, c.arg, body, c.code)
		}
		beside.undisturbed()
	}
	p.send(`42/feed,["nobody",{}]`)
	if m := p.next(); !strings.HasPrefix(m, `42/feed,["weir:error",{"ok":false,"event":"nobody","code":"no_handler"`) {
		t.Errorf("an event nobody handles was answered %s", m)
	}
	if n := metric(t, srv, "weir_no_handler_total", `namespace="/feed"`); n == 0 {
		t.Error("events nobody handles were not counted")
	}
	for code, want := range map[string]float64{"unknown": 2, "invalid": 6, "not_subscribed": 1, "forbidden": 2, "too_large": 1} {
		if n := metric(t, srv, "weir_requests_refused_total", fmt.Sprintf("reason=%q", code)); n != want {
			t.Errorf("%v requests counted as %s, want %v", n, code, want)
		}
	}
}

// TestWhatProtocolSaysToIgnoreIsIgnored: or answered without closing anything.
func TestWhatProtocolSaysToIgnoreIsIgnored(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}, orders(weir.TopicOptions{})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	publish(t, srv, "orders", 1)
	d := p.delivery()
	for _, m := range []string{
		`43/feed,4711["an ack out of nowhere"]`,
		`42/feed,["ack",{"topic":"orders","messageId":"none"}]`,
		`42/feed,["ack",{"topic":"none","messageId":"none"}]`,
		`3`, `5`, `6`,
	} {
		p.send(m)
	}
	for m, want := range map[string]string{
		`40/none,`:      `44/none,{"message":"Invalid namespace"}`,
		`40/feed?a=1,`:  `44/feed?a=1,{"message":"Invalid namespace"}`,
		`40/?token=1,`:  `44/?token=1,{"message":"Invalid namespace"}`,
		`40/a,{"x":1}`:  `44/a,{"message":"Invalid namespace"}`,
		`42/feed,3[12]`: `42/feed,["weir:error",{"ok":false,"event":"12","code":"no_handler","reason":"nothing handles the event 12","retryable":false}]`,
	} {
		p.send(m)
		if got := p.next(); got != want {
			t.Errorf("%s: answered %q, want %q", m, got, want)
		}
	}
	if l := lane(client(t, srv, p.sid), "orders"); l.InFlight != 1 || l.Acked != 0 {
		t.Errorf("acks out of nowhere settled something: %+v", l)
	}
	p.ack(d)
	p.ack(d) // twice is harmless
	eventually(t, "the ack counts once", func() bool { return lane(client(t, srv, p.sid), "orders").Acked == 1 })
	balanced(t, srv, "orders")
}

// TestRefusedHandshakesAreAnsweredAndCounted: protocol.md 1.1.
func TestRefusedHandshakesAreAnsweredAndCounted(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	beside := newBystander(t, srv)
	for _, c := range []struct {
		method, query, origin string
		status                int
		body, reason          string
	}{
		{"GET", "EIO=4&transport=smoke", "", 400, `{"code":0,"message":"Transport unknown"}`, "transport"},
		{"GET", "EIO=4&transport=polling&sid=none", "", 400, `{"code":1,"message":"Session ID unknown"}`, "unknown_session"},
		{"POST", "EIO=4&transport=polling", "", 400, `{"code":2,"message":"Bad handshake method"}`, "method"},
		{"GET", "EIO=4&transport=websocket", "", 400, `{"code":3,"message":"Bad request"}`, "bad_request"},
		{"GET", "EIO=3&transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`, "protocol_version"},
		{"GET", "EIO=4&transport=polling", "https://evil.example", 403, "", "origin"},
	} {
		before := metric(t, srv, "weir_handshakes_refused_total", fmt.Sprintf("reason=%q", c.reason))
		r := httptest.NewRequest(c.method, "http://"+addr(srv)+"/socket.io/?"+c.query, nil)
		r.RequestURI = ""
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || (c.body != "" && body.String() != c.body) {
			t.Errorf("%s %s: %s %q, %v", c.method, c.query, resp.Status, body.String(), err)
		}
		if n := metric(t, srv, "weir_handshakes_refused_total", fmt.Sprintf("reason=%q", c.reason)); n != before+1 {
			t.Errorf("%s %s: counted %v times as %s", c.method, c.query, n-before, c.reason)
		}
		beside.undisturbed()
	}
}

// TestBadRequestsToTheAPIAreAnswered: protocol.md 5.
func TestBadRequestsToTheAPIAreAnswered(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices", Max: weir.Limits{Bytes: 1000}}))
	beside := newBystander(t, srv)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/api/publish", `{`, 400, "invalid"},
		{"POST", "/api/publish", ``, 400, "invalid"},
		{"POST", "/api/publish", `[]`, 400, "invalid"},
		{"POST", "/api/publish", "{\"namespace\":\"/feed\",\"topic\":\"prices\",\"payload\":\"\xff\"}", 400, "invalid"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices"}`, 400, "invalid"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1,"colour":"red"}`, 400, "invalid"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices","payloadBase64":"*"}`, 400, "invalid"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1,"ttlMs":-1}`, 400, "invalid"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1,"to":{"socket":"a","principal":"b"}}`, 400, "invalid"},
		{"POST", "/api/publish", `{"namespace":"/none","topic":"prices","payload":1}`, 404, "unknown"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"none","payload":1}`, 404, "unknown"},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices","payload":"` + strings.Repeat("x", 2000) + `"}`, 413, "too_large"},
		{"POST", "/api/emit", `{"namespace":"/feed","event":"connect","args":[]}`, 400, "invalid"},
		{"GET", "/api/clients?limit=many", ``, 400, "invalid"},
		{"GET", "/api/none", ``, 404, "unknown"},
		{"GET", "/api/history", ``, 400, "invalid"},
	} {
		r := httptest.NewRequestWithContext(context.Background(), c.method, c.path, strings.NewReader(c.body))
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		srv.Management().ServeHTTP(w, r)
		var answer struct {
			Error struct {
				Code, Message string
				Retryable     *bool
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Errorf("%s %s %.60s: %q: %v", c.method, c.path, c.body, w.Body, err)
			continue
		}
		if e := answer.Error; w.Code != c.status || e.Code != c.code || e.Message == "" || e.Retryable == nil {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
		beside.undisturbed()
	}
	if n := metric(t, srv, "weir_publish_refused_total", `reason="too_large"`); n != 1 {
		t.Errorf("%v counted as too large", n)
	}
}

// TestLongNamesAreNotKept: names that clients make up are kept as long as somebody
// subscribes, so they are short; and what nobody handles is remembered in brief.
func TestLongNamesAreNotKept(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "user:*"}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	long := strings.Repeat("z", 900_000)
	for n, code := range map[int]string{500_000: "invalid", 900_000: "too_large"} {
		if a := p.subscribe("/feed", "user:"+long[:n]); a["ok"] != false || a["code"] != code {
			t.Errorf("a topic's name of %d bytes: %.200v", n, a)
		}
	}
	if a := p.subscribe("/feed", "user:"+long[:251]); a["ok"] != true {
		t.Errorf("a topic's name of 256 bytes: %v", a)
	}
	p.emit("/feed", 8, long[:60_000])
	if answer := p.next(); len(answer) > 400 {
		t.Errorf("the refusal of an unknown event has %d bytes", len(answer))
	}
	if _, err := srv.Publish(t.Context(), "/feed", "user:"+long, 1); !errors.Is(err, weir.ErrInvalid) {
		t.Errorf("publish: %v", err)
	}
}
