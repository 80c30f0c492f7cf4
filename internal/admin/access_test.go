package admin_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
)

// routes are all that the API serves, each with the right it asks for.
var routes = []struct{ method, target, body, right string }{
	{"POST", "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1}`, "publish"},
	{"POST", "/api/publish/batch", `{"namespace":"/feed","topic":"prices","payload":1}`, "publish"},
	{"POST", "/api/emit", `{"namespace":"/feed","event":"e"}`, "publish"},
	{"POST", "/api/sockets/join", `{"namespace":"/feed","filter":{"id":"a"},"rooms":["r"]}`, "admin"},
	{"POST", "/api/sockets/leave", `{"namespace":"/feed","filter":{"id":"a"},"rooms":["r"]}`, "admin"},
	{"POST", "/api/sockets/disconnect", `{"namespace":"/feed","filter":{"id":"a"}}`, "admin"},
	{"POST", "/api/drain", ``, "admin"},
	{"GET", "/api/drain", ``, "read"},
	{"GET", "/api/clients", ``, "read"},
	{"GET", "/api/lag", ``, "read"},
	{"GET", "/api/refused", ``, "read"},
	{"DELETE", "/api/refused?kind=origin", ``, "admin"},
	{"POST", "/api/revoke", `{"jti":"a","forMs":1}`, "admin"},
	{"GET", "/api/revoke", ``, "read"},
	{"DELETE", "/api/revoke?jti=a", ``, "admin"},
	{"GET", "/api/topics", ``, "read"},
	{"GET", "/api/stats", ``, "read"},
	{"GET", "/api/config", ``, "read"},
	{"HEAD", "/api/tail?namespace=/feed", ``, "read"},
	{"GET", "/api/history", ``, "read"},
	{"GET", "/api/deadletters", ``, "admin"},
	{"GET", "/metrics", ``, "read"},
	{"GET", "/debug/pprof/", ``, "admin"},
	{"GET", "/debug/pprof/goroutine", ``, "admin"},
	{"GET", "/healthz", ``, ""},
	{"GET", "/readyz", ``, ""},
}

// withKeys configures a key for each right, named after it, and one for none.
func withKeys(o *admin.Options) {
	o.Local = nil
	o.Authorize = func(token string) (string, admin.Allow, bool) {
		name, ok := strings.CutPrefix(token, "secret-")
		return name, admin.Allow{Publish: name == "publish", Read: name == "read", Admin: name == "admin"}, ok
	}
}

func TestKeyOpensWhatItsRightsAllow(t *testing.T) {
	f := setUp(t, withKeys)
	for _, r := range routes {
		for _, key := range []string{"publish", "read", "admin", "nothing"} {
			w := f.do(r.method, r.target, r.body, "Authorization", "Bearer secret-"+key)
			allowed := r.right == "" || r.right == key
			if allowed == (w.Code == http.StatusForbidden) || w.Code == http.StatusUnauthorized {
				t.Errorf("%s %s with %s: %d %s", r.method, r.target, key, w.Code, w.Body)
			}
		}
	}
}

func TestWithoutValidKeyNothingButHealthIsServed(t *testing.T) {
	f := setUp(t, withKeys)
	for _, r := range append(routes[:len(routes):len(routes)], struct{ method, target, body, right string }{"GET", "/nothing/there", "", "any"}) {
		for _, header := range [][]string{
			nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic secret-read"}, {"Authorization", "secret-read"},
			{"Authorization", "Bearer "}, {"X-API-Key", "wrong"}, {"Cookie", "key=secret-admin"},
		} {
			w := f.do(r.method, r.target, r.body, header...)
			if r.right == "" {
				if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
					t.Errorf("%s with %q: %d", r.target, header, w.Code)
				}
				continue
			}
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %q: %d", r.method, r.target, header, w.Code)
			}
		}
	}
	if len(f.backend.published)+len(f.backend.emitted)+len(f.backend.moved)+len(f.backend.cut)+f.backend.drained > 0 {
		t.Error("something was done without a key")
	}
}

func TestKeyMayComeInEitherHeader(t *testing.T) {
	f := setUp(t, withKeys)
	for _, header := range [][]string{
		{"Authorization", "Bearer secret-read"}, {"Authorization", "bearer  secret-read "}, {"X-API-Key", "secret-read"},
		{"Authorization", "Basic eDp5", "X-API-Key", "secret-read"},
	} {
		if w := f.do("GET", "/api/stats", "", header...); w.Code != http.StatusOK {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
	}
}

// Without keys the local rule is asked first for every route and every method,
// GETs, health and unknown paths too: a page the operator has open can send any.
func TestLocalRuleIsAskedForEveryRouteAndMethod(t *testing.T) {
	asked := 0
	f := setUp(t, func(o *admin.Options) {
		o.Local = func(*http.Request) error { asked++; return errors.New(`host "evil.example": not this machine`) }
	})
	targets := []string{"/", "/nothing", "/api/", "/debug/pprof/heap"}
	for _, r := range routes {
		targets = append(targets, r.target)
	}
	for _, target := range targets {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			asked = 0
			w := f.do(method, target, `{}`, "Authorization", "Bearer any")
			if w.Code != http.StatusForbidden || asked != 1 {
				t.Errorf("%s %s: %d, the rule was asked %d times", method, target, w.Code, asked)
			}
			if e := refusalIn(t, w.Body.Bytes()).Error; e.Code != "forbidden" || !strings.Contains(e.Message, "evil.example") {
				t.Errorf("%s %s: %+v", method, target, e)
			}
		}
	}
}

func TestWithoutKeysAndRuleNobodyIsServed(t *testing.T) {
	f := setUp(t, func(o *admin.Options) { o.Local = nil })
	for _, r := range routes {
		if w := f.do(r.method, r.target, r.body); w.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d", r.method, r.target, w.Code)
		}
	}
}

// Publishes are summed up instead: see TestPublishesAreSummedUpByKey.
func TestWritesAreLoggedWithTheKeysName(t *testing.T) {
	for _, r := range routes {
		if strings.HasPrefix(r.target, "/api/publish") {
			continue
		}
		if r.method != http.MethodPost && r.target != "/debug/pprof/goroutine" {
			continue
		}
		f := setUp(t, func(o *admin.Options) {
			o.Authorize = func(string) (string, admin.Allow, bool) {
				return "carol", admin.Allow{Publish: true, Admin: true}, true
			}
		})
		f.do(r.method, r.target, r.body, "X-API-Key", "s3cr3t")
		if log := f.log.String(); strings.Count(log, "key=carol") != 1 || strings.Contains(log, "s3cr3t") {
			t.Errorf("%s %s is logged as: %s", r.method, r.target, log)
		}
	}
}

func TestPProfNeedsAdminKeyOrOption(t *testing.T) {
	const target = "/debug/pprof/goroutine?debug=1"
	on := func(o *admin.Options) { o.PProf = true }
	if w := setUp(t).do("GET", target, ""); w.Code != http.StatusForbidden {
		t.Errorf("without keys and option: %d", w.Code)
	}
	if w := setUp(t, on).do("GET", target, ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("with option: %d", w.Code)
	}
	if w := setUp(t, withKeys, on).do("GET", target, "", "X-API-Key", "secret-read"); w.Code != http.StatusOK {
		t.Errorf("with option and another key: %d", w.Code)
	}
	if w := setUp(t, withKeys, on).do("GET", target, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("with option and no key where there are keys: %d", w.Code)
	}
}

func TestProfileRefusesWhatIsTooLong(t *testing.T) {
	f := setUp(t, func(o *admin.Options) { o.PProf = true })
	for target, status := range map[string]int{
		"/debug/pprof/profile?seconds=61":   http.StatusBadRequest,
		"/debug/pprof/profile?seconds=0":    http.StatusBadRequest,
		"/debug/pprof/profile?seconds=x":    http.StatusBadRequest,
		"/debug/pprof/trace?seconds=61":     http.StatusBadRequest,
		"/debug/pprof/heap?debug=3":         http.StatusBadRequest,
		"/debug/pprof/heap?seconds=1":       http.StatusBadRequest,
		"/debug/pprof/cmdline":              http.StatusNotFound,
		"/debug/pprof/../../api/x":          http.StatusNotFound,
		"/debug/pprof/heap?gc=1":            http.StatusOK,
		"/debug/pprof/":                     http.StatusOK,
		"/debug/pprof/goroutineleak/x":      http.StatusNotFound,
		"/debug/pprof/allocs?debug=1&gc=0":  http.StatusOK,
		"/debug/pprof/?debug=1":             http.StatusBadRequest,
		"/debug/pprof/profile?seconds=-100": http.StatusBadRequest,
	} {
		if w := f.do("GET", target, ""); w.Code != status {
			t.Errorf("%s: %d, want %d: %s", target, w.Code, status, w.Body)
		}
	}
}

func TestOneProfileAtATime(t *testing.T) {
	f := setUp(t, func(o *admin.Options) { o.PProf = true })
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan int)
	started := &startSignal{ResponseWriter: httptest.NewRecorder(), started: make(chan struct{})}
	go func() {
		r := httptest.NewRequestWithContext(ctx, "GET", "/debug/pprof/trace?seconds=60", nil)
		f.handler.ServeHTTP(started, r)
		first <- 0
	}()
	<-started.started // the trace writes its header at once
	w := f.do("GET", "/debug/pprof/heap", "")
	if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusTooManyRequests || e.Code != "limited" || w.Header().Get("Retry-After") == "" {
		t.Errorf("second profile: %d %+v", w.Code, e)
	}
	cancel() // a caller who leaves ends the profile
	<-first
	if w := f.do("GET", "/debug/pprof/heap", ""); w.Code != http.StatusOK {
		t.Errorf("profile after the first: %d", w.Code)
	}
}

// startSignal tells when the first byte is written.
type startSignal struct {
	http.ResponseWriter
	started chan struct{}
	once    bool
}

func (s *startSignal) Write(p []byte) (int, error) {
	if !s.once {
		s.once = true
		close(s.started)
	}
	return s.ResponseWriter.Write(p)
}

func TestProbesServeHealthAndMetricsOnly(t *testing.T) {
	f := setUp(t, withKeys)
	f.handler = admin.Probes(f.opts)
	for _, r := range routes {
		w := f.do("GET", r.target, "")
		want := http.StatusNotFound
		switch r.target {
		case "/healthz", "/readyz", "/metrics":
			want = http.StatusOK
		}
		if w.Code != want {
			t.Errorf("GET %s: %d, want %d", r.target, w.Code, want)
		}
	}
}

// Before a server serves it says why not, and does nothing of what clients would notice.
func TestWhatIsAnsweredBeforeTheServerServes(t *testing.T) {
	f := setUp(t, withKeys)
	f.backend.begun = &base.Error{Code: base.CodeUnavailable, Reason: "it waits for its cluster"}
	early := map[string]bool{
		"/healthz": true, "/readyz": true, "/metrics": true, "/api/drain": true, "/api/config": true, "/debug/pprof/": true, "/debug/pprof/goroutine": true,
	}
	for _, r := range routes {
		w := f.do(r.method, r.target, r.body, "Authorization", "Bearer secret-"+cmp.Or(r.right, "read"))
		if refused := strings.Contains(w.Body.String(), "it waits for its cluster"); refused == early[r.target] {
			t.Errorf("%s %s: %d %s", r.method, r.target, w.Code, w.Body)
		}
	}
}

// What a server waits for has the addresses of others: who may read is told, at the probes and without a key nobody is.
func TestReadyzTellsAddressesToWhoMayRead(t *testing.T) {
	f := setUp(t, withKeys)
	f.backend.ready = &base.Error{Code: base.CodeUnavailable, Reason: "it waits for its cluster"}
	f.backend.whole = &base.Error{Code: base.CodeUnavailable, Reason: "it waits for its cluster: redis at 10.0.0.7:6379"}
	api := f.handler
	for _, row := range []struct {
		handler http.Handler
		key     string
		told    bool
	}{
		{api, "secret-read", true}, {api, "secret-publish", false}, {api, "no key", false}, {admin.Probes(f.opts), "", false}, {admin.Probes(f.opts), "secret-read", false},
	} {
		f.handler = row.handler
		w := f.do("GET", "/readyz", "", "Authorization", "Bearer "+row.key)
		if body := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(body, "its cluster") || strings.Contains(body, "10.0.0.7") != row.told {
			t.Errorf("%q: %d %s", row.key, w.Code, body)
		}
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	f := setUp(t)
	if w := f.do("GET", "/readyz", ""); w.Code != http.StatusOK || w.Body.String() != "ready\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.do("POST", "/api/drain", ""); w.Code != http.StatusAccepted || w.Body.String() != `{"draining":true,"clients":300,"left":299,"sentAway":1,"clientsPerSecond":200,"secondsLeft":1.5,"lingerSeconds":0,"timeoutSeconds":60,"cutAtTimeout":0}`+"\n" {
		t.Errorf("drain: %d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/api/drain", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"draining":true,"clients":300,"left":299,`) {
		t.Errorf("how far the drain is: %d %s", w.Code, w.Body)
	}
	w := f.do("GET", "/readyz", "")
	if e := refusalIn(t, w.Body.Bytes()).Error; w.Code != http.StatusServiceUnavailable || !strings.Contains(e.Message, "draining") || w.Header().Get("Retry-After") == "" {
		t.Errorf("while draining: %d %+v", w.Code, e)
	}
	if w := f.do("GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("healthz while draining: %d", w.Code)
	}
}
