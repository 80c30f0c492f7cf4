package admin_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
)

// Revoke implements admin.Revocations: three sockets are concerned.
func (b *backend) Revoke(_ context.Context, r admin.Revocation) (int, *admin.Nodes, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return 0, nil, b.fail
	}
	b.revoked = append(b.revoked, r)
	return 3, nil, nil
}

func (b *backend) Lift(_ context.Context, r admin.Revocation) (*admin.Nodes, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.revoked, func(v admin.Revocation) bool { return v.Token == r.Token && v.Principal == r.Principal })
	if i < 0 {
		return nil, &base.Error{Code: base.CodeUnknown, Reason: "it is not revoked"}
	}
	b.revoked = slices.Delete(b.revoked, i, i+1)
	return nil, nil
}

func (b *backend) List() []admin.Revocation {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.revoked)
}

func TestRevocationsComeAndGo(t *testing.T) {
	f := setUp(t)
	want := func(method, target, body string, status int, says string) {
		t.Helper()
		if w := f.do(method, target, body); w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s %s %s: %d %s, want %d with %s", method, target, body, w.Code, w.Body, status, says)
		}
	}
	want(http.MethodPost, "/api/revoke", `{"jti":"t1","until":"2030-01-02T15:04:05Z"}`, 200, `{"disconnected":3,"until":"2030-01-02T15:04:05Z"}`)
	want(http.MethodPost, "/api/revoke", `{"principal":"mallory","forMs":60000}`, 200, `"disconnected":3`)
	if v := f.backend.List()[1]; v.Principal != "mallory" || time.Until(v.Until) > time.Minute || time.Until(v.Until) <= 0 {
		t.Errorf("revoked %+v", v)
	}
	want(http.MethodGet, "/api/revoke", "", 200, `{"revoked":[{"jti":"t1","until":"2030-01-02T15:04:05Z"},{"principal":"mallory",`)
	want(http.MethodGet, "/api/revoke?limit=1", "", 200, `"total":2`)
	want(http.MethodGet, "/api/revoke?principal=alice", "", 200, `{"revoked":[],"total":0}`)
	want(http.MethodDelete, "/api/revoke", "", 400, "exactly one of jti and principal")
	want(http.MethodDelete, "/api/revoke?jti=t2", "", 404, "it is not revoked")
	want(http.MethodDelete, "/api/revoke?jti=t1", "", 200, `{"lifted":1}`)
	if left := f.backend.List(); len(left) != 1 {
		t.Errorf("left are %+v", left)
	}
	f.backend.fail = &base.Error{Code: base.CodeLimited, Reason: "as many as may be"}
	want(http.MethodPost, "/api/revoke", `{"jti":"t9","forMs":1}`, 429, "as many as may be")
	for _, says := range []string{`action=revoke key=local`, `jti=t1`, `principal=mallory`, `disconnected=3`, `action=revoke/delete`, "as many as may be"} {
		if !strings.Contains(f.log.String(), says) {
			t.Errorf("the log lacks %s:\n%s", says, f.log)
		}
	}
}
