package systemtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

var hookSecret = bytes.Repeat([]byte("h"), 32)

// hookQuestion is what the backend of a test is told.
type hookQuestion struct {
	Hook, Server, Namespace, Token, Query, Address string
	Auth                                           map[string]any
	Headers, Cookies                               map[string]string
}

// backend is the application's, as the test says.
func backend(t *testing.T, answer func(q hookQuestion, w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q hookQuestion
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		answer(q, w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// answersByToken is a backend that answers by the token.
func answersByToken(t *testing.T, byToken map[string]string, calls *atomic.Int64) string {
	t.Helper()
	return backend(t, func(q hookQuestion, w http.ResponseWriter, _ *http.Request) {
		if calls != nil {
			calls.Add(1)
		}
		_, _ = io.WriteString(w, byToken[q.Token])
	})
}

// hooked is a server that asks a hook.
func hooked(t *testing.T, o weir.Options, setup ...func(*weir.Server)) *weir.Server {
	t.Helper()
	o.Hooks.Secrets = [][]byte{hookSecret}
	if o.Servers == nil {
		o.Servers = []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
			{Path: "/feed", AuthRequired: true, ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices*"}, {Name: "orders"}}},
			{Path: "/topics", AuthRequired: true, Topics: []weir.TopicOptions{{Name: "prices*", AuthRequired: true}, {Name: "orders", AuthRequired: true}}},
			{Path: "/open", Topics: []weir.TopicOptions{{Name: "prices*"}}},
		}}}
	}
	return start(t, o, setup...)
}

func TestHookDecidesWhoComesIn(t *testing.T) {
	var last atomic.Pointer[hookQuestion]
	url := backend(t, func(q hookQuestion, w http.ResponseWriter, _ *http.Request) {
		last.Store(&q)
		_, _ = io.WriteString(w, map[string]string{
			"alice": `{"allow":true,"principal":"alice","rooms":["staff"],"topics":{"sub":["prices*"]},"data":{"plan":"gold"}}`,
			"plain": `{"allow":true,"principal":"plain"}`,
			"":      `{"allow":true}`,
			"no":    `{"allow":false,"message":"the account is closed","data":{"help":"/closed"}}`,
			"no2":   `{"allow":false}`,
			"no3":   `{"allow":false,"message":"sign in","code":"unauthorized"}`,
			"old":   `{"allow":true,"expiresAt":"2020-01-01T00:00:00Z"}`,
		}[q.Token])
	})
	var rooms atomic.Value
	srv := hooked(t, weir.Options{Hooks: weir.HookOptions{Connect: url}}, func(s *weir.Server) {
		s.Namespace("/feed").OnConnect(func(ctx context.Context, s *weir.Socket) error {
			list, err := s.Rooms(ctx)
			rooms.Store(fmt.Sprint(s.Principal(), len(list), string(s.Identity().Data)))
			return err
		})
	})
	for token, want := range map[string]string{
		"":    `40/feed,{"sid":`,
		"no":  `44/feed,{"message":"the account is closed","data":{"help":"/closed"}}`,
		"no2": `44/feed,{"message":"forbidden","data":{"code":"forbidden","retryable":false}}`,
		"no3": `44/feed,{"message":"sign in","data":{"code":"unauthorized","retryable":false}}`,
		"old": `44/feed,{"message":"token_expired: what lets the client in has expired","data":{"code":"token_expired","retryable":false}}`,
		"zzz": `44/feed,{"message":"backend_unavailable: the application's backend has given no answer that can be used","data":{"code":"backend_unavailable","retryable":true}}`,
	} {
		if got := connects(t, srv, "/feed", token); !strings.HasPrefix(got, want) {
			t.Errorf("%q: answered %s, want %s", token, got, want)
		}
	}
	p := dial(t, addr(srv), "/feed", map[string]any{"token": "alice", "__proto__": map[string]any{"admin": true}}, dialOptions{})
	eventually(t, "OnConnect", func() bool { return rooms.Load() == `alice2{"plan":"gold"}` })
	if q := last.Load(); q.Hook != "connect" || q.Server != "default" || q.Namespace != "/feed" || q.Auth["__proto__"] == nil || !strings.HasPrefix(q.Address, "127.0.0.1") || q.Query == "" {
		t.Errorf("asked %+v", *q)
	}
	if got := p.subscribe("/feed", "prices.AAPL"); got["ok"] != true {
		t.Errorf("granted: %v", got)
	}
	if got := p.subscribe("/feed", "orders"); got["code"] != "forbidden" {
		t.Errorf("not granted: %v", got)
	}
	// A namespace that asks for nothing asks nobody, and a topic that asks for a token is content with what the hook has said.
	last.Store(nil)
	if got := connects(t, srv, "/open", ""); !strings.HasPrefix(got, "40/open,") || last.Load() != nil {
		t.Errorf("%s, asked %v", got, last.Load())
	}
	alice, plain := dial(t, addr(srv), "/topics", map[string]any{"token": "alice"}, dialOptions{}), dial(t, addr(srv), "/topics", map[string]any{"token": "plain"}, dialOptions{})
	last.Store(nil)
	for _, c := range []struct {
		p     *peer
		topic string
		ok    bool
	}{{alice, "prices.AAPL", true}, {alice, "orders", false}, {plain, "orders", true}} {
		if got := c.p.subscribe("/topics", c.topic); (got["ok"] == true) != c.ok {
			t.Errorf("%s: %v", c.topic, got)
		}
	}
	if last.Load() != nil {
		t.Error("asked about a topic")
	}
}

// Where Authenticate knows a token nobody else is hookQuestion, nor where it knows that the token has ended.
func TestHookIsAskedAboutWhomAuthenticateDoesNotKnow(t *testing.T) {
	var calls atomic.Int64
	url := answersByToken(t, map[string]string{"other": `{"allow":true,"principal":"other"}`, "": `{"allow":false,"message":"hook"}`}, &calls)
	auth, err := weir.JWT(weir.JWTOptions{Algorithms: []string{"HS256"}, Keys: []weir.JWTKey{{Secret: jwtSecret}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := hooked(t, weir.Options{Authenticate: auth, Hooks: weir.HookOptions{Connect: url}, Revoked: weir.RevokedOptions{Principals: []string{"mallory"}}})
	for _, c := range []struct {
		token, want string
		calls       int64
	}{
		{bearer(t, nil), "40/feed,", 0},
		{bearer(t, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "token_expired", 0},
		{"other", "40/feed,", 1},
		{"", "hook", 1},
	} {
		before := calls.Load()
		if got := connects(t, srv, "/feed", c.token); !strings.Contains(got, c.want) || calls.Load()-before != c.calls {
			t.Errorf("%q: %s, %d calls", c.token, got, calls.Load()-before)
		}
	}
}

// Whatever becomes of the backend, a client is told, with a code, at once where the breaker is open; and when the backend
// is back it comes in. One line of the log tells of each change, however many clients there are.
func TestHookWhoseBackendIsAway(t *testing.T) {
	var broken atomic.Bool
	url := backend(t, func(_ hookQuestion, w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	var logged logbook
	srv := hooked(t, weir.Options{Logger: logged.logger(), Hooks: weir.HookOptions{
		Connect: url, Timeout: 50 * time.Millisecond, BreakerCalls: 3, BreakerPause: 200 * time.Millisecond,
	}})
	broken.Store(true)
	codes := map[string]int{}
	for range 20 {
		got := connects(t, srv, "/feed", "")
		_, message, _ := strings.Cut(got, `"message":"`)
		message, _, _ = strings.Cut(message, `"`)
		codes[message]++
		if !strings.Contains(got, `"data":{"code":"backend_unavailable","retryable":true}`) {
			t.Fatalf("answered %s", got)
		}
	}
	if codes["backend_unavailable: the application's backend has not answered in time"] < 3 ||
		codes["backend_unavailable: the application's backend does not answer, and is not asked for a while"] == 0 {
		t.Errorf("%v", codes)
	}
	if metric(t, srv, "weir_hook_calls_total", `result="timeout"`) < 3 || metric(t, srv, "weir_hook_calls_total", `result="breaker"`) == 0 ||
		metric(t, srv, "weir_auth_unavailable_total") != 20 || metric(t, srv, "weir_auth_rejected_total") != 0 {
		t.Error("the figures do not say so")
	}
	broken.Store(false)
	eventually(t, "the backend is asked again", func() bool { return strings.HasPrefix(connects(t, srv, "/feed", ""), "40/feed,") })
	if n := metric(t, srv, "weir_hook_breaker_open", `hook="connect"`); n != 0 {
		t.Errorf("weir_hook_breaker_open %v", n)
	}
	for line, want := range map[string]int{"hook failed": 1, "hook not asked for a while": 1, "hook asked again": 1, "token not checked": 0, "token refused": 0} {
		if lines := logged.told(t, srv, line); len(lines) != want {
			t.Errorf("%d lines %q, want %d: %s", len(lines), line, want, lines)
		}
	}
}

// 500 clients at once, 10 calls at most: each is told, no pool waits with them, and those in another namespace come in meanwhile.
func TestHookInAStampede(t *testing.T) {
	var now, most atomic.Int64
	open := make(chan struct{})
	url := backend(t, func(_ hookQuestion, w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-open:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	o := weir.Options{
		Hooks: weir.HookOptions{Connect: url, MaxCalls: 10, MaxWaiting: 390, Timeout: 10 * time.Minute}, Outside: weir.OutsideOptions{Max: 2, Queue: 10_000},
		Servers: []weir.ServerOptions{{Auth: true, SocketIO: weir.SocketIOOptions{ConnectTimeout: 10 * time.Minute}, Namespaces: []weir.NamespaceOptions{{Path: "/feed", AuthRequired: true}, {Path: "/checked"}}}},
	}
	srv := hooked(t, o, func(s *weir.Server) {
		s.Namespace("/checked").Use(func(context.Context, *weir.Socket) error { return nil })
	})
	peers := make([]*peer, 500)
	for i := range peers {
		peers[i] = dialRaw(t, addr(srv), dialOptions{})
		peers[i].send("40/feed,")
	}
	eventually(t, "all are asked about, wait or are refused", func() bool {
		return metric(t, srv, "weir_hook_running")+metric(t, srv, "weir_hook_waiting")+metric(t, srv, "weir_hook_calls_total", `result="full"`) == 500
	})
	if run, outside := metric(t, srv, "weir_hook_running"), metric(t, srv, "weir_outside_running"); run != 10 || outside != 0 {
		t.Errorf("%v calls, %v on the pool for the outside", run, outside)
	}
	if held := metric(t, srv, "weir_memory_held_bytes", `what="hooks"`); held < 400*12<<10 {
		t.Errorf("%v bytes are held", held)
	}
	dial(t, addr(srv), "/checked", nil, dialOptions{})
	for _, p := range peers[:5] {
		_ = p.conn.Close()
	}
	close(open)
	in, busy := 0, 0
	for _, p := range peers[5:] {
		switch got := p.next(); {
		case strings.HasPrefix(got, "40/feed,"):
			in++
		case strings.Contains(got, `"code":"busy","retryable":true`):
			busy++
		default:
			t.Fatal(got)
		}
	}
	if most.Load() > 10 || in+busy != 495 || busy > 100 {
		t.Errorf("%d calls at once, %d in, %d busy", most.Load(), in, busy)
	}
	eventually(t, "nothing is held", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="hooks"`) == 0 })
}

// A client that goes away while the hook is asked about it ends its call; so does the end of its time, of which it is told.
func TestHookCallEndsWithItsClient(t *testing.T) {
	begun, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	url := backend(t, func(_ hookQuestion, _ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	srv := hooked(t, weir.Options{Hooks: weir.HookOptions{Connect: url, Timeout: 10 * time.Minute}})
	p := dialRaw(t, addr(srv), dialOptions{})
	p.send("40/feed,")
	<-begun
	_ = p.conn.Close()
	<-ended
	eventually(t, "the call is given up", func() bool { return metric(t, srv, "weir_hook_calls_total", `result="left"`) == 1 })
	q := dialRaw(t, addr(srv), dialOptions{})
	q.send("40/feed,")
	<-begun
	if err := srv.Close(); err != nil { // the end of the server waits for no backend
		t.Error(err)
	}
	<-ended
}

// A reload changes the secrets that requests are signed with, from the next one on.
func TestReloadChangesTheSecretsOfAHook(t *testing.T) {
	signatures := make(chan int, 1)
	url := backend(t, func(_ hookQuestion, w http.ResponseWriter, r *http.Request) {
		signatures <- len(strings.Fields(r.Header.Get("webhook-signature")))
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	srv := hooked(t, weir.Options{Hooks: weir.HookOptions{Connect: url}})
	for want := 1; want <= 2; want++ {
		connects(t, srv, "/feed", "")
		if n := <-signatures; n != want {
			t.Errorf("%d signatures, want %d", n, want)
		}
		o := weir.Options{Hooks: weir.HookOptions{Connect: url, Secrets: [][]byte{hookSecret, bytes.Repeat([]byte("i"), 32)}}}
		attach.Apply(srv, &o, attach.Parts{Hooks: true})
	}
}

// After the hook the checks of Use are hookQuestion, on their pool, and a refusal of theirs is one.
func TestChecksFollowTheHook(t *testing.T) {
	url := answersByToken(t, map[string]string{"a": `{"allow":true,"principal":"a"}`, "b": `{"allow":true,"principal":"b"}`}, nil)
	srv := hooked(t, weir.Options{Hooks: weir.HookOptions{Connect: url}}, func(s *weir.Server) {
		s.Namespace("/feed").Use(func(_ context.Context, s *weir.Socket) error {
			if s.Principal() == "b" {
				return &weir.ConnectError{Message: "not b"}
			}
			return nil
		})
	})
	if got := connects(t, srv, "/feed", "a"); !strings.HasPrefix(got, "40/feed,") {
		t.Error(got)
	}
	if got := connects(t, srv, "/feed", "b"); got != `44/feed,{"message":"not b"}` {
		t.Error(got)
	}
}

// What lets a client in ends: it is told, may send a fresh token, which the hook is asked about, and is disconnected
// else. Revoked is who was let in from memory, too.
func TestWhatAHookGrantsEnds(t *testing.T) {
	var calls atomic.Int64
	url := backend(t, func(q hookQuestion, w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		in := map[string]time.Duration{"short": life, "long": time.Hour, "kept": time.Hour}[q.Token]
		_, _ = fmt.Fprintf(w, `{"allow":%v,"principal":"alice","expiresAt":%d}`, in > 0, time.Now().Add(in).UnixMilli())
	})
	srv := hooked(t, weir.Options{Hooks: weir.HookOptions{Connect: url, CacheFor: time.Hour}})
	for range 3 {
		if got := connects(t, srv, "/feed", "kept"); !strings.HasPrefix(got, "40/feed,") {
			t.Fatal(got)
		}
	}
	if calls.Load() != 1 || metric(t, srv, "weir_hook_calls_total", `result="cached"`) != 2 {
		t.Errorf("%d calls", calls.Load())
	}
	p := dial(t, addr(srv), "/feed", map[string]string{"token": "short"}, dialOptions{})
	if got := p.next(); !strings.Contains(got, "weir:expiring") {
		t.Fatal(got)
	}
	for token, want := range map[string]string{"wrong": "forbidden", "long": `"ok":true`} {
		p.emit("/feed", 3, "weir:token", map[string]any{"token": token})
		if got := p.next(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", token, got)
		}
	}
	end := connects(t, srv, "/feed", "nobody")
	if !strings.Contains(end, "44/feed,") {
		t.Error(end)
	}
	r := dial(t, addr(srv), "/feed", map[string]string{"token": "short"}, dialOptions{})
	for _, want := range []string{`42/feed,["weir:expiring",{"expiresInMs":`, `42/feed,["weir:error",{"ok":false,"code":"token_expired"`, "41/feed,"} {
		if got := r.next(); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if _, err := srv.Revoke(t.Context(), weir.Revocation{Principal: "alice", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := connects(t, srv, "/feed", "kept"); strings.HasPrefix(got, "40/feed,") {
		t.Error("a revoked principal was let in from memory")
	}
}
