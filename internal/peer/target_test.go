package peer_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/ws"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct{ raw, address, request string }{
		{"http://127.0.0.1:3000", "127.0.0.1:3000", "/socket.io/?EIO=4&transport=websocket"},
		{"ws://example.com", "example.com:80", "/socket.io/?EIO=4&transport=websocket"},
		{"https://example.com/", "example.com:443", "/socket.io/?EIO=4&transport=websocket"},
		{"wss://example.com:1/live", "example.com:1", "/live/?EIO=4&transport=websocket"},
		{"http://[::1]:3000/a/b/?room=1&EIO=3", "[::1]:3000", "/a/b/?EIO=4&room=1&transport=websocket"},
	} {
		target, err := peer.ParseTarget(c.raw, "/feed")
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		if got := target.Address(); got != c.address {
			t.Errorf("%s: address %s, want %s", c.raw, got, c.address)
		}
		request, _, _ := strings.Cut(opening(t, target), "\r\n")
		if want := "GET " + c.request + " HTTP/1.1"; request != want {
			t.Errorf("%s: %q, want %q", c.raw, request, want)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, c := range [][2]string{
		{"127.0.0.1:3000", "/"}, {"ftp://x", "/"}, {"http://", "/"}, {"http://u:p@x", "/"}, {"http://x/#f", "/"},
		{"http://x", "feed"}, {"http://x", "/a,b"}, {"", "/"},
	} {
		if _, err := peer.ParseTarget(c[0], c[1]); err == nil {
			t.Errorf("%q with namespace %q is accepted", c[0], c[1])
		}
	}
}

func TestScriptRefusesWhatCannotBeSent(t *testing.T) {
	good, err := peer.ParseTarget("http://x", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*peer.Target){
		"auth that is no object": func(t *peer.Target) { t.Auth = json.RawMessage(`"x"`) },
		"auth that is no JSON":   func(t *peer.Target) { t.Auth = json.RawMessage(`{`) },
		"header with a newline":  func(t *peer.Target) { t.Header = http.Header{"A": {"b\r\nC: d"}} },
		"no URL":                 func(t *peer.Target) { t.URL = nil },
	} {
		bad := good
		spoil(&bad)
		if _, err := bad.Script(0); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestOpeningHasHeadersAndAKeyOfItsOwn(t *testing.T) {
	target, err := peer.ParseTarget("http://example.com:3000", "")
	if err != nil {
		t.Fatal(err)
	}
	target.Header = http.Header{"authorization": {"Bearer x"}, "Sec-WebSocket-Key": {"mine"}}
	keys := map[string]bool{}
	for range 100 {
		text := opening(t, target)
		for _, want := range []string{
			"\r\nHost: example.com:3000\r\n", "\r\nAuthorization: Bearer x\r\n", "\r\nUpgrade: websocket\r\n",
			"\r\nConnection: Upgrade\r\n", "\r\nSec-Websocket-Version: 13\r\n",
		} {
			if !strings.Contains(text, want) {
				t.Fatalf("no %q in %q", want, text)
			}
		}
		key := keyOf(t, text)
		if !ws.ValidKey(key) || keys[key] {
			t.Fatalf("key %q is no key or a repeated one", key)
		}
		keys[key] = true
	}
}

func opening(t *testing.T, target peer.Target) string {
	t.Helper()
	script, err := target.Script(0)
	if err != nil {
		t.Fatal(err)
	}
	m := peer.NewMachine(script)
	return string(m.Begin(nil))
}

// keyOf is the Sec-WebSocket-Key of an opening handshake.
func keyOf(t testing.TB, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "Sec-Websocket-Key: ")
	if !ok || !strings.HasSuffix(rest, "\r\n\r\n") {
		t.Fatalf("no key at the end of %q", text)
	}
	return strings.TrimSuffix(rest, "\r\n\r\n")
}
