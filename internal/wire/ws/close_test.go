package ws_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/ws"
)

func TestParseCloseRefusesMalformedPayloads(t *testing.T) {
	tests := []struct {
		payload string
		code    ws.CloseCode
		reason  string
		fault   ws.CloseCode
	}{
		{"", ws.NoStatus, "", 0},
		{"\x03\xe8", ws.NormalClosure, "", 0},
		{"\x03\xe9going ä", ws.GoingAway, "going ä", 0},
		{"\x0b\xb8", 3000, "", 0},
		{"\x03", 0, "", ws.ProtocolFault},
		{"\x03\xedno status", 0, "", ws.ProtocolFault},
		{"\x03\xe8\xff", 0, "", ws.InvalidPayload},
	}
	for _, tt := range tests {
		code, reason, err := ws.ParseClose([]byte(tt.payload))
		var fault ws.CloseCode
		if err != nil {
			fault = err.Code
		}
		if code != tt.code || reason != tt.reason || fault != tt.fault {
			t.Errorf("%q: got %d %q, fault %d", tt.payload, code, reason, fault)
		}
	}
}

func TestCloseCodesThatMayTravel(t *testing.T) {
	allowed := func(c int) bool {
		return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c < 5000
	}
	for c := range 1 << 16 {
		if got := ws.CloseCode(c).Valid(); got != allowed(c) {
			t.Fatalf("CloseCode(%d).Valid() = %v", c, got)
		}
	}
}

func TestAppendCloseFitsAControlFrameAndReadsBack(t *testing.T) {
	tests := []struct {
		code   ws.CloseCode
		reason string
		want   string
	}{
		{ws.GoingAway, "", ""},
		{ws.TooBig, "message of 5 MB", "message of 5 MB"},
		{ws.TooBig, strings.Repeat("a", 123), strings.Repeat("a", 123)},
		{ws.TooBig, strings.Repeat("a", 124), strings.Repeat("a", 123)},
		{ws.TooBig, strings.Repeat("a", 122) + "€€", strings.Repeat("a", 122)},
		{0, "no code, no reason", ""},
		{ws.NoStatus, "no code, no reason", ""},
	}
	for _, tt := range tests {
		d := ws.NewDecoder(0, ws.Client)
		events, err := decode(&d, ws.AppendClose(nil, tt.code, tt.reason), 1000)
		if err != nil || len(events) != 1 || events[0].op != ws.Close {
			t.Fatalf("%d %q: got %v, %v", tt.code, tt.reason, events, err)
		}
		code, reason, fault := ws.ParseClose([]byte(events[0].payload))
		want := tt.code
		if want == 0 {
			want = ws.NoStatus
		}
		if code != want || fault != nil {
			t.Errorf("%d %q: read back code %d, %v", tt.code, tt.reason, code, fault)
		}
		if reason != tt.want || !utf8.ValidString(reason) {
			t.Errorf("%d %q: read back reason %q", tt.code, tt.reason, reason)
		}
	}
}
