package ws_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/streamweir/weir/internal/wire/ws"
)

// event is one call of a handler.
type event struct {
	op      ws.Opcode
	payload string
}

// recorder keeps what a decoder delivers. It fails with err at the event of that number, counted from 1.
type recorder struct {
	events []event
	failAt int
	err    error
}

func (r *recorder) Message(op ws.Opcode, payload []byte) error { return r.add(op, payload) }
func (r *recorder) Control(op ws.Opcode, payload []byte) error { return r.add(op, payload) }

func (r *recorder) add(op ws.Opcode, payload []byte) error {
	r.events = append(r.events, event{op, string(payload)})
	if len(r.events) == r.failAt {
		return r.err
	}
	return nil
}

const testLimit = 1 << 10

var testKey = [4]byte{0x12, 0x34, 0x56, 0x78}

// decode feeds a copy of stream in pieces of at most size bytes.
func decode(d *ws.Decoder, stream []byte, size int) ([]event, error) {
	var r recorder
	for piece := range slices.Chunk(bytes.Clone(stream), size) {
		if err := d.Decode(piece, &r); err != nil {
			return r.events, err
		}
	}
	return r.events, nil
}

// masked is one frame with the first byte given, so that it may be no proper frame.
func masked(first byte, payload string) []byte {
	b := ws.AppendMasked(nil, ws.Text, testKey, []byte(payload))
	b[0] = first
	return b
}

func text(payload string) []byte { return masked(0x81, payload) }

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// everySize are the piece sizes that cut a short stream in all the ways that matter.
var everySize = []int{1, 2, 3, 5, 7, 13, 64, 1 << 20}

func TestDecoderDeliversInWireOrderHoweverCut(t *testing.T) {
	long := strings.Repeat("ä€", 100)
	stream := join(
		text("first"),
		masked(0x89, "ping"),
		text(""),
		masked(0x01, long[:301]), // cuts a rune
		masked(0x89, "between"),
		masked(0x00, ""),
		masked(0x8A, strings.Repeat("p", 125)),
		masked(0x80, long[301:]),
		masked(0x82, "\xff\x00"),
		masked(0x02, ""),
		masked(0x80, "whole in the last fragment"),
		masked(0x88, "\x03\xe8bye"),
	)
	want := []event{
		{ws.Text, "first"}, {ws.Ping, "ping"}, {ws.Text, ""}, {ws.Ping, "between"},
		{ws.Pong, strings.Repeat("p", 125)}, {ws.Text, long}, {ws.Binary, "\xff\x00"},
		{ws.Binary, "whole in the last fragment"}, {ws.Close, "\x03\xe8bye"},
	}
	for _, size := range everySize {
		d := ws.NewDecoder(testLimit, ws.Server)
		got, err := decode(&d, stream, size)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("pieces of %d: got %q, %v", size, got, err)
		}
		if d.Held() != 0 {
			t.Errorf("pieces of %d: %d bytes held after the last message", size, d.Held())
		}
	}
}

func TestDecoderRefusesWithTheCodeOfTheRFC(t *testing.T) {
	wide := func(n byte, rest ...byte) []byte { return append([]byte{0x82, 0x80 | n}, rest...) }
	tests := []struct {
		name   string
		stream []byte
		code   ws.CloseCode
	}{
		{"unmasked", []byte{0x81, 0x01, 'a'}, ws.ProtocolFault},
		{"first reserved bit", masked(0xC1, "a"), ws.ProtocolFault},
		{"third reserved bit", masked(0x91, "a"), ws.ProtocolFault},
		{"reserved data opcode", masked(0x83, "a"), ws.ProtocolFault},
		{"reserved control opcode", masked(0x8B, "a"), ws.ProtocolFault},
		{"fragmented control", masked(0x09, "a"), ws.ProtocolFault},
		{"control of 126 bytes", masked(0x89, strings.Repeat("a", 126)), ws.ProtocolFault},
		{"continuation of nothing", masked(0x80, "a"), ws.ProtocolFault},
		{"continuation of a finished message", join(text("a"), masked(0x80, "b")), ws.ProtocolFault},
		{"message inside a message", join(masked(0x01, "a"), text("b")), ws.ProtocolFault},
		{"length 125 in two bytes", wide(126, 0, 125), ws.ProtocolFault},
		{"length 65535 in eight bytes", wide(127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF), ws.ProtocolFault},
		{"highest bit of the length", wide(127, 0x80, 0, 0, 0, 0, 1, 0, 0), ws.ProtocolFault},
		{"text of bytes", text("a\xffb"), ws.InvalidPayload},
		{"text with a surrogate", text("\xed\xa0\x80"), ws.InvalidPayload},
		{"text ends inside a rune", text("a\xe2\x82"), ws.InvalidPayload},
		{"text ends inside a rune, fragmented", join(masked(0x01, "a\xe2"), masked(0x80, "\x82")), ws.InvalidPayload},
		{"first fragment of bytes", masked(0x01, "a\xffb"), ws.InvalidPayload},
		{"one byte over the limit", text(strings.Repeat("a", testLimit+1)), ws.TooBig},
		{"fragments over the limit", join(masked(0x01, strings.Repeat("a", testLimit)), masked(0x80, "b")), ws.TooBig},
	}
	for _, tt := range tests {
		for _, size := range everySize {
			d := ws.NewDecoder(testLimit, ws.Server)
			_, err := decode(&d, tt.stream, size)
			var fault *ws.Error
			if !errors.As(err, &fault) || fault.Code != tt.code {
				t.Errorf("%s, pieces of %d: %v, want code %d", tt.name, size, err, tt.code)
			}
		}
	}
}

func TestDecoderRefusesAtTheFirstByteThatShowsTheFault(t *testing.T) {
	huge := ws.AppendMasked(nil, ws.Text, [4]byte{}, make([]byte, 1<<16))[:8+6] // header alone
	tests := []struct {
		name   string
		prefix []byte
		last   byte
	}{
		{"mask bit", []byte{0x81}, 0x01},
		{"oversize length, at the end of the header", []byte{0x82, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3}, 4},
		{"byte in a huge frame still arriving", append(huge, "a\xc3"...), 'a'},
		{"second byte of an impossible rune", append(huge[:14:14], '\xed'), '\xa0'},
	}
	for _, tt := range tests {
		d := ws.NewDecoder(1<<16, ws.Server)
		if _, err := decode(&d, tt.prefix, 1); err != nil {
			t.Errorf("%s: refused before the fault: %v", tt.name, err)
		}
		if _, err := decode(&d, []byte{tt.last}, 1); err == nil {
			t.Errorf("%s: not refused", tt.name)
		}
	}
}

func TestDecoderAdmitsExactlyTheLimit(t *testing.T) {
	whole := strings.Repeat("a", testLimit)
	d := ws.NewDecoder(testLimit, ws.Server)
	stream := join(text(whole), masked(0x01, whole[:500]), masked(0x00, whole[500:]), masked(0x80, ""))
	got, err := decode(&d, stream, 99)
	if want := []event{{ws.Text, whole}, {ws.Text, whole}}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %d messages, %v", len(got), err)
	}
}

func TestDecoderOfClientWantsUnmaskedFrames(t *testing.T) {
	d := ws.NewDecoder(testLimit, ws.Client)
	got, err := decode(&d, ws.AppendFrame(nil, ws.Text, []byte("hello")), 3)
	if err != nil || !slices.Equal(got, []event{{ws.Text, "hello"}}) {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := decode(&d, text("hello"), 100); err == nil {
		t.Fatal("a masked frame was accepted")
	}
}

func TestDecoderStopsWithTheHandlersError(t *testing.T) {
	stop := errors.New("stop")
	d := ws.NewDecoder(testLimit, ws.Server)
	r := recorder{failAt: 2, err: stop}
	if err := d.Decode(join(text("a"), masked(0x89, "b"), text("c")), &r); !errors.Is(err, stop) {
		t.Fatalf("got %v, want the handler's error", err)
	}
	if len(r.events) != 2 {
		t.Fatalf("%d events after the error, want 2", len(r.events))
	}
	if err := d.Decode(text("d"), &r); !errors.Is(err, ws.ErrStopped) {
		t.Fatalf("got %v, want ErrStopped", err)
	}
	if len(r.events) != 2 {
		t.Fatal("a stopped decoder delivered")
	}
}

func TestDecoderIgnoresWhatFollowsClose(t *testing.T) {
	d := ws.NewDecoder(testLimit, ws.Server)
	got, err := decode(&d, join(masked(0x01, "never finished"), masked(0x88, ""), text("late"), []byte{0xFF, 0xFF}), 4)
	if err != nil || !slices.Equal(got, []event{{ws.Close, ""}}) {
		t.Fatalf("got %q, %v", got, err)
	}
	if d.Held() != 0 {
		t.Fatalf("%d bytes held after close", d.Held())
	}
}

func TestDecoderIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(ws.Decoder{}); n > 72 {
		t.Fatalf("Decoder is %d bytes, promised 72", n)
	}
}

func TestDecoderBufferFollowsWhatArrivedNotWhatWasDeclared(t *testing.T) {
	const limit = 1 << 30
	d := ws.NewDecoder(limit, ws.Server)
	header := []byte{0x82, 0xFF, 0, 0, 0, 0, 0x3F, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}
	if _, err := decode(&d, append(header, make([]byte, 1000)...), 100); err != nil {
		t.Fatal(err)
	}
	if d.Held() < 1000 || d.Held() > 2000 {
		t.Fatalf("%d bytes held for 1000 received", d.Held())
	}
}

func TestDecoderReleasesItsBufferWithTheMessage(t *testing.T) {
	tests := map[string][]byte{
		"message in pieces":               text("hello, world"),
		"fragmented message":              join(masked(0x01, "hello"), masked(0x80, "world")),
		"control frame in pieces":         masked(0x89, "ping"),
		"message after a control between": join(masked(0x02, "a"), masked(0x89, "ping"), masked(0x80, "b")),
	}
	for name, stream := range tests {
		d := ws.NewDecoder(testLimit, ws.Server)
		if events, err := decode(&d, stream, 3); err != nil || len(events) == 0 || d.Held() != 0 {
			t.Errorf("%s: %d events, %v, %d bytes held", name, len(events), err, d.Held())
		}
	}
}

func TestDecoderBufferIsNoLargerThanAFinalFrame(t *testing.T) {
	d := ws.NewDecoder(1<<20, ws.Server)
	stream := masked(0x82, strings.Repeat("a", 100_000))
	if _, err := decode(&d, stream[:len(stream)-1], 60_000); err != nil {
		t.Fatal(err)
	}
	if d.Held() > 110_000 { // the allocator's size class is part of it
		t.Fatalf("%d bytes held for a frame of 100000", d.Held())
	}
}

// A message of many tiny fragments must not be copied once per fragment.
func TestDecoderGathersTinyFragmentsInLinearTime(t *testing.T) {
	const n = 1 << 16
	stream := masked(0x02, "a")
	for range n - 2 {
		stream = append(stream, masked(0x00, "a")...)
	}
	stream = append(stream, masked(0x80, "a")...)
	allocs := testing.AllocsPerRun(1, func() {
		d := ws.NewDecoder(n, ws.Server)
		got, err := decode(&d, stream, len(stream))
		if err != nil || len(got) != 1 || len(got[0].payload) != n {
			t.Fatalf("%d messages, %v", len(got), err)
		}
	})
	if allocs > 40 {
		t.Fatalf("%.0f allocations for %d fragments", allocs, n)
	}
}

func TestDecoderAllocatesNothingForWholeFrames(t *testing.T) {
	frames := join(text("hello"), masked(0x89, "ping"), masked(0x82, strings.Repeat("b", 500)))
	b := make([]byte, len(frames))
	d := ws.NewDecoder(testLimit, ws.Server)
	h := discard{}
	allocs := testing.AllocsPerRun(100, func() {
		copy(b, frames)
		if err := d.Decode(b, h); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Fatalf("%.0f allocations, promised none", allocs)
	}
}

type discard struct{}

func (discard) Message(ws.Opcode, []byte) error { return nil }
func (discard) Control(ws.Opcode, []byte) error { return nil }
