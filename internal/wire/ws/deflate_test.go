package ws_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/streamweir/weir/internal/wire/ws"
)

// packed is a masked frame of a payload compressed by another implementation, with the first byte given.
func packed(t *testing.T, first byte, payload string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err == nil {
		_, err = io.WriteString(w, payload)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return masked(first, strings.TrimSuffix(out.String(), "\x00\x00\xff\xff"))
}

func deflateDecoder(limit int) *ws.Decoder {
	d := ws.NewDecoder(limit, ws.Server)
	d.AllowDeflate()
	return &d
}

func TestOffersOfDeflateAreTakenIfTheyCanBeKept(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for offer, want := range map[string]string{
		"permessage-deflate":                                                         agreed,
		"permessage-deflate; client_max_window_bits":                                 agreed, // Chrome, Firefox, npm's ws
		"x-webkit-deflate-frame, permessage-deflate":                                 agreed,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":          agreed, // the second can be kept
		`permessage-deflate; server_max_window_bits="15"; client_max_window_bits=8`:  agreed,
		"permessage-deflate;server_no_context_takeover ; client_no_context_takeover": agreed,
		"permessage-deflate; server_max_window_bits=10":                              "",
		"permessage-deflate; server_max_window_bits":                                 "",
		"permessage-deflate; client_max_window_bits=16":                              "",
		"permessage-deflate; client_max_window_bits=08":                              "",
		"permessage-deflate; client_no_context_takeover=1":                           "",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover": "",
		"permessage-deflate; level=9":                                                "",
		"permessage-bzip2":                                                           "",
		"":                                                                           "",
	} {
		if got, ok := ws.AcceptDeflate([]string{"foo", offer}); got != want || ok != (want != "") {
			t.Errorf("%q: answered %q, %v; want %q", offer, got, ok, want)
		}
	}
}

func TestCompressedMessagesAreInflatedHoweverTheyAreCut(t *testing.T) {
	long := strings.Repeat("prices go up and down. ", 40)
	whole := packed(t, 0xC1, long)
	plain := bytes.Clone(whole[6:]) // behind the header and its key
	ws.Mask(plain, testKey, 0)
	stream := slices.Concat(
		whole,
		masked(0x41, string(plain[:20])), masked(0x89, "between"), masked(0x80, string(plain[20:])),
		text("plain"), packed(t, 0xC2, "\xff\xfe binary \xff"), packed(t, 0xC1, ""),
	)
	want := []event{
		{ws.Text, long}, {ws.Ping, "between"}, {ws.Text, long}, {ws.Text, "plain"}, {ws.Binary, "\xff\xfe binary \xff"}, {ws.Text, ""},
	}
	for _, size := range []int{1, 2, 7, len(stream)} {
		got, err := decode(deflateDecoder(testLimit), stream, size)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: %d events, %v", size, len(got), err)
		}
	}
}

func TestCompressedFaultsHaveTheirCodes(t *testing.T) {
	for name, c := range map[string]struct {
		stream []byte
		want   ws.CloseCode
	}{
		"a bomb":                       {packed(t, 0xC2, strings.Repeat("0", 1<<20)), ws.TooBig},
		"one byte over the limit":      {packed(t, 0xC2, strings.Repeat("0", testLimit+1)), ws.TooBig},
		"text that is not UTF-8":       {packed(t, 0xC1, "\xff\xff"), ws.InvalidPayload},
		"no deflate data":              {masked(0xC2, "\xff\xff\xff\xff"), ws.InvalidPayload},
		"RSV1 on a control frame":      {masked(0xC9, "x"), ws.ProtocolFault},
		"RSV1 on a continuation frame": {slices.Concat(masked(0x01, "x"), masked(0xC0, "x")), ws.ProtocolFault},
		"RSV2":                         {masked(0xA1, "x"), ws.ProtocolFault},
	} {
		_, err := decode(deflateDecoder(testLimit), c.stream, 64)
		if got := codeOf(t, err); got != c.want {
			t.Errorf("%s: code %d, want %d", name, got, c.want)
		}
	}
	d := ws.NewDecoder(testLimit, ws.Server)
	if _, err := decode(&d, packed(t, 0xC1, "not agreed"), 64); codeOf(t, err) != ws.ProtocolFault {
		t.Errorf("without the extension: %v", err)
	}
	if got, err := decode(deflateDecoder(testLimit), packed(t, 0xC2, strings.Repeat("0", testLimit)), 64); err != nil || len(got) != 1 {
		t.Errorf("exactly the limit: %d events, %v", len(got), err)
	}
}

func TestDeflatedFramesAreReadByOthersAndNeverLonger(t *testing.T) {
	noise := make([]byte, 4<<10)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	for name, c := range map[string]struct {
		payload    []byte
		compressed bool
	}{
		"short":          {bytes.Repeat([]byte("a"), ws.DeflateFrom-1), false},
		"from 1024":      {bytes.Repeat([]byte("a"), ws.DeflateFrom), true},
		"large":          {bytes.Repeat([]byte("large "), 50_000), true},
		"incompressible": {noise, false},
		"empty":          {nil, false},
	} {
		frame := ws.AppendDeflated([]byte("before"), ws.Binary, c.payload)[len("before"):]
		if len(frame) > len(ws.AppendFrame(nil, ws.Binary, c.payload)) {
			t.Errorf("%s: %d bytes of %d", name, len(frame), len(c.payload))
		}
		op, head, n := ws.ServerFrame(frame)
		if op != ws.Binary || head+n != len(frame) {
			t.Errorf("%s: walked as opcode %d, %d+%d bytes of %d", name, op, head, n, len(frame))
		}
		if got := frame[0]&0x40 != 0; got != c.compressed {
			t.Errorf("%s: compressed %v, want %v", name, got, c.compressed)
		}
		if c.compressed {
			in := flate.NewReader(io.MultiReader(bytes.NewReader(frame[head:]), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
			if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, c.payload) {
				t.Errorf("%s: %d bytes read, %v", name, len(got), err)
			}
		}
	}
}

// FuzzDeflateDecoder: whatever the bytes and however they are cut, the decoder agrees with itself, and no message is
// larger than the limit.
func FuzzDeflateDecoder(f *testing.F) {
	f.Add(ws.AppendMasked(nil, ws.Text, testKey, []byte("a")), byte(1))
	f.Add(masked(0xC1, "\x4a\x04\x00"), byte(2))
	f.Fuzz(func(t *testing.T, stream []byte, size byte) {
		whole, wholeErr := decode(deflateDecoder(testLimit), stream, max(len(stream), 1))
		cut, cutErr := decode(deflateDecoder(testLimit), stream, int(size)+1)
		if !slices.Equal(whole, cut) || codeOf(t, wholeErr) != codeOf(t, cutErr) {
			t.Fatalf("whole: %q, %v; cut: %q, %v", whole, wholeErr, cut, cutErr)
		}
		for _, e := range whole {
			if len(e.payload) > testLimit {
				t.Fatalf("%d bytes delivered", len(e.payload))
			}
		}
		if errors.Is(wholeErr, io.EOF) {
			t.Fatal("an end that is not the peer's")
		}
	})
}
