package ws_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"unicode/utf8"

	peer "github.com/gobwas/ws"

	"github.com/streamweir/weir/internal/wire/ws"
)

// FuzzDecoder: whatever the bytes and however they are cut, the decoder delivers the same and fails with the same code,
// which is what a decoder built the obvious way on another implementation's header reader says; and what it holds stays
// within what it was given and its limit. An idle decoder may be replaced by a new one.
func FuzzDecoder(f *testing.F) {
	f.Add(join(text("a"), masked(0x89, "b")), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		want, wantCode := model(stream)
		var r recorder
		d := ws.NewDecoder(testLimit, ws.Server)
		fed := 0
		var err error
		for rest := bytes.Clone(stream); len(rest) > 0 && err == nil; {
			n := len(rest)
			if len(cuts) > 0 {
				n, cuts = min(int(cuts[0]), n), cuts[1:]
			}
			err = d.Decode(rest[:n], &r)
			rest, fed = rest[n:], fed+n
			if d.Held() > min(2*fed, testLimit+ws.MaxControlPayload) {
				t.Fatalf("%d bytes held after %d", d.Held(), fed)
			}
			if d.Idle() {
				if d.Held() != 0 {
					t.Fatalf("idle with %d bytes held", d.Held())
				}
				d = ws.NewDecoder(testLimit, ws.Server)
			}
		}
		if got := codeOf(t, err); got != wantCode || !slices.Equal(r.events, want) {
			t.Fatalf("got %q and code %d, want %q and %d", r.events, got, want, wantCode)
		}
	})
}

// codeOf is the close code of a decoder's error, 0 for none.
func codeOf(t *testing.T, err error) ws.CloseCode {
	t.Helper()
	var fault *ws.Error
	if err != nil && !errors.As(err, &fault) {
		t.Fatalf("error without a code: %v", err)
	}
	if fault == nil {
		return 0
	}
	return fault.Code
}

// model decodes a whole stream the obvious way and returns the events and the close code of the fault, 0 for none.
func model(stream []byte) (events []event, code ws.CloseCode) {
	var message []byte
	op, open := ws.Opcode(0), false
	r := bytes.NewReader(stream)
	for {
		h, code := modelHeader(r, open)
		if code != 0 || h.Length < 0 {
			return events, code
		}
		control := h.OpCode.IsControl()
		if !control && int64(len(message))+h.Length > testLimit {
			return events, ws.TooBig
		}
		payload := make([]byte, min(h.Length, int64(r.Len())))
		_, _ = io.ReadFull(r, payload)
		peer.Cipher(payload, h.Mask, 0)
		whole := int64(len(payload)) == h.Length
		if control {
			if !whole {
				return events, 0
			}
			events = append(events, event{ws.Opcode(h.OpCode), string(payload)})
			if h.OpCode == peer.OpClose {
				return events, 0
			}
			continue
		}
		if !open {
			op, open = ws.Opcode(h.OpCode), true
		}
		message = append(message, payload...)
		if op == ws.Text && !startsText(message, whole && h.Fin) {
			return events, ws.InvalidPayload
		}
		if !whole {
			return events, 0
		}
		if h.Fin {
			events = append(events, event{op, string(message)})
			message, open = nil, false
		}
	}
}

// modelHeader reads and checks a header; a negative length means that it is cut off.
func modelHeader(r *bytes.Reader, open bool) (peer.Header, ws.CloseCode) {
	start := r.Size() - int64(r.Len())
	var first [14]byte
	n, _ := r.ReadAt(first[:], start)
	if n < 2 {
		return peer.Header{Length: -1}, 0
	}
	// What the first two bytes alone forbid is a fault before the rest has come.
	early := peer.Header{
		OpCode: peer.OpCode(first[0] & 15), Fin: first[0]&0x80 != 0, Rsv: first[0] >> 4 & 7,
		Masked: first[1]&0x80 != 0, Length: int64(first[1] & 0x7F),
	}
	state := peer.StateServerSide
	if err := peer.CheckHeader(early, state|stateOf(early.OpCode == peer.OpContinuation)); err != nil {
		return peer.Header{}, ws.ProtocolFault
	}
	short := early.Length == 126 && n >= 4 && binary.BigEndian.Uint16(first[2:]) < 126 ||
		early.Length == 127 && n >= 10 && (binary.BigEndian.Uint64(first[2:]) < 1<<16 || first[2]&0x80 != 0)
	if short {
		return peer.Header{}, ws.ProtocolFault
	}
	h, err := peer.ReadHeader(r)
	if err != nil {
		return peer.Header{Length: -1}, 0
	}
	if err := peer.CheckHeader(h, state|stateOf(open)); err != nil {
		return peer.Header{}, ws.ProtocolFault
	}
	return h, 0
}

func stateOf(fragmented bool) peer.State {
	if fragmented {
		return peer.StateFragmented
	}
	return 0
}

// startsText reports whether b is UTF-8, or, unless it is complete, may become UTF-8.
func startsText(b []byte, complete bool) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return !complete && !utf8.FullRune(b)
		}
		b = b[size:]
	}
	return true
}

// FuzzRoundTrip: a message split into fragments with pings between them comes back, whatever the mask and the cuts.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello"), uint32(0x01020304), []byte{1, 3}, true)
	f.Fuzz(func(t *testing.T, payload []byte, key uint32, sizes []byte, isText bool) {
		sizes = sizes[:min(len(sizes), 64)]
		op := ws.Binary
		if isText {
			op = ws.Text
		}
		var want []event
		var stream []byte
		add := func(op ws.Opcode, fin byte, b []byte) {
			start := len(stream)
			stream = ws.AppendMasked(stream, op, [4]byte(binary.BigEndian.AppendUint32(nil, key)), b)
			stream[start] = fin | byte(op)
		}
		rest, next := payload, op
		for _, size := range sizes {
			n := min(int(size), len(rest))
			add(next, 0, rest[:n])
			add(ws.Ping, 0x80, sizes)
			want = append(want, event{ws.Ping, string(sizes)})
			rest, next = rest[n:], ws.Continuation
		}
		add(next, 0x80, rest)
		want = append(want, event{op, string(payload)})
		d := ws.NewDecoder(len(payload), ws.Server)
		got, err := decode(&d, stream, 1+int(key%300))
		if isText && !utf8.Valid(payload) {
			if codeOf(t, err) != ws.InvalidPayload {
				t.Fatalf("text that is not UTF-8: %v", err)
			}
			return
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}
