package eio_test

import (
	"testing"

	"github.com/streamweir/weir/internal/wire/eio"
)

func TestParseQueryReadsTheKeysOfEngineIO(t *testing.T) {
	tests := []struct {
		raw  string
		want eio.Request
	}{
		{"", eio.Request{}},
		{"EIO=4&transport=polling&t=P1x", eio.Request{EIO: "4", Transport: "polling"}},
		{"transport=websocket&sid=a_-b&EIO=4", eio.Request{EIO: "4", Transport: "websocket", SID: "a_-b"}},
		{"sid=a&sid=b&EIO=4&EIO=3", eio.Request{EIO: "3", SID: "b"}},
		{"sid=a&sid", eio.Request{}},
		{"s%69d=a%2Bb+c", eio.Request{SID: "a+b c"}},
		{"sid=%zz&x=%", eio.Request{SID: "%zz"}},
		{"&&sid=a&=b&", eio.Request{SID: "a"}},
		{"j=12", eio.Request{JSONP: "12", HasJSONP: true}},
		{"j=1;alert(2)%3C", eio.Request{JSONP: "12", HasJSONP: true}},
		{"j=", eio.Request{HasJSONP: true}},
		{"b64=1", eio.Request{Base64: true}},
		{"b64=", eio.Request{}},
		{"eio=4&SID=x", eio.Request{}},
	}
	for _, tt := range tests {
		if got := eio.ParseQuery(tt.raw); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.raw, got, tt.want)
		}
	}
}

func TestVersionIsThreeUnlessExactlyFour(t *testing.T) {
	for value, want := range map[string]int{"4": 4, "": 3, "3": 3, "04": 3, "5": 3} {
		if got := (eio.Request{EIO: value}).Version(); got != want {
			t.Errorf("EIO=%q: version %d", value, got)
		}
	}
}

func TestParseQueryAllocatesNothing(t *testing.T) {
	raw := "EIO=4&transport=websocket&sid=abcdefghijklmnopqrst&t=P1x&token=x"
	allocs := testing.AllocsPerRun(100, func() {
		if eio.ParseQuery(raw).SID == "" {
			t.Fatal("no sid")
		}
	})
	if allocs != 0 {
		t.Fatalf("%.0f allocations, promised none", allocs)
	}
}
