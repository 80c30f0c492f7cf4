package systemtest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// TestKeysForSomeNamespaces: a key of the management API with Namespaces may what its rights say there, and nothing elsewhere.
func TestKeysForSomeNamespaces(t *testing.T) {
	srv := start(t, weir.Options{
		Management: weir.ManagementOptions{Keys: []weir.ManagementKey{
			{Name: "tenant", Key: "k-tenant", Allow: []string{"publish", "read"}, Namespaces: []string{"/a"}},
			{Name: "ops", Key: "k-ops", Allow: []string{"publish", "read"}},
		}},
		Servers: []weir.ServerOptions{{Namespaces: []weir.NamespaceOptions{
			{Path: "/a", Topics: []weir.TopicOptions{{Name: "mine"}}}, {Path: "/b", Topics: []weir.TopicOptions{{Name: "theirs"}}},
		}}},
	})
	for _, c := range []struct {
		key, method, target, body string
		status                    int
		says                      string
	}{
		{"k-tenant", "POST", "/api/publish", `{"namespace":"/a","topic":"mine","payload":1}`, 200, `"messageId"`},
		{"k-tenant", "POST", "/api/publish", `{"namespace":"/b","topic":"theirs","payload":1}`, 403, `key \"tenant\" is not for namespace \"/b\"`},
		{"k-tenant", "GET", "/api/topics", "", 200, `"topic":"mine"`},
		{"k-tenant", "GET", "/api/topics?namespace=/b", "", 403, "is not for namespace"},
		{"k-tenant", "GET", "/metrics", "", 403, "concerns the whole server"},
		{"k-tenant", "GET", "/healthz", "", 200, ""},
		{"k-tenant", "POST", "/api/drain", "", 403, "lacks the right"},
		{"k-ops", "POST", "/api/publish", `{"namespace":"/b","topic":"theirs","payload":1}`, 200, `"messageId"`},
		{"k-ops", "GET", "/metrics", "", 200, "weir_"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", c.key)
		srv.Management().ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %s with %s: %d %s, want %d with %s", c.method, c.target, c.body, c.key, w.Code, w.Body, c.status, c.says)
		}
		if c.key == "k-tenant" && w.Code == http.StatusOK && strings.Contains(w.Body.String(), "theirs") {
			t.Errorf("%s %s tells of another namespace: %s", c.method, c.target, w.Body)
		}
	}
	for want, namespaces := range map[string][]string{"Namespaces: empty": {}, `Namespaces "a"`: {"a"}} {
		_, err := weir.New(weir.Options{Management: weir.ManagementOptions{Keys: []weir.ManagementKey{{Name: "x", Key: "y", Allow: []string{"read"}, Namespaces: namespaces}}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", namespaces, err)
		}
	}
}
