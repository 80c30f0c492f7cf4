package hook_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/hook"
)

// The example of the specification (standardwebhooks.com), so that libraries for it verify what is signed here.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	hook.Sign(h, [][]byte{secret, []byte("another one")}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	first, second, two := strings.Cut(h.Get("webhook-signature"), " ")
	if first != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || !two || !strings.HasPrefix(second, "v1,") {
		t.Errorf("webhook-signature: %s", h.Get("webhook-signature"))
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("fields: %v", h)
	}
}

func TestAnswersAreReadStrictly(t *testing.T) {
	good := map[string]func(hook.Answer) bool{
		`{"allow":true}`: func(a hook.Answer) bool { return a.Allow && a.Grants == nil && a.Expires.IsZero() && a.Data == nil },
		`{"allow":true,"principal":"alice","tokenId":"7","rooms":["a","__proto__"],"topics":{"sub":["prices*"]},"data":{"constructor":1},"expiresAt":1893456000000}`: func(a hook.Answer) bool {
			return a.Principal == "alice" && a.TokenID == "7" && len(a.Rooms) == 2 && len(a.Grants.Subscribe) == 1 && a.Grants.Publish == nil &&
				string(a.Data) == `{"constructor":1}` && a.Expires.Equal(time.Unix(1893456000, 0))
		},
		`{"allow":true,"expiresAt":"2030-01-01T00:00:00Z","topics":{}}`: func(a hook.Answer) bool {
			return a.Expires.Equal(time.Unix(1893456000, 0)) && a.Grants != nil
		},
		`{"allow":true,"expiresAt":null,"data":null,"rooms":null}`: func(a hook.Answer) bool { return a.Expires.IsZero() && a.Data == nil },
		`{"allow":false,"message":"no","data":[1],"code":"unauthorized","principal":"x"}`: func(a hook.Answer) bool {
			return !a.Allow && a.Message == "no" && string(a.Data) == "[1]" && a.Code == "unauthorized" && a.Principal == ""
		},
	}
	for raw, right := range good {
		if a, err := hook.ReadAnswer([]byte(raw)); err != nil || !right(a) {
			t.Errorf("%s: %+v, %v", raw, a, err)
		}
	}
	for _, raw := range []string{
		``, `null`, `[]`, `true`, `"allow"`, `{}`, `{"allow":1}`, `{"allow":"true"}`, `{"allow":null}`, `{"allow":true} x`, `{"allow":true}}`, `{"allow":true`,
		`{"allow":true,"topic":{}}`, `{"allow":true,"__proto__":{"allow":true}}`, `{"allow":true,"topics":null}`, `{"allow":true,"topics":["a"]}`, `{"allow":true,"topics":{"subscribe":["a"]}}`,
		`{"allow":true,"expiresAt":1893456000}`, `{"allow":true,"expiresAt":"tomorrow"}`, `{"allow":true,"expiresAt":1.5e12}`, `{"allow":true,"expiresAt":{}}`,
		`{"allow":true,"rooms":[""]}`, `{"allow":true,"rooms":"a"}`, `{"allow":true,"principal":7}`, `{"allow":true,"principal":"` + strings.Repeat("p", 257) + `"}`,
		`{"allow":true,"message":"no"}`, `{"allow":true,"code":"forbidden"}`, `{"allow":false,"code":"internal"}`, `{"allow":false,"message":"` + strings.Repeat("m", 1025) + `"}`,
		"{\"allow\":true,\"principal\":\"\xff\"}",
	} {
		if a, err := hook.ReadAnswer([]byte(raw)); err == nil {
			t.Errorf("%s is read as %+v", raw, a)
		}
	}
}

// What lets somebody in says so in as many words, whatever else the answer has.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"allow":true,"principal":"alice","topics":{"sub":["a*"]},"expiresAt":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"allow":false,"message":"no","code":"forbidden","data":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := hook.ReadAnswer(raw)
		if err != nil && a.Allow || a.Allow && !strings.Contains(strings.ToLower(string(raw)), "true") {
			t.Errorf("%q: %+v, %v", raw, a, err)
		}
	})
}
