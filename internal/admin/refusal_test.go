package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// Every malformed request is refused with 400 and a message that names what is wrong.
func TestMalformedRequestIsRefusedByName(t *testing.T) {
	const publish, emit, disconnect, join, revoke = "/api/publish", "/api/emit", "/api/sockets/disconnect", "/api/sockets/join", "/api/revoke"
	for _, c := range []struct{ path, body, names string }{
		{publish, ``, "the JSON ends early"},
		{publish, `{"namespace":"/feed"`, "the JSON ends early"},
		{publish, `null`, "want a JSON object, not null"},
		{publish, `[]`, "want a JSON object, not ["},
		{publish, `"x"`, `want a JSON object, not "x"`},
		{publish, `{"namespace":"/feed",}`, "not JSON near byte"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":{]}}`, "not JSON near byte"},
		{publish, "{\"namespace\":\"/feed\",\"topic\":\"prices\",\"payload\":\"\xff\"}", "UTF-8"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1} 2`, "data after the object"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1}{}`, "data after the object"},
		{publish, `{"topic":"prices","payload":1}`, "namespace: missing"},
		{publish, `{"namespace":"/feed","payload":1}`, "topic: missing"},
		{publish, `{"namespace":"/feed","topic":"prices"}`, "payload: missing"},
		{publish, `{"namespace":"/feed","topic":"prices","\ud800":1,"payload":1}`, `"\ud800": no such field`},
		{publish, `{"namespace":"/feed","topic":"\ud800","payload":1}`, `topic: half of a surrogate pair in "\ud800"`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"key":"a\udc00"}`, "key: half of a surrogate pair"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":` + strings.Repeat("[", 513) + strings.Repeat("]", 513) + `}`, "nested deeper than 512"},
		{publish, `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"t":1,"u":1,"v":1,"w":1,"x":1,"y":1}`, "more than 24 fields"},
		{publish, `[1]`, "want a JSON object, not ["},
		{publish, `{"namespace":"","topic":"prices","payload":1}`, `namespace: must not be ""`},
		{publish, `{"namespace":7,"topic":"prices","payload":1}`, "namespace: want a string, not 7"},
		{publish, `{"namespace":null,"topic":"prices","payload":1}`, "namespace: want a string, not null"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"paylod":2}`, `"paylod": no such field`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"Key":"a"}`, `"Key": no such field`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"payload":2}`, `"payload": given twice`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"pay\u006coad":2}`, `"payload": given twice`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"payloadBase64":"AA=="}`, "payload or payloadBase64, not both"},
		{publish, `{"namespace":"/feed","topic":"prices","payloadBase64":"A"}`, "payloadBase64: want standard base64"},
		{publish, `{"namespace":"/feed","topic":"prices","payloadBase64":5}`, "payloadBase64: want a string, not 5"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"ttlMs":-1}`, "ttlMs: want 0 to"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"ttlMs":99999999999999}`, "not 99999999999999"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"ttlMs":1.5}`, "ttlMs: want a whole number, not 1.5"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"ttlMs":"5"}`, `ttlMs: want a whole number, not "5"`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"receipt":"yes"}`, `receipt: want true or false, not "yes"`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"id":"` + strings.Repeat("x", 257) + `"}`, "id: 257 bytes, the limit is 256"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"id":["` + strings.Repeat("é", 99) + `"]}`, "…"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":{"socket":"a"},"room":"r"}`, "room: give to or room, not both"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":{"socket":"a","principal":"b"}}`, "to: want either socket or principal"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":{}}`, "to: want either socket or principal"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":"a"}`, `to: want a JSON object, not "a"`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":{"socket":5}}`, "to.socket: want a string, not 5"},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":{"socket":"a","x":1}}`, `to."x": no such field`},
		{publish, `{"namespace":"/feed","topic":"prices","payload":1,"to":{"socket":"a","socket":"b"}}`, `to: "socket": given twice`},

		{emit, `{"namespace":"/feed"}`, "event: missing"},
		{emit, `{"namespace":"/feed","event":"disconnect"}`, `event: "disconnect" is reserved`},
		{emit, `{"namespace":"/feed","event":"e","args":{}}`, "args: want a list, not {}"},
		{emit, `{"namespace":"/feed","event":"e","rooms":"r"}`, `rooms: want a list of strings, not "r"`},
		{emit, `{"namespace":"/feed","event":"e","rooms":["r",null]}`, "rooms: entry 1"},
		{emit, `{"namespace":"/feed","event":"e","except":[""]}`, "except: entry 0"},
		{emit, `{"namespace":"/feed","event":"e","rooms":["r",7]}`, "rooms: entry 1"},
		{emit, `{"namespace":"/feed","event":"e","rooms":["r","\ud800"]}`, "rooms: entry 1: half of a surrogate pair"},
		{emit + "?event=x", `{"namespace":"/feed","event":"e"}`, `"event": no such parameter`},
		{publish + "?receipt=true", `{"namespace":"/feed","topic":"prices","payload":1}`, `"receipt": no such parameter`},
		{publish + "/batch?namespace=/feed", `{"namespace":"/feed","topic":"prices","payload":1}`, `"namespace": no such parameter`},
		{disconnect + "?dryRun=1", `{"namespace":"/feed","filter":{"id":"a"}}`, `"dryRun": no such parameter`},
		{"/api/drain?dryRun=1", ``, `"dryRun": no such parameter`},
		{emit, `{"namespace":"/feed","event":"e","rooms":["r"],"to":{"socket":"a"}}`, "rooms: give to or rooms, not both"},

		{disconnect, `{"namespace":"/feed"}`, "filter: missing"},
		{disconnect, `{"namespace":"/feed","filter":{}}`, "filter: want exactly one of"},
		{disconnect, `{"namespace":"/feed","filter":{"id":"a","room":"r"}}`, "filter: want exactly one of"},
		{disconnect, `{"namespace":"/feed","filter":{"id":""}}`, `filter.id: must not be ""`},
		{disconnect, `{"namespace":"/feed","filter":{"socket":"a"}}`, `filter."socket": no such field`},
		{disconnect, `{"namespace":"/feed","filter":{"address":"10.0.0.1:80"}}`, "filter.address: want an IP address without a port, not 10.0.0.1:80"},
		{disconnect, `{"namespace":"/feed","filter":{"address":"localhost"}}`, "filter.address: want an IP address"},
		{disconnect, `{"namespace":"/feed","filter":{"topic":"user:*"}}`, "filter.topic: want one topic by its name, not the pattern"},
		{disconnect, `{"namespace":"/feed","filter":{"id":"a"},"rate":-1}`, "rate: want 0 to"},
		{disconnect, `{"namespace":"/feed","filter":{"id":"a"},"reconnect":1}`, "reconnect: want true or false, not 1"},
		{join, `{"namespace":"/feed","filter":{"id":"a"}}`, "rooms: missing"},
		{join, `{"namespace":"/feed","filter":{"id":"a"},"rooms":[]}`, "rooms: must not be empty"},
		{revoke, `{}`, "jti: want exactly one of jti and principal"},
		{revoke, `{"jti":"a","principal":"b","forMs":1}`, "jti: want exactly one of jti and principal"},
		{revoke, `{"jti":"a"}`, "forMs: want exactly one of forMs and until"},
		{revoke, `{"jti":"a","forMs":1,"until":"2030-01-02T15:04:05Z"}`, "forMs: want exactly one of forMs and until"},
		{revoke, `{"jti":"","forMs":1}`, `jti: must not be ""`},
		{revoke, `{"principal":7,"forMs":1}`, "principal: want a string, not 7"},
		{revoke, `{"jti":"a","forMs":31622400001}`, "forMs: want 0 to 31622400000"},
		{revoke, `{"jti":"a","until":"tomorrow"}`, "until: want a time such as 2030-01-02T15:04:05Z, not tomorrow"},
		{revoke, `{"token":"a","forMs":1}`, `"token": no such field`},
		{"/api/drain", `{"now":true}`, `"now": no such field`},
		{"/api/drain", `5`, "want a JSON object, not 5"},
	} {
		f := setUp(t)
		w := f.do(http.MethodPost, c.path, c.body)
		e := refusalIn(t, w.Body.Bytes()).Error
		if w.Code != http.StatusBadRequest || e.Code != "invalid" || e.Retryable || !strings.Contains(e.Message, c.names) {
			t.Errorf("%s %s: %d %+v, want 400 naming %q", c.path, c.body, w.Code, e, c.names)
		}
		if n := len(f.backend.published) + len(f.backend.emitted) + len(f.backend.cut) + len(f.backend.moved) + len(f.backend.revoked) + f.backend.drained; n > 0 {
			t.Errorf("%s %s: refused, but done", c.path, c.body)
		}
	}
}

func TestMalformedQueryIsRefusedByName(t *testing.T) {
	f := setUp(t)
	for target, names := range map[string]string{
		"/api/clients?limit=0":              `limit: want 1 to 1000, not "0"`,
		"/api/clients?limit=1001":           "limit: want 1 to 1000",
		"/api/clients?limit=x":              "limit: want 1 to 1000",
		"/api/clients?limit=1&limit=2":      "limit: given 2 times",
		"/api/clients?sort=age":             `sort: want one of lag, bytes, drops, loss, id, not "age"`,
		"/api/clients?groupBy=room":         "groupBy: want one of",
		"/api/clients?cut=yes":              "cut: want one of 0, 1",
		"/api/clients?topics=prices":        `"topics": no such parameter`,
		"/api/clients?topic=%ff":            "topic: not valid UTF-8",
		"/api/clients?topic=%zz":            "malformed query",
		"/api/lag?x=1":                      `"x": no such parameter`,
		"/api/stats?x=1":                    `"x": no such parameter`,
		"/api/config?x=1":                   `"x": no such parameter`,
		"/api/drain?x=1":                    `"x": no such parameter`,
		"/api/clients?address=10.0.0.1:80":  `address: want an IP address without a port, not "10.0.0.1:80"`,
		"/api/clients?address=nope&cut=1":   "address: want an IP address",
		"/api/refused?kind=nope":            `kind: want one of origin, auth_failures, not "nope"`,
		"/api/revoke?limit=10001":           "limit: want 1 to 10000",
		"/api/revoke?kind=token":            `"kind": no such parameter`,
		"/api/topics?x=1":                   `"x": no such parameter`,
		"/api/tail":                         "namespace: missing",
		"/api/tail?namespace=/feed&since=1": `"since": no such parameter`,
	} {
		w := f.do(http.MethodGet, target, "")
		if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusBadRequest || e.Code != "invalid" || !strings.Contains(e.Message, names) {
			t.Errorf("%s: %d %+v, want 400 naming %q", target, w.Code, e, names)
		}
	}
}

func TestUnknownNamespaceOrTopicIsNotFound(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct{ method, target, body, names string }{
		{"POST", "/api/publish", `{"namespace":"/no","topic":"prices","payload":1}`, `namespace: "/no"`},
		{"POST", "/api/publish", `{"namespace":"/feed","topic":"no","payload":1}`, `topic: "no"`},
		{"POST", "/api/emit", `{"namespace":"/no","event":"e"}`, `namespace: "/no"`},
		{"POST", "/api/sockets/join", `{"namespace":"/no","filter":{"id":"a"},"rooms":["r"]}`, `namespace: "/no"`},
		{"POST", "/api/sockets/disconnect", `{"namespace":"/no","filter":{"id":"a"}}`, `namespace: "/no"`},
		{"GET", "/api/clients?namespace=/no", "", `namespace: "/no"`},
		{"GET", "/api/topics?namespace=/no", "", `namespace: "/no"`},
		{"GET", "/api/tail?namespace=/no", "", `namespace: "/no"`},
		{"GET", "/api/tail?namespace=/feed&topic=no", "", `topic: "no"`},
		{"GET", "/api/tail?namespace=/feed&topic=pri*", "", `topic: "pri*" is not declared in namespace "/feed": a pattern means topics of a declared one`},
		{"GET", "/api/clients?topic=pri*", "", `topic: "pri*" is not declared in any namespace: a pattern means topics of a declared one`},
		{"GET", "/api/clients?topic=no", "", `topic: "no" is not declared in any namespace`},
		{"GET", "/api/nothing", "", `"/api/nothing"`},
		{"GET", "/", "", `"/"`},
	} {
		w := f.do(c.method, c.target, c.body)
		if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusNotFound || e.Code != "unknown" || !strings.Contains(e.Message, c.names) {
			t.Errorf("%s %s: %d %+v", c.method, c.target, w.Code, e)
		}
	}
}

func TestWrongMethodIsToldTheRightOne(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct{ method, target, allow string }{
		{"GET", "/api/publish", "POST"},
		{"PUT", "/api/publish/batch", "POST"},
		{"OPTIONS", "/api/emit", "POST"},
		{"POST", "/api/clients", "GET, HEAD"},
		{"DELETE", "/metrics", "GET, HEAD"},
		{"POST", "/healthz", "GET, HEAD"},
		{"POST", "/debug/pprof/heap", "GET, HEAD"},
	} {
		w := f.do(c.method, c.target, "")
		refusalIn(t, w.Body.Bytes())
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.target, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestLongBodyIsRefused(t *testing.T) {
	f := setUp(t, func(o *admin.Options) { o.MaxBody = 100 })
	body := `{"namespace":"/feed","topic":"prices","payload":"` + strings.Repeat("x", 100) + `"}`
	for _, path := range []string{"/api/publish", "/api/emit", "/api/sockets/join", "/api/drain"} {
		w := f.do(http.MethodPost, path, body)
		if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusRequestEntityTooLarge || e.Code != "too_large" || !strings.Contains(e.Message, "100 bytes") {
			t.Errorf("%s: %d %+v", path, w.Code, e)
		}
	}
}

func TestBackendErrorsBecomeCodes(t *testing.T) {
	for _, c := range []struct {
		err       error
		status    int
		code      string
		retryable bool
		after     string
	}{
		{delivery.ErrUnknownTopic, 404, "unknown", false, ""},
		{delivery.ErrTooLarge, 413, "too_large", false, ""},
		{delivery.ErrBusy, 429, "busy", true, "1"},
		{delivery.ErrClosed, 503, "draining", true, "5"},
		{fmt.Errorf("publish: %w", delivery.ErrBusy), 429, "busy", true, "1"},
		{fmt.Errorf("publish: %w", context.DeadlineExceeded), 429, "busy", true, "1"},
		{&base.Error{Code: base.CodeDraining, Reason: "the server drains"}, 503, "draining", true, "5"},
		{&base.Error{Code: base.CodeLimited}, 429, "limited", true, "1"},
		{&base.Error{Code: base.CodeForbidden, Reason: "no"}, 403, "forbidden", false, ""},
		{errors.New("the secret is 42"), 500, "internal", false, ""},
	} {
		f := setUp(t)
		f.backend.fail = c.err
		for path, body := range map[string]string{
			"/api/publish": `{"namespace":"/feed","topic":"prices","payload":1}`,
			"/api/emit":    `{"namespace":"/feed","event":"e"}`,
		} {
			w := f.do(http.MethodPost, path, body)
			e := refusalIn(t, w.Body.Bytes()).Error
			if w.Code != c.status || e.Code != c.code || e.Retryable != c.retryable || w.Header().Get("Retry-After") != c.after {
				t.Errorf("%v at %s: %d %+v, Retry-After %q", c.err, path, w.Code, e, w.Header().Get("Retry-After"))
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the caller is told: %s", w.Body)
			}
		}
		if c.code == "internal" && !strings.Contains(f.log.String(), "the secret is 42") {
			t.Errorf("the log does not say what happened: %s", f.log)
		}
	}
}

func TestJournalRoutesSayWhatIsMissing(t *testing.T) {
	f := setUp(t)
	for _, target := range []string{"/api/deadletters"} {
		w := f.do(http.MethodGet, target, "")
		if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusNotImplemented || e.Code != "unsupported" || !strings.Contains(e.Message, "journal") {
			t.Errorf("%s: %d %+v", target, w.Code, e)
		}
	}
}

// TestWriteThatWasBegunAndTimedOutIsLogged: what was begun goes on, so who asked for it is known.
func TestWriteThatWasBegunAndTimedOutIsLogged(t *testing.T) {
	f := setUp(t)
	f.backend.fail = &base.Error{Code: base.CodeTimeout, Reason: "what was begun goes on"}
	w := f.do(http.MethodPost, "/api/sockets/leave", `{"namespace":"/feed","filter":{"room":"a"},"rooms":["r"]}`)
	if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusGatewayTimeout || e.Code != "timeout" {
		t.Errorf("%d %+v", w.Code, e)
	}
	if log := f.log.String(); !strings.Contains(log, "action=sockets/leave") || !strings.Contains(log, "error=") {
		t.Errorf("logged %q", log)
	}
}
