package eio_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/eio"
)

func TestParsePacketReadsEveryType(t *testing.T) {
	tests := []struct {
		text   string
		typ    eio.PacketType
		data   string
		binary bool
	}{
		{`0{"sid":"x"}`, eio.Open, `{"sid":"x"}`, false},
		{"1", eio.Close, "", false},
		{"2probe", eio.Ping, "probe", false},
		{"3", eio.Pong, "", false},
		{`42["ä"]`, eio.Message, `2["ä"]`, false},
		{"4", eio.Message, "", false},
		{"5", eio.Upgrade, "", false},
		{"6", eio.Noop, "", false},
		{"bAQIDBA==", eio.Message, "\x01\x02\x03\x04", true},
		{"bAQID", eio.Message, "\x01\x02\x03", true},
		{"b", eio.Message, "", true},
	}
	for _, tt := range tests {
		p, err := eio.ParsePacket([]byte(tt.text))
		if err != nil || p.Type != tt.typ || string(p.Data) != tt.data || p.Binary != tt.binary {
			t.Errorf("%q: got %v %q binary=%v, %v", tt.text, p.Type, p.Data, p.Binary, err)
		}
	}
}

func TestParsePacketRefuses(t *testing.T) {
	tests := map[string]string{
		"empty":                    "",
		"unknown digit":            "7",
		"letter":                   "a",
		"separator":                "\x1e4a",
		"base64 without padding":   "bAQIDBA",
		"base64 of the URL":        "b-_-_",
		"base64 with a line break": "bAQ\nID",
		"base64 with stray bits":   "bAR==",
		"base64 with spaces":       "bAQ ID",
		"base64 after padding":     "bAQ==AQ==",
	}
	for name, text := range tests {
		p, err := eio.ParsePacket([]byte(text))
		var fault *eio.ParseError
		if !errors.As(err, &fault) {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
	}
}

func TestParsePacketAllocatesNothingForText(t *testing.T) {
	text := []byte("4" + strings.Repeat("a", 100))
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := eio.ParsePacket(text); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Fatalf("%.0f allocations, promised none", allocs)
	}
}
