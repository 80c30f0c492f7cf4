package eio_test

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/eio"
)

// FuzzDecodePayload: what is delivered is what lies between the separators, base64 as a naive reader has it; nothing is
// skipped or invented, nothing larger than the body is made of it, and the first packet refused is one that is wrong.
func FuzzDecodePayload(f *testing.F) {
	f.Add([]byte("4hello\x1ebAQIDBA==\x1e2probe"))
	f.Add([]byte("4a\x1ebAQIDBA==\n\x1eb-_\r\n-_"))
	f.Fuzz(func(t *testing.T, body []byte) {
		parts := strings.Split(string(body), "\x1e")
		count, total := 0, 0
		err := eio.DecodePayload(body, func(p eio.Packet) error {
			part := parts[count]
			count++
			total += len(p.Data) + 1
			if p.Binary {
				if want, ok := naiveBase64(part[1:]); part[0] != 'b' || !ok || string(p.Data) != want {
					t.Fatalf("%q is %q, want %q, %v", part, p.Data, want, ok)
				}
				return nil
			}
			if !utf8.Valid(p.Data) || part != string(p.Type)+string(p.Data) {
				t.Fatalf("%q is %q %q", part, p.Type, p.Data)
			}
			return nil
		})
		if total > len(body)+1 {
			t.Fatalf("%d bytes of packets from a body of %d", total, len(body))
		}
		if err == nil {
			if count != len(parts) {
				t.Fatalf("%d of %d packets", count, len(parts))
			}
			return
		}
		bad := parts[count]
		if rest, binary := strings.CutPrefix(bad, "b"); binary {
			if data, ok := naiveBase64(rest); ok {
				t.Fatalf("%q refused, which is %q: %v", bad, data, err)
			}
			return
		}
		if bad != "" && bad[0] >= '0' && bad[0] <= '6' && utf8.ValidString(bad) {
			t.Fatalf("%q refused: %v", bad, err)
		}
	})
}

// naiveBase64 makes base64 strict, step by step, and leaves the rest to encoding/base64.
func naiveBase64(text string) (data string, ok bool) {
	text = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", "-", "+", "_", "/").Replace(text)
	digits := strings.TrimRight(text, "=")
	if pads := len(text) - len(digits); pads > 0 && len(digits)%4+pads > 4 || pads > 0 && len(digits)%4 < 2 {
		return "", false
	}
	raw, err := base64.RawStdEncoding.DecodeString(digits)
	return string(raw), err == nil
}

// FuzzPayloadRoundTrip: any mix of texts and binary messages comes back.
func FuzzPayloadRoundTrip(f *testing.F) {
	f.Add([]byte("thello\x1ebbytes\x1et"))
	f.Fuzz(func(t *testing.T, script []byte) {
		var body []byte
		var want []string
		for i, part := range bytes.Split(script, []byte{0x1e}) {
			if bytes.HasPrefix(part, []byte("t")) && utf8.Valid(part) {
				body = eio.AppendText(body, i == 0, append([]byte("4"), part...))
				want = append(want, "4"+string(part))
			} else {
				body = eio.AppendBinary(body, i == 0, part)
				want = append(want, "b"+string(part))
			}
		}
		got, err := decodeAll(string(body))
		if err != nil || strings.Join(got, "\x1e") != strings.Join(want, "\x1e") {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

// FuzzParseQuery: where net/url accepts a query, both agree on the last value of every key.
func FuzzParseQuery(f *testing.F) {
	f.Add("EIO=4&transport=polling&sid=a%20b")
	f.Fuzz(func(t *testing.T, raw string) {
		got := eio.ParseQuery(raw)
		for _, c := range got.JSONP {
			if c < '0' || c > '9' {
				t.Fatalf("JSONP index %q", got.JSONP)
			}
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		last := func(key string) string {
			all := values[key]
			if len(all) == 0 {
				return ""
			}
			return all[len(all)-1]
		}
		if got.EIO != last("EIO") || got.Transport != last("transport") || got.SID != last("sid") {
			t.Fatalf("%q: got %+v, want EIO %q transport %q sid %q", raw, got, last("EIO"), last("transport"), last("sid"))
		}
		if got.HasJSONP != values.Has("j") || got.Base64 != (last("b64") != "") {
			t.Fatalf("%q: got %+v", raw, got)
		}
	})
}
