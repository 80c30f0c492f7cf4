package eio_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/eio"
)

// decodeAll returns the packets of a body in a form that compares: type, data, and "b" if binary.
func decodeAll(body string) ([]string, error) {
	var got []string
	err := eio.DecodePayload([]byte(body), func(p eio.Packet) error {
		s := string(p.Type) + string(p.Data)
		if p.Binary {
			s = "b" + string(p.Data)
		}
		got = append(got, s)
		return nil
	})
	return got, err
}

func TestDecodePayloadReadsTheExampleOfTheProtocol(t *testing.T) {
	got, err := decodeAll("4hello\x1e4bye\x1ebAQIDBA==")
	if want := []string{"4hello", "4bye", "b\x01\x02\x03\x04"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestDecodePayloadDeliversWhatPrecedesTheBadPacketAndNamesIt(t *testing.T) {
	tests := []struct {
		name, body string
		want       []string
		packet     int
		pos        int
	}{
		{"empty body", "", nil, 0, 0},
		{"separator at the end", "4a\x1e", []string{"4a"}, 1, 3},
		{"two separators", "4a\x1e\x1e4b", []string{"4a"}, 1, 3},
		{"unknown type", "4a\x1e4b\x1e9c\x1e4d", []string{"4a", "4b"}, 2, 6},
		{"not UTF-8", "4a\x1e4ä\xffb\x1e4c", []string{"4a"}, 1, 6},
		{"bad base64", "4a\x1ebAQ*D\x1e4c", []string{"4a"}, 1, 6},
		{"cut base64", "bAQIDB", nil, 0, 6},
	}
	for _, tt := range tests {
		got, err := decodeAll(tt.body)
		var fault *eio.ParseError
		if !errors.As(err, &fault) {
			t.Errorf("%s: no ParseError: %v", tt.name, err)
			continue
		}
		if !slices.Equal(got, tt.want) || fault.Packet != tt.packet || fault.Pos != tt.pos {
			t.Errorf("%s: got %q, %v; want packet %d at byte %d", tt.name, got, err, tt.packet, tt.pos)
		}
	}
}

func TestDecodePayloadStopsWithTheCallersError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := eio.DecodePayload([]byte("4a\x1e4b\x1e4c"), func(eio.Packet) error {
		if calls++; calls == 2 {
			return stop
		}
		return nil
	})
	if calls != 2 || !errors.Is(err, stop) {
		t.Fatalf("%d calls, %v", calls, err)
	}
}

func TestEncodedLengthsAreExact(t *testing.T) {
	for n := range 10 {
		data := bytes.Repeat([]byte("x"), n)
		for _, first := range []bool{true, false} {
			if got := len(eio.AppendText(nil, first, data)); got != eio.EncodedTextLen(first, n) {
				t.Errorf("text of %d bytes, first=%v: %d bytes, EncodedTextLen %d", n, first, got, eio.EncodedTextLen(first, n))
			}
			if got := len(eio.AppendBinary(nil, first, data)); got != eio.EncodedBinaryLen(first, n) {
				t.Errorf("binary of %d bytes, first=%v: %d bytes, EncodedBinaryLen %d", n, first, got, eio.EncodedBinaryLen(first, n))
			}
		}
	}
}

func TestAppendWritesTheExampleOfTheProtocol(t *testing.T) {
	b := eio.AppendText([]byte("head:"), true, []byte("4hello"))
	b = eio.AppendText(b, false, []byte("4bye"))
	b = eio.AppendBinary(b, false, []byte{1, 2, 3, 4})
	if got, want := string(b), "head:4hello\x1e4bye\x1ebAQIDBA=="; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestPayloadOfTextAllocatesNothing(t *testing.T) {
	body := []byte(strings.Repeat("4hello\x1e", 9) + "4hello")
	buf := make([]byte, 0, 100)
	count := 0
	fn := func(eio.Packet) error { count++; return nil }
	allocs := testing.AllocsPerRun(100, func() {
		if err := eio.DecodePayload(body, fn); err != nil {
			t.Fatal(err)
		}
		buf = eio.AppendText(buf[:0], true, body[:6])
		buf = eio.AppendBinary(buf, false, body[:6])
	})
	if allocs != 0 || count == 0 {
		t.Fatalf("%.0f allocations, promised none", allocs)
	}
}
