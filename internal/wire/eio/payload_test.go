package eio_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
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

// What is read ahead comes as if it had not been, and does not keep more than twice its size.
func TestPreparedPayloadIsReadAsAnyOther(t *testing.T) {
	long := strings.Repeat("äx", 40<<10)
	coded := base64.StdEncoding.EncodeToString([]byte(long))
	for name, body := range map[string]string{
		"small":          "4a\x1ebAQ==\x1e4b",
		"one":            "4" + long,
		"among others":   "4a\x1e4" + long + "\x1e4b\x1eb" + coded + "\x1e4c\x1e4" + long,
		"with breaks":    "b" + coded + "\n\x1e4c",
		"not UTF-8":      "4a\x1e4" + long + "\xff\x1e4b",
		"no base64":      "4a\x1eb" + coded + "*\x1e4b",
		"an empty last":  "4" + long + "\x1e",
		"an unknown one": "4a\x1e9" + long,
	} {
		want, wantErr := decodeAll(body)
		plain := eio.NewPayload([]byte(body))
		d := eio.NewPayload([]byte(body))
		held := d.Prepare()
		if large := len(body) > 64<<10; held > 2*len(body) || !large && held != 0 {
			t.Errorf("%s: %d bytes are held beside the body of %d", name, held, len(body))
		}
		var got []string
		var err error
		for d.More() && err == nil {
			if d.Left() != plain.Left() {
				t.Fatalf("%s: %d bytes are left, want %d", name, d.Left(), plain.Left())
			}
			_, _ = plain.Next() // the same
			var p eio.Packet
			if p, err = d.Next(); err == nil {
				mark := string(p.Type)
				if p.Binary {
					mark = "b"
				}
				got = append(got, mark+string(p.Data))
			}
		}
		if !slices.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s: %d packets, %v; want %d, %v", name, len(got), err, len(want), wantErr)
		}
	}
}
