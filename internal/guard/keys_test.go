package guard_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/guard"
)

func TestKeysGrantTheirOwnRightsOnly(t *testing.T) {
	k, err := guard.NewKeys([]guard.Key{
		{Name: "app", Key: "k1", Allow: guard.AllowPublish | guard.AllowRead},
		{Name: "app-next", Key: " k2 ", Allow: guard.AllowPublish | guard.AllowRead},
		{Name: "ops", Key: "k3", Allow: guard.AllowAdmin},
	})
	if err != nil || k.Len() != 3 {
		t.Fatalf("NewKeys: %d keys, %v", k.Len(), err)
	}
	for token, want := range map[string]string{"k1": "app publish,read", "k2": "app-next publish,read", "k3": "ops admin"} {
		key, ok := k.Authorize(token)
		if got := key.Name + " " + key.Allow.String(); got != want || !ok {
			t.Errorf("Authorize(%q) = %q, %v; want %q", token, got, ok, want)
		}
	}
	if key, _ := k.Authorize(" k3\n"); key.Name != "ops" || key.Key != "" {
		t.Errorf("a key with space around it is %+v, want ops", key)
	}
	for _, token := range []string{"", " ", "k", "k11", "app"} {
		if key, ok := k.Authorize(token); ok || key.Allow != 0 || key.Name != "" {
			t.Errorf("Authorize(%q) = %+v, %v; want nobody", token, key, ok)
		}
	}
	if key, _ := k.Authorize("k3"); key.Allow.Has(guard.AllowRead) || !key.Allow.Has(guard.AllowAdmin) {
		t.Error("admin implies read")
	}
	if _, ok := (guard.Keys{}).Authorize(""); ok {
		t.Error("no keys authorize an empty token")
	}
}

func TestParseAllow(t *testing.T) {
	a, err := guard.ParseAllow([]string{"admin", "publish"})
	if err != nil || a != guard.AllowAdmin|guard.AllowPublish || a.Has(guard.AllowRead|guard.AllowAdmin) {
		t.Errorf("ParseAllow = %v, %v", a, err)
	}
	if _, err := guard.ParseAllow([]string{"read", "write"}); err == nil || !strings.Contains(err.Error(), `allow[1] "write"`) {
		t.Errorf("error %v does not name the bad right", err)
	}
}

func TestBadKeysAreAllNamedWithoutTheSecret(t *testing.T) {
	_, err := guard.NewKeys([]guard.Key{
		{Name: "a", Key: "s3cret", Allow: guard.AllowRead},
		{Name: "b", Key: "s3cret ", Allow: guard.AllowRead},
		{Name: "a", Key: "x", Allow: guard.AllowRead},
		{Name: "", Key: "y", Allow: guard.AllowRead},
		{Name: "c", Key: " ", Allow: guard.AllowRead},
		{Name: "d", Key: "z"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{`keys[1] "b": its key is used twice`, `keys[2] "a": its name is used twice`, `keys[3] "": has no name`,
		`keys[4] "c": has no key`, `keys[5] "d": allows nothing`}
	if got := strings.Split(err.Error(), "\n"); strings.Join(got, ";") != strings.Join(want, ";") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
