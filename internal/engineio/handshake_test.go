package engineio_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
)

func TestHandshakeOverPollingAnswersTheOpenPacket(t *testing.T) {
	r := newRig(t, func(o *engineio.Options) { o.Cookie = &engineio.Cookie{} })
	res := r.request(http.MethodGet, newPolling+"&token=x", "", "X-Mine", "1")
	h := <-r.opened
	res.want(t, 200, `0{"sid":"`+h.s.ID()+`","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	for name, want := range map[string]string{
		"Content-Type":   "text/plain; charset=UTF-8",
		"Content-Length": fmt.Sprint(len(res.body)),
		"Cache-Control":  "no-store",
		"Set-Cookie":     "io=" + h.s.ID() + "; Path=/; HttpOnly; SameSite=Lax",
	} {
		if got := res.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	hs := h.handshake
	if hs.Header.Get("X-Mine") != "1" || hs.URL.Query().Get("token") != "x" || hs.Transport != engineio.Polling || hs.TLS {
		t.Errorf("handshake %+v", hs)
	}
	if !h.s.RemoteAddr().Addr().IsLoopback() || len(h.s.ID()) != 24 {
		t.Errorf("remote %v, sid of %d characters", h.s.RemoteAddr(), len(h.s.ID()))
	}
	again := r.request(http.MethodGet, newPolling, "")
	if other := <-r.opened; other.s.ID() == h.s.ID() || again.header.Get("Set-Cookie") == "" {
		t.Error("a second handshake got the first one's id, or no cookie")
	}
}

func TestHandshakeOverWebSocketBeginsWithTheOpenPacket(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial(newWebSocket)
	h := <-r.opened
	c.want(`0{"sid":"` + h.s.ID() + `","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	h.do(func() {
		if h.s.Transport() != engineio.WebSocket {
			t.Errorf("transport %s", h.s.Transport())
		}
	})
	if got := r.server.Stats(); got.WebSocket != 1 || got.Handshakes != 1 || r.server.Sessions(0) != 1 {
		t.Errorf("stats %+v", got)
	}
}

func TestMessagesOfOpenComeWithTheOpenPacket(t *testing.T) {
	r := newRig(t, nil)
	r.onOpen = func(h *host) { h.queue = append(h.queue, "\x81\x024x"...) }
	res := r.request(http.MethodGet, newPolling, "")
	if !strings.HasPrefix(res.body, "0{") || !strings.HasSuffix(res.body, "}\x1e4x") {
		t.Errorf("answered %q", res.body)
	}
}

// The order of checks of protocol.md 1.1: the first that fails answers.
func TestRefusedRequestsGetTheirCode(t *testing.T) {
	bodies := []string{
		`{"code":0,"message":"Transport unknown"}`, `{"code":1,"message":"Session ID unknown"}`,
		`{"code":2,"message":"Bad handshake method"}`, `{"code":3,"message":"Bad request"}`,
		`{"code":4,"message":"Forbidden"}`, `{"code":5,"message":"Unsupported protocol version"}`,
	}
	r := newRig(t, func(o *engineio.Options) {
		o.Node = "n1"
		o.CheckOrigin = func(r *http.Request) engineio.Origin {
			if r.Header.Get("Origin") == "http://evil" {
				return engineio.OriginRefused
			}
			return engineio.OriginPlain
		}
	})
	r.refuse = func(r *http.Request) *engineio.Refusal {
		switch r.URL.Query().Get("who") {
		case "nobody":
			return &engineio.Refusal{}
		case "late":
			return &engineio.Refusal{Status: 503, Code: 4, Message: "Draining", RetryAfter: 1500 * time.Millisecond}
		}
		return nil
	}
	_, sid := r.pollingSession()
	for _, tc := range []struct {
		method, query, origin string
		code                  int
	}{
		{"GET", "", "", 0},
		{"GET", "?EIO=4&transport=tobi", "", 0},
		{"GET", "?EIO=4&transport=webtransport", "", 0},
		{"POST", "?EIO=3&transport=constructor&sid=x", "", 0},
		{"GET", newPolling, "http://evil", 4},
		{"GET", sid, "http://evil", 4},
		{"GET", newPolling + "&sid=test", "", 1},
		{"GET", newPolling + "&sid=n1AAxxxxxxxxxxxxxxxxxxxx", "", 1},
		{"GET", newPolling + "&sid=n1ABxxxxxxxxxxxxxxxxxxxx", "", 1}, // a loop that is not there
		{"GET", newPolling + "&sid=n2AAxxxxxxxxxxxxxxxxxxxx", "", 1}, // another node's
		{"GET", newPolling + "&sid=n1AAxxxxxxxxxxxxxxxxxx..", "", 1},
		{"POST", newPolling + "&sid=n1AAxxxxxxxxxxxxxxxxxxxx", "", 1},
		{"DELETE", newPolling + "&sid=n1AAxxxxxxxxxxxxxxxxxxxx", "", 1},
		{"GET", "?EIO=3&transport=polling&sid=n1AAxxxxxxxxxxxxxxxxxxxx", "", 1},
		{"GET", newWebSocket + "&sid=n1AAxxxxxxxxxxxxxxxxxxxx", "", 1},
		{"POST", newPolling, "", 2},
		{"OPTIONS", newPolling, "", 2},
		{"POST", "?EIO=3&transport=polling", "", 2},
		{"POST", newWebSocket, "", 2},
		{"GET", newWebSocket, "", 3},
		{"GET", strings.Replace(sid, "polling", "websocket", 1), "", 3},
		{"GET", newPolling + "&who=nobody", "", 4},
		{"GET", "?EIO=3&transport=polling&who=nobody", "", 4},
		{"GET", "?EIO=3&transport=polling", "", 5},
		{"GET", "?transport=polling", "", 5},
		{"GET", "?EIO=4&EIO=3&transport=polling", "", 5},
	} {
		t.Run(tc.method+tc.query, func(t *testing.T) {
			before := r.server.Stats().Refused[tc.code]
			res := r.request(tc.method, tc.query, "", "Origin", tc.origin)
			status := 400
			if tc.code == 4 {
				status = 403
			}
			res.want(t, status, bodies[tc.code])
			if got := res.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			want := before + 1
			if strings.Contains(tc.query, "who=nobody") {
				want = before // the acceptor counts whom it does not admit
			}
			if got := r.server.Stats().Refused[tc.code]; got != want {
				t.Errorf("code %d counted %d times", tc.code, got-before)
			}
		})
	}
	res := r.request("GET", newPolling+"&who=late", "")
	res.want(t, 503, `{"code":4,"message":"Draining"}`)
	if got := res.header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

func TestRefusedUpgradesGetTheBareMessage(t *testing.T) {
	r := newRig(t, func(o *engineio.Options) { o.Node = "n1" })
	r.refuse = func(r *http.Request) *engineio.Refusal {
		if r.URL.Query().Get("who") == "nobody" {
			return &engineio.Refusal{Message: "Not you"}
		}
		return nil
	}
	for _, tc := range []struct{ name, query, headers, body string }{
		{"unknown transport", "?EIO=4&transport=tobi", upgradeHeaders, "Transport unknown"},
		{"unknown session", newWebSocket + "&sid=n1AAxxxxxxxxxxxxxxxxxxxx", upgradeHeaders, "Session ID unknown"},
		{"polling", newPolling, upgradeHeaders, "Bad request"},
		{"hook", newWebSocket + "&who=nobody", upgradeHeaders, "Not you"},
		{"no key", newWebSocket, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", "Bad request"},
		{"bad key", newWebSocket, strings.Replace(upgradeHeaders, "dGhl", "!!!!", 1), "Bad request"},
		{"old version", newWebSocket, strings.Replace(upgradeHeaders, "13", "8", 1), "Bad request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := r.dialRaw(tc.query, tc.headers)
			a.want(t, 400, tc.body)
			if got := a.header.Get("Content-Type"); got != "text/html" || !a.closes {
				t.Errorf("Content-Type %q, Connection: close %v", got, a.closes)
			}
			if _, err := a.in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
	t.Run("old protocol", func(t *testing.T) { // found after 101: the client sees the connection drop
		r.dial("?EIO=3&transport=websocket").wantEOF()
	})
}

func TestDisabledTransportsAndUpgradesAreRefused(t *testing.T) {
	r := newRig(t, func(o *engineio.Options) { o.Transports = []string{engineio.WebSocket} })
	r.request("GET", newPolling, "").want(t, 400, `{"code":0,"message":"Transport unknown"}`)
	r.webSocketSession()

	r = newRig(t, func(o *engineio.Options) { o.NoUpgrades = true })
	res := r.request("GET", newPolling, "")
	h := <-r.opened
	if !strings.Contains(res.body, `"upgrades":[]`) {
		t.Errorf("handshake %s", res.body)
	}
	r.dialRaw(newWebSocket+"&sid="+h.s.ID(), upgradeHeaders).want(t, 400, "Bad request")
}

func TestRequestsOutsideThePathAreNotFound(t *testing.T) {
	r := newRig(t, nil)
	res, err := r.http.Client().Get(r.http.URL + "/socket.iox/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestOptionsNameEveryProblem(t *testing.T) {
	_, err := engineio.New(engineio.Options{
		PingInterval: -1, MaxHTTPBufferSize: -1, Transports: []string{"carrier pigeon"}, Node: "no!",
		Cookie: &engineio.Cookie{Name: "a b"},
	}, nil)
	for _, part := range []string{"pingInterval", "maxHttpBufferSize", "carrier pigeon", "node", "loops", "now", "cookie"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
}

func TestSessionClosedInOpenEnds(t *testing.T) {
	r := newRig(t, nil)
	r.onOpen = func(h *host) { h.s.Close(base.CauseAdmin) }
	r.request("GET", newPolling, "").want(t, 200, "1")
	(<-r.opened).wantClosed(base.CauseAdmin)
	c := r.dial(newWebSocket)
	c.wantClosed()
	(<-r.opened).wantClosed(base.CauseAdmin)
	r.onOpen = func(h *host) { h.s.Abort(base.CauseMemoryBudget) }
	r.dial(newWebSocket).wantEOF()
	(<-r.opened).wantClosed(base.CauseMemoryBudget)
	if n := r.server.Sessions(0); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
