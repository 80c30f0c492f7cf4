package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
)

// confined configures keys with every right: "secret-" and a namespace is for that one, "secret-all" for all.
func confined(o *admin.Options) {
	o.Local = nil
	o.Authorize = func(token string) (string, admin.Allow, bool) {
		name, ok := strings.CutPrefix(token, "secret-")
		a := admin.Allow{Publish: true, Read: true, Admin: true}
		if name != "all" {
			a.Namespaces = []string{name}
		}
		return name, a, ok
	}
}

// TestConfinedKeyIsRefusedWhatIsNotItsOwn: every route of the API, with the key of its namespace, of another one, and
// for all. A route that is added is refused to confined keys until it is named here and asks.
func TestConfinedKeyIsRefusedWhatIsNotItsOwn(t *testing.T) {
	f := setUp(t, confined)
	own := map[string]bool{
		"/api/publish": true, "/api/publish/batch": true, "/api/emit": true, "/api/sockets/join": true, "/api/sockets/leave": true,
		"/api/sockets/disconnect": true, "/api/clients": true, "/api/topics": true, "/api/tail": true, "/api/history": true,
	}
	for _, r := range routes {
		path, _, _ := strings.Cut(r.target, "?")
		for key, allowed := range map[string]bool{"/feed": own[path] || r.right == "", "/other": r.right == "", "all": true} {
			target := r.target
			if key == "/other" && own[path] && r.method != http.MethodPost && !strings.Contains(target, "namespace") {
				target += "?namespace=/feed&topic=prices"
			}
			w := f.do(r.method, target, r.body, "Authorization", "Bearer secret-"+key)
			refused := w.Code == http.StatusForbidden || strings.Contains(w.Body.String(), `"code":"forbidden"`) // a line of a batch has its own answer
			if refused == allowed {
				t.Errorf("%s %s with a key for %s: %d %s", r.method, target, key, w.Code, w.Body)
			}
		}
	}
	if n := len(f.backend.published); n != 2*2 { // by the keys of the namespace and for all, of publish and batch
		t.Errorf("%d were published", n)
	}
}

// TestConfinedKeySaysNothingOfOthers: that there is a namespace is not told to whose key it is not.
func TestConfinedKeySaysNothingOfOthers(t *testing.T) {
	f := setUp(t, confined)
	ask := func(namespace string) string {
		body := fmt.Sprintf(`{"namespace":%q,"topic":"prices","payload":1}`, namespace)
		return strings.ReplaceAll(f.do(http.MethodPost, "/api/publish", body, "X-API-Key", "secret-/other").Body.String(), namespace, "")
	}
	if there, not := ask("/feed"), ask("/nothing"); there != not || !strings.Contains(there, "is not for namespace") {
		t.Errorf("told %s and %s", there, not)
	}
}

// TestListsShowAConfinedKeyItsOwn: clients, those cut, and topics.
func TestListsShowAConfinedKeyItsOwn(t *testing.T) {
	f := setUp(t, confined)
	f.connect(connection{address: "10.0.0.1", topics: []string{"prices"}})
	gone := f.connect(connection{address: "10.0.0.2", topics: []string{"prices"}})
	f.on(f.hub.Shards()[0], func() { gone.conn.RecordCut(base.CauseAdmin) })
	for _, target := range []string{"/api/clients", "/api/clients?cut=1", "/api/clients?groupBy=address", "/api/topics"} {
		for key, want := range map[string]bool{"/feed": true, "/other": false, "all": true} {
			w := f.do(http.MethodGet, target, "", "X-API-Key", "secret-"+key)
			if got := strings.Contains(w.Body.String(), "10.0.0.") || strings.Contains(w.Body.String(), "prices"); got != want || w.Code != http.StatusOK {
				t.Errorf("%s with a key for %s: %d %s", target, key, w.Code, w.Body)
			}
		}
	}
	if w := f.do(http.MethodGet, "/api/clients?topic=prices", "", "X-API-Key", "secret-/other"); w.Code != http.StatusNotFound {
		t.Errorf("a topic of another namespace: %d %s", w.Code, w.Body)
	}
}
