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
		"empty":                     "",
		"unknown digit":             "7",
		"letter":                    "a",
		"separator":                 "\x1e4a",
		"base64 cut within a byte":  "bAQIDB",
		"base64 after padding":      "bAQ==AQ==",
		"base64 of padding":         "b==",
		"base64 padded too much":    "bAQID=",
		"base64 padded three times": "bAQ===",
		"base64 with a star":        "bAQ*D",
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

// The official Java client breaks lines; others leave padding out, or write the alphabet for URLs.
func TestParsePacketReadsBase64AsRealClientsWriteIt(t *testing.T) {
	tests := map[string]struct{ text, data string }{
		"break at the end":        {"bAQIDBA==\n", "\x01\x02\x03\x04"},
		"breaks of two bytes":     {"bAQ\r\nIDBA==\r\n", "\x01\x02\x03\x04"},
		"no padding":              {"bAQIDBA", "\x01\x02\x03\x04"},
		"half the padding":        {"bAQIDBA=", "\x01\x02\x03\x04"},
		"no padding but a break":  {"bAQIDBAU\n", "\x01\x02\x03\x04\x05"},
		"alphabet of URLs":        {"b-_-_", "\xfb\xff\xbf"},
		"both alphabets":          {"b-_+/", "\xfb\xff\xbf"},
		"break within padding":    {"bAQ=\n=", "\x01"},
		"bits that make no byte":  {"bAR==", "\x01"},
		"spaces":                  {"b AQ ID ", "\x01\x02\x03"},
		"nothing but a break":     {"b\n", ""},
		"lines of 76 characters":  {"b" + strings.Repeat(strings.Repeat("A", 76)+"\n", 3), strings.Repeat("\x00", 57*3)},
		"lines, URLs, no padding": {"b" + strings.Repeat("_", 76) + "\n__8\n", strings.Repeat("\xff", 59)},
	}
	for name, tt := range tests {
		p, err := eio.ParsePacket([]byte(tt.text))
		if err != nil || !p.Binary || string(p.Data) != tt.data {
			t.Errorf("%s: got %q, %v", name, p.Data, err)
		}
	}
}
