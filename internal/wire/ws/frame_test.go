package ws_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	peer "github.com/gobwas/ws"

	"github.com/streamweir/weir/internal/wire/ws"
)

// The lengths at which the header changes its form (RFC 6455 5.2).
var edgeLengths = []int{0, 1, 125, 126, 127, 65535, 65536, 70000}

func TestFramesAreThoseOfAnotherImplementation(t *testing.T) {
	for _, n := range edgeLengths {
		payload := bytes.Repeat([]byte("x"), n)
		want := peer.MustCompileFrame(peer.NewBinaryFrame(payload))
		if got := ws.AppendFrame(nil, ws.Binary, payload); !bytes.Equal(got, want) {
			t.Errorf("server frame of %d bytes differs: header % x, want % x", n, got[:10], want[:10])
		}
		if got := ws.AppendHeader([]byte("before"), ws.Binary, n); len(got) != len("before")+ws.HeaderLen(n) {
			t.Errorf("HeaderLen(%d) = %d, header is %d", n, ws.HeaderLen(n), len(got)-len("before"))
		}
		want = peer.MustCompileFrame(peer.MaskFrameWith(peer.NewBinaryFrame(payload), testKey))
		if got := ws.AppendMasked(nil, ws.Binary, testKey, payload); !bytes.Equal(got, want) {
			t.Errorf("client frame of %d bytes differs", n)
		}
		if strings.Trim(string(payload), "x") != "" {
			t.Errorf("AppendMasked changed its payload of %d bytes", n)
		}
	}
}

func TestAppendsKeepWhatIsThere(t *testing.T) {
	got := ws.AppendClose(ws.AppendMasked(ws.AppendFrame(nil, ws.Text, []byte("a")), ws.Text, [4]byte{}, []byte("b")), 1000, "")
	want := []byte{0x81, 1, 'a', 0x81, 0x81, 0, 0, 0, 0, 'b', 0x88, 2, 0x03, 0xe8}
	if !bytes.Equal(got, want) {
		t.Fatalf("got % x, want % x", got, want)
	}
}

func TestMaskIsTheRFCsByteByByte(t *testing.T) {
	src := make([]byte, 70)
	for i := range src {
		src[i] = byte(i * 7)
	}
	for pos := range 9 {
		for n := range src {
			got := bytes.Clone(src[:n])
			ws.Mask(got, testKey, pos)
			for i := range got {
				if got[i] != src[i]^testKey[(pos+i)%4] {
					t.Fatalf("pos %d, length %d: byte %d is wrong", pos, n, i)
				}
			}
		}
	}
}

// Streams written by another implementation, with random fragments, control frames between them and cuts.
func TestDecoderReadsAnotherImplementation(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		stream, want := randomStream(rng)
		d := ws.NewDecoder(1<<20, ws.Server)
		got, err := decode(&d, stream, 1+rng.IntN(300))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d events of %d, %v", seed, len(got), len(want), err)
		}
	}
}

func randomStream(rng *rand.Rand) ([]byte, []event) {
	var stream []byte
	var events []event
	send := func(op peer.OpCode, fin bool, payload []byte) {
		frame := peer.NewFrame(op, fin, payload)
		key := [4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}
		stream = append(stream, peer.MustCompileFrame(peer.MaskFrameWith(frame, key))...)
	}
	for i := range 1 + rng.IntN(5) {
		message := strings.Repeat(fmt.Sprintf("message %d äöü€😀 ", i), rng.IntN(20))
		op, rest := peer.OpText, []byte(message)
		for rng.IntN(3) > 0 {
			n := rng.IntN(len(rest) + 1)
			send(op, false, rest[:n])
			op, rest = peer.OpContinuation, rest[n:]
			if rng.IntN(2) > 0 {
				send(peer.OpPing, true, []byte("ping"))
				events = append(events, event{ws.Ping, "ping"})
			}
		}
		send(op, true, rest)
		events = append(events, event{ws.Text, message})
	}
	return stream, events
}
