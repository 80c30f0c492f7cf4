package sio_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

func parse(t *testing.T, text string) sio.Packet {
	t.Helper()
	p, err := sio.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// roomy is more than the packets here have.
const roomy = 1000

const twoAttachments = `52-/n,7["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`

func TestAssemblerGathersCopiesInOrder(t *testing.T) {
	var a sio.Assembler
	text := []byte(twoAttachments)
	p, err := sio.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(p, roomy); err != nil {
		t.Fatal(err)
	}
	clear(text)
	for i, part := range []string{"first", ""} {
		b := []byte(part)
		complete, err := a.Add(b)
		if err != nil || complete != (i == 1) || a.Pending() == complete {
			t.Fatalf("part %d: complete=%v pending=%v, %v", i, complete, a.Pending(), err)
		}
		clear(b)
	}
	got, attachments := a.Take()
	if string(got.Namespace) != "/n" || got.ID != 7 || got.Type != sio.BinaryEvent || string(got.Data) != twoAttachments[7:] {
		t.Errorf("got %v %s %d %s", got.Type, got.Namespace, got.ID, got.Data)
	}
	want := []string{"first", ""}
	if !slices.EqualFunc(attachments, want, func(b []byte, s string) bool { return string(b) == s }) {
		t.Errorf("got %q", attachments)
	}
	if a.Pending() || a.Held() != 0 {
		t.Errorf("after Take: pending=%v, %d bytes held", a.Pending(), a.Held())
	}
	if err := a.Start(parse(t, twoAttachments), roomy); err != nil {
		t.Errorf("the next packet: %v", err)
	}
}

func TestAssemblerRefusesWhatIsOutOfTurn(t *testing.T) {
	var fault *sio.Error
	var a sio.Assembler
	if _, err := a.Add([]byte("x")); !errors.As(err, &fault) {
		t.Errorf("binary without a header: %v", err)
	}
	if err := a.Start(parse(t, `2["a"]`), roomy); !errors.As(err, &fault) {
		t.Errorf("header without attachments: %v", err)
	}
	if err := a.Start(parse(t, twoAttachments), roomy); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(parse(t, twoAttachments), roomy); !errors.As(err, &fault) {
		t.Errorf("text while attachments are missing: %v", err)
	}
	if a.Held() != 0 {
		t.Errorf("%d bytes held after a fault", a.Held())
	}
}

func TestAssemblerHoldsNoMoreThanItsLimit(t *testing.T) {
	p := parse(t, twoAttachments)
	header := len(p.Namespace) + len(p.Data)
	tests := []struct {
		name         string
		limit        int
		start, parts bool
	}{
		{"exactly the limit", header + 10, true, true},
		{"one byte over", header + 9, true, false},
		{"header over", header - 1, false, false},
	}
	for _, tt := range tests {
		var a sio.Assembler
		if err := a.Start(p, tt.limit); (err == nil) != tt.start {
			t.Errorf("%s: Start: %v", tt.name, err)
		}
		if !tt.start {
			continue
		}
		if _, err := a.Add(make([]byte, 4)); err != nil || a.Held() != header+4 {
			t.Errorf("%s: held %d, %v", tt.name, a.Held(), err)
		}
		if complete, err := a.Add(make([]byte, 6)); complete != tt.parts || (err == nil) != tt.parts || a.Held() > tt.limit {
			t.Errorf("%s: complete=%v, %v, held %d", tt.name, complete, err, a.Held())
		}
	}
}

func TestAssemblerResetForgets(t *testing.T) {
	var a sio.Assembler
	if err := a.Start(parse(t, twoAttachments), roomy); err != nil {
		t.Fatal(err)
	}
	a.Reset()
	if a.Pending() || a.Held() != 0 {
		t.Fatalf("pending=%v, %d bytes held", a.Pending(), a.Held())
	}
}
