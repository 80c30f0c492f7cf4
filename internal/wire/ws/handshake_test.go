package ws_test

import (
	"testing"

	"github.com/streamweir/weir/internal/wire/ws"
)

func TestAcceptIsTheExampleOfTheRFC(t *testing.T) {
	if got := ws.Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("got %q", got)
	}
}

func TestValidKeyIsSixteenBytesOfBase64(t *testing.T) {
	tests := map[string]bool{
		"dGhlIHNhbXBsZSBub25jZQ==":  true,
		"":                          false,
		"dGhlIHNhbXBsZSBub25jZQ":    false,
		"dGhlIHNhbXBsZSBub25jZXM=":  false, // 17 bytes
		"dGhlIHNhbXBsZSBub25jZXMh":  false, // 18 bytes
		"dGhlIHNhbXBsZSBub25jZ\n==": false,
		"dGhlIHNhbXBs*SBub25jZQ==":  false,
	}
	for key, want := range tests {
		if got := ws.ValidKey(key); got != want {
			t.Errorf("ValidKey(%q) = %v", key, got)
		}
	}
}

func TestHeaderHasTokenInAnyListAndCase(t *testing.T) {
	tests := []struct {
		values []string
		want   bool
	}{
		{[]string{"upgrade"}, true},
		{[]string{"keep-alive, Upgrade"}, true},
		{[]string{"keep-alive", "\tUPGRADE ,x"}, true},
		{[]string{"upgraded"}, false},
		{[]string{"keep-alive upgrade"}, false},
		{nil, false},
	}
	for _, tt := range tests {
		if got := ws.HeaderHasToken(tt.values, "upgrade"); got != tt.want {
			t.Errorf("%q: got %v", tt.values, got)
		}
	}
}

func TestSubprotocolIsTheFirstOffered(t *testing.T) {
	for want, offers := range map[string][]string{
		"access_token": {"access_token, abc"}, "a": {" a ,b", "c"}, "v1.json": {"v1.json"}, "": {"a b"}, "ok": {"ok,\"x\""},
	} {
		if got := ws.Subprotocol(offers); got != want {
			t.Errorf("%q: %q, want %q", offers, got, want)
		}
	}
	if got := ws.Subprotocol(nil) + ws.Subprotocol([]string{",a"}) + ws.Subprotocol([]string{"a\x00"}); got != "" {
		t.Errorf("got %q of nothing", got)
	}
}
