package eio_test

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/wire/eio"
)

func TestAppendOpenWritesTheHandshakeOfTheProtocol(t *testing.T) {
	h := eio.OpenPacket{
		SID: "66XLgtkfprXpNYoqAAAA", Upgrades: []string{"websocket"},
		PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1_000_000,
	}
	want := `0{"sid":"66XLgtkfprXpNYoqAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	if got := string(eio.AppendOpen(nil, h)); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	h.Upgrades = nil
	want = `0{"sid":"66XLgtkfprXpNYoqAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	if got := string(eio.AppendOpen(nil, h)); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestParseOpenReadsBackAppendOpen(t *testing.T) {
	want := eio.OpenPacket{
		SID: "a_-1", Upgrades: []string{"websocket", "webtransport"},
		PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, MaxPayload: 5,
	}
	got, err := eio.ParseOpen(eio.AppendOpen(nil, want)[1:])
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", "{}", `{"sid":"a","pingInterval":-1}`} {
		if h, err := eio.ParseOpen([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v", bad, h)
		}
	}
}

func TestErrorsAreTheTableOfTheProtocol(t *testing.T) {
	tests := []struct {
		err    eio.Error
		body   string
		status int
	}{
		{eio.Error{Code: eio.TransportUnknown}, `{"code":0,"message":"Transport unknown"}`, http.StatusBadRequest},
		{eio.Error{Code: eio.SessionUnknown}, `{"code":1,"message":"Session ID unknown"}`, http.StatusBadRequest},
		{eio.Error{Code: eio.BadHandshakeMethod}, `{"code":2,"message":"Bad handshake method"}`, http.StatusBadRequest},
		{eio.Error{Code: eio.BadRequest}, `{"code":3,"message":"Bad request"}`, http.StatusBadRequest},
		{eio.Error{Code: eio.Forbidden}, `{"code":4,"message":"Forbidden"}`, http.StatusForbidden},
		{eio.Error{Code: eio.UnsupportedVersion}, `{"code":5,"message":"Unsupported protocol version"}`, http.StatusBadRequest},
		{eio.Error{Code: eio.Forbidden, Message: "not \"you\""}, `{"code":4,"message":"not \"you\""}`, http.StatusForbidden},
	}
	for _, tt := range tests {
		if got := string(tt.err.AppendJSON(nil)); got != tt.body || tt.err.Code.Status() != tt.status {
			t.Errorf("got %s %d, want %s %d", got, tt.err.Code.Status(), tt.body, tt.status)
		}
	}
}
