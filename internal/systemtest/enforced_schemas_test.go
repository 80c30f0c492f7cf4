package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// handled notes what handlers and observers of a server have seen.
type handled struct {
	mu   sync.Mutex
	list []string
}

func (h *handled) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, s)
}

func (h *handled) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// schemaOf compiles a schema in Go.
func schemaOf(t testing.TB, text string) *weir.Schema {
	t.Helper()
	s, err := weir.ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const orderSchema = `{"type": "object", "required": ["symbol"], "properties": {"symbol": {"type": "string", "maxLength": 4}, "scan": true}, "additionalProperties": false}`

// schooled is a server that holds what its clients send to schemas. Every handler, check and observer notes what it sees.
func schooled(t *testing.T, l *logbook) (*weir.Server, *handled) {
	t.Helper()
	h := new(handled)
	o := weir.Options{Servers: []weir.ServerOptions{{
		Limits: weir.ServerLimits{Inbound: []weir.InboundLimit{{Events: "limited", Messages: 1, Window: ages, Action: weir.InboundDrop}}},
		Namespaces: []weir.NamespaceOptions{{
			Path: "/feed", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices*"}, {Name: "open"}, {Name: "both"}},
			Schemas: []weir.SchemaOptions{
				{Name: "order", Schema: schemaOf(t, orderSchema)},
				{Name: "limited", Schema: schemaOf(t, orderSchema)},
				{Name: "tried", Schema: schemaOf(t, orderSchema), DryRun: true},
				{Name: "chat:*", Schema: schemaOf(t, `{"type": "string", "maxLength": 5}`)},
				{Name: "chat:long", Schema: schemaOf(t, `{"type": "string"}`), MaxBytes: 20},
				{Name: "move", Schema: schemaOf(t, `{"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2}`), Arguments: true},
				{Name: "prices*", Schema: schemaOf(t, orderSchema)},
				{Name: "both", Schema: schemaOf(t, orderSchema), Publish: true},
			},
		}, {Path: "/closed", Topics: []weir.TopicOptions{{Name: "prices"}}, Schemas: []weir.SchemaOptions{{Name: "prices", Schema: schemaOf(t, `false`)}}}},
	}}}
	if l != nil {
		o.Logger = l.logger()
	}
	return start(t, o, func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.UseEvents(func(_ context.Context, _ *weir.Socket, e *weir.Event) error { h.note("check " + e.Name); return nil })
		n.OnAny(func(_ context.Context, _ *weir.Socket, e *weir.Event) error { h.note("observer " + e.Name); return nil })
		for _, name := range []string{"order", "limited", "tried", "chat:a", "chat:long", "move"} {
			n.On(name, func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
				h.note("handler " + e.Name)
				return e.Reply(ctx, "ok")
			})
		}
	}), h
}

// answer sends an event with a callback, and is what that is called with.
func (p *peer) answer(namespace, event string, args ...any) string {
	p.t.Helper()
	p.emit(namespace, 1, event, args...)
	k := p.packet()
	if k.typ != sio.Ack {
		p.t.Fatalf("%s: %+v, want an answer", event, k)
	}
	return string(k.args[0])
}

func TestEventThatBreaksItsSchemaIsAnsweredAndNotDelivered(t *testing.T) {
	srv, h := schooled(t, nil)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for _, c := range []struct {
		event      string
		args       []any
		path, rule string
	}{
		{"order", []any{map[string]any{"symbol": "AAPL"}}, "", ""},
		{"order", []any{map[string]any{"symbol": "TOO LONG"}}, "/symbol", "maxLength"},
		{"order", []any{map[string]any{}}, "", "required"},
		{"order", []any{map[string]any{"symbol": "A", "__proto__": 1}}, "", "additionalProperties"},
		{"order", []any{"A"}, "", "type"},
		{"order", nil, "", "arguments"},
		{"order", []any{map[string]any{"symbol": "A"}, "more"}, "", "arguments"},
		{"order", []any{map[string]any{"symbol": strings.Repeat("x", 70_000)}}, "", "maxBytes"},
		{"order", []any{json.RawMessage(strings.Repeat("[", 33) + strings.Repeat("]", 33))}, "", "maxDepth"},
		{"order", []any{json.RawMessage(`{"symbol":1e1000000}`)}, "", "number"},
		{"chat:a", []any{"12345"}, "", ""},
		{"chat:a", []any{"123456"}, "", "maxLength"},
		{"chat:none", []any{"123456"}, "", "maxLength"}, // nothing handles it: the schema comes first
		{"chat:long", []any{"123456"}, "", ""},          // the exact name counts
		{"chat:long", []any{"12345678901234567890"}, "", "maxBytes"},
		{"move", []any{"e4", 4}, "", ""},
		{"move", []any{"e4"}, "", "minItems"},
		{"move", []any{"e4", "4"}, "/1", "type"},
		{"move", []any{"e4", 4, 4}, "/2", "false"},
	} {
		before := len(h.seen())
		got := p.answer("/feed", c.event, c.args...)
		var r struct {
			OK           *bool
			Code, Reason string
			Path, Rule   *string
			Retryable    *bool
		}
		if c.rule == "" {
			if got != `"ok"` || len(h.seen()) != before+3 {
				t.Errorf("%s %.60v: answered %s, seen %v", c.event, c.args, got, h.seen()[before:])
			}
			continue
		}
		if err := json.Unmarshal([]byte(got), &r); err != nil || r.OK == nil || *r.OK || r.Code != "schema_violation" || r.Path == nil || *r.Path != c.path ||
			r.Rule == nil || *r.Rule != c.rule || r.Reason == "" || r.Retryable == nil || *r.Retryable {
			t.Errorf("%s %.60v: answered %s, want %s at %q", c.event, c.args, got, c.rule, c.path)
		}
		if seen := h.seen()[before:]; len(seen) > 0 {
			t.Errorf("%s %.60v: seen by %v", c.event, c.args, seen)
		}
	}
	p.emit("/feed", -1, "order", map[string]any{"symbol": "TOO LONG"})
	k := p.packet()
	var r struct{ Event, Code, Path, Rule string }
	if _ = json.Unmarshal(k.args[0], &r); k.name != "weir:error" || r.Event != "order" || r.Code != "schema_violation" || r.Path != "/symbol" || r.Rule != "maxLength" {
		t.Errorf("without a callback: %+v", k)
	}
	if got := metric(t, srv, "weir_schema_violations_total", `schema="order"`, `dry_run="false"`); got != 10 {
		t.Errorf("%v violations of order are counted, want 10", got)
	}
	if got := metric(t, srv, "weir_schema_violations_total", `schema="chat:*"`); got != 2 {
		t.Errorf("%v violations of chat:* are counted, want 2", got)
	}
	if got := metric(t, srv, "weir_memory_held_bytes", `what="mailboxes"`); got != 0 {
		t.Errorf("%v bytes are held when nothing is checked any more", got)
	}
}

// A binary part is no JSON: it passes where a schema says nothing, and nowhere else. In an event without attachments a
// placeholder is an object like any other.
func TestBinaryPartsAndSchemas(t *testing.T) {
	srv, h := schooled(t, nil)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for _, c := range []struct{ text, want string }{
		{`451-/feed,1["order",{"symbol":"A","scan":{"_placeholder":true,"num":0}}]`, `["ok"]`},
		{`451-/feed,1["order",{"symbol":{"_placeholder":true,"num":0}}]`, `"path":"/symbol","rule":"binary"`},
		{`451-/feed,1["order",{"_placeholder":true,"num":0}]`, `"path":"","rule":"binary"`},
		{`42/feed,1["order",{"symbol":{"_placeholder":true,"num":0}}]`, `"path":"/symbol","rule":"type"`},
		{`451-/feed,1["publish",{"topic":"prices.a","payload":{"_placeholder":true,"num":0}}]`, `"rule":"binary"`},
		{`451-/feed,1["publish",{"topic":"open","payload":{"_placeholder":true,"num":0}}]`, `"ok":true`},
	} {
		p.send(c.text)
		if strings.HasPrefix(c.text, "45") {
			if _, err := p.conn.Write(ws.AppendMasked(nil, ws.Binary, [4]byte{}, []byte("bytes"))); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.next(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
	if got := len(h.seen()); got != 3 {
		t.Errorf("seen: %v", h.seen())
	}
}

// What clients publish is held to the schema of its topic; what the application publishes only where it is asked for.
func TestPublicationsAndSchemas(t *testing.T) {
	srv, _ := schooled(t, nil)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	hears := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for _, topic := range []string{"prices.a", "both"} {
		hears.subscribe("/feed", topic)
	}
	good, bad := map[string]any{"symbol": "A"}, map[string]any{"symbol": 7}
	for _, event := range []string{"publish", "weir:publish"} {
		if got := p.answer("/feed", event, map[string]any{"topic": "prices.a", "payload": good}); !strings.Contains(got, `"ok":true`) {
			t.Error(got)
		}
		got := p.answer("/feed", event, map[string]any{"topic": "prices.a", "payload": bad})
		if !strings.Contains(got, `"code":"schema_violation"`) || !strings.Contains(got, `"path":"/symbol","rule":"type"`) || !strings.Contains(got, `"topic":"prices.a"`) {
			t.Error(got)
		}
	}
	// The application's own.
	if _, err := srv.Publish(t.Context(), "/feed", "prices.a", bad); err != nil {
		t.Error(err)
	}
	_, err := srv.Publish(t.Context(), "/feed", "both", bad)
	var e *weir.Error
	if !errors.Is(err, weir.ErrSchema) || !errors.As(err, &e) || !strings.HasPrefix(e.Reason, "/symbol: type: ") {
		t.Errorf("%v", err)
	}
	if _, err := srv.Publish(t.Context(), "/feed", "both", []byte{1}); !errors.Is(err, weir.ErrSchema) {
		t.Errorf("binary: %v", err)
	}
	publish := func(path, body, kind string) (int, string) {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		srv.Management().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	// The id of one that is refused is not taken; one that was accepted is no way around.
	for _, c := range []struct {
		payload, id string
		status      int
		says        string
	}{
		{`{"symbol":7}`, "i-1", 400, `"code":"schema_violation"`},
		{`{"symbol":"A"}`, "i-1", 200, `"messageId":"i-1"`},
		{`{"symbol":"A"}`, "i-1", 200, `"messageId":"i-1"`},
		{`{"symbol":7}`, "i-1", 400, `/symbol: type: `},
	} {
		status, body := publish("/api/publish", fmt.Sprintf(`{"namespace":"/feed","topic":"both","payload":%s,"id":%q}`, c.payload, c.id), "application/json")
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%+v: %d %s", c, status, body)
		}
	}
	_, body := publish("/api/publish/batch", `{"namespace":"/feed","topic":"both","payload":1}`+"\n"+`{"namespace":"/feed","topic":"both","payload":{"symbol":"B"}}`+"\n", "application/x-ndjson")
	if lines := strings.Split(strings.TrimSpace(body), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "schema_violation") || !strings.Contains(lines[1], "messageId") {
		t.Errorf("batch: %s", body)
	}
	// What was refused is with nobody: only this has come.
	var got []string
	for range 5 {
		got = append(got, string(hears.packet().args[0]))
	}
	slices.Sort(got)
	if want := []string{`{"symbol":"A"}`, `{"symbol":"A"}`, `{"symbol":"A"}`, `{"symbol":"B"}`, `{"symbol":7}`}; !slices.Equal(got, want) {
		t.Errorf("delivered: %v", got)
	}
}

// Limits come first, then what nobody may, then what is not there, then the schema.
func TestSchemasComeAfterLimitsAndPermissions(t *testing.T) {
	srv, h := schooled(t, nil)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	if got := p.answer("/feed", "limited", 1); !strings.Contains(got, "schema_violation") {
		t.Error(got) // it counts for the limit
	}
	if got := p.answer("/feed", "limited", 1); !strings.Contains(got, `"code":"limited"`) {
		t.Error(got)
	}
	if got := p.answer("/feed", "publish", map[string]any{"topic": "nowhere", "payload": 1}); !strings.Contains(got, `"code":"unknown"`) {
		t.Error(got)
	}
	closed := dial(t, addr(srv), "/closed", nil, dialOptions{})
	if got := closed.answer("/closed", "publish", map[string]any{"topic": "prices", "payload": 1}); !strings.Contains(got, `"code":"forbidden"`) {
		t.Error(got)
	}
	if seen := h.seen(); len(seen) > 0 {
		t.Errorf("%v", seen)
	}
}

// A schema that is tried counts and logs what it would have done, and lets everything through.
func TestSchemaDryRunLetsThrough(t *testing.T) {
	l := new(logbook)
	srv, h := schooled(t, l)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	for range 3 {
		if got := p.answer("/feed", "tried", map[string]any{"symbol": "forged\nlevel=ERROR msg=forged"}); got != `"ok"` {
			t.Error(got)
		}
	}
	if got := p.answer("/feed", "tried", map[string]any{"symbol": "A"}); got != `"ok"` || len(h.seen()) != 12 {
		t.Error(got, h.seen())
	}
	if got := metric(t, srv, "weir_schema_violations_total", `schema="tried"`, `dry_run="true"`); got != 3 {
		t.Errorf("%v are counted, want 3", got)
	}
	if got := metric(t, srv, "weir_schema_violations_total", `schema="tried"`, `dry_run="false"`); got != 0 {
		t.Errorf("%v are counted as refused", got)
	}
	if got := l.told(t, srv, "it was let through, dryRun is set", "schema=tried", "path=/symbol", "rule=maxLength"); len(got) != 1 {
		t.Errorf("the log says %d times: %v", len(got), got)
	}
	if forged := l.lines("\nlevel=ERROR msg=forged"); len(forged) > 0 {
		t.Errorf("%v", forged)
	}
}

// Handle takes a schema for what the type cannot say.
func TestHandleWithSchema(t *testing.T) {
	type order struct{ Symbol string }
	var n atomic.Int32
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{{Namespaces: []weir.NamespaceOptions{{
		Path: "/feed", Schemas: []weir.SchemaOptions{{Name: "*", Schema: schemaOf(t, `false`), DryRun: true}},
	}}}}}, func(s *weir.Server) {
		weir.Handle(s.Namespace("/feed"), "order", func(_ context.Context, _ *weir.Socket, o order) (string, error) {
			n.Add(1)
			return o.Symbol, nil
		}, weir.WithSchema(weir.SchemaOptions{Schema: schemaOf(t, orderSchema)}))
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	// encoding/json would take the other spelling, and the field that is not known.
	for _, wrong := range []map[string]any{{}, {"SYMBOL": "A"}, {"symbol": "A", "SYMBOL": "B"}, {"symbol": "A", "more": 1}} {
		if got := p.answer("/feed", "order", wrong); !strings.Contains(got, "schema_violation") {
			t.Errorf("%v: %s", wrong, got)
		}
	}
	if got := p.answer("/feed", "order", map[string]any{"symbol": "A"}); got != `"A"` || n.Load() != 1 {
		t.Errorf("%s, handled %d", got, n.Load())
	}
	for name, o := range map[string]weir.SchemaOptions{"none": {}, "another name": {Name: "other", Schema: schemaOf(t, `true`)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			weir.WithSchema(o)(srv.Namespace("/feed"), "order")
		}()
	}
}

// A check that takes long is on a worker: the loop goes on, and so do others' events.
func TestSchemasAreCheckedOnWorkers(t *testing.T) {
	srv := start(t, weir.Options{Shards: 1, Servers: []weir.ServerOptions{{Namespaces: []weir.NamespaceOptions{{
		Path: "/feed", Schemas: []weir.SchemaOptions{{Name: "slow", Schema: schemaOf(t, `{"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}`)}},
	}}}}}, func(s *weir.Server) {
		weir.Handle(s.Namespace("/feed"), "quick", func(context.Context, *weir.Socket, int) (int, error) { return 1, nil })
	})
	slow, quick := dial(t, addr(srv), "/feed", nil, dialOptions{}), dial(t, addr(srv), "/feed", nil, dialOptions{})
	deep := json.RawMessage(strings.Repeat(`{"a":`, 31) + `{}` + strings.Repeat(`}`, 31))
	for range 5 {
		slow.emit("/feed", 1, "slow", deep)
	}
	if got := quick.answer("/feed", "quick", 1); got != "1" {
		t.Error(got)
	}
	for range 5 {
		if k := slow.packet(); !strings.Contains(string(k.args[0]), `"rule":"effort"`) {
			t.Errorf("%s", k.args)
		}
	}
}

// P11: what a schema cannot do is a problem at start.
func TestSchemaOptionsAreRefused(t *testing.T) {
	yes := schemaOf(t, `true`)
	for want, o := range map[string]weir.SchemaOptions{
		"Schema: is not set":                {Name: "a"},
		"want the name of an event":         {Schema: yes},
		"a * is at the end of a pattern":    {Name: "a*b", Schema: yes},
		"is a delivery event":               {Name: "publish", Schema: yes},
		`"weir:subscribe" is a delivery`:    {Name: "weir:subscribe", Schema: yes},
		"no topic of that name is declared": {Name: "a", Schema: yes, Publish: true},
		"has a payload, not arguments":      {Name: "pri*", Schema: yes, Arguments: true},
		"MaxBytes -1: want 0 to":            {Name: "a", Schema: yes, MaxBytes: -1},
		"MaxDepth 513: want 0 to 512":       {Name: "a", Schema: yes, MaxDepth: 513},
	} {
		_, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/", Topics: []weir.TopicOptions{{Name: "prices"}}, Schemas: []weir.SchemaOptions{o}}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
	_, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/", Schemas: []weir.SchemaOptions{{Name: "a", Schema: yes}, {Name: "a", Schema: yes}}}}})
	if err == nil || !strings.Contains(err.Error(), "another one has the name") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{`{"type": 7}`, `{`, `{"$ref": "b.json"}`, `{"$ref": "https://example.com"}`} {
		if _, err := weir.ParseSchema([]byte(text)); !errors.Is(err, weir.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
