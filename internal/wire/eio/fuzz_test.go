package eio_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/eio"
)

// FuzzDecodePayload: a body is either refused or, encoded again, the same bytes: nothing is skipped, repaired or
// invented, and nothing larger than the body is made of it.
func FuzzDecodePayload(f *testing.F) {
	f.Add([]byte("4hello\x1ebAQIDBA==\x1e2probe"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var again []byte
		total := 0
		err := eio.DecodePayload(body, func(p eio.Packet) error {
			first := total == 0
			total += len(p.Data) + 1
			if p.Binary {
				again = eio.AppendBinary(again, first, p.Data)
				return nil
			}
			if !utf8.Valid(p.Data) {
				t.Fatalf("delivered text %q", p.Data)
			}
			again = eio.AppendText(again, first, append([]byte{byte(p.Type)}, p.Data...))
			return nil
		})
		if !bytes.HasPrefix(body, again) || err == nil && len(again) != len(body) {
			t.Fatalf("body %q, encoded again %q, %v", body, again, err)
		}
		if total > len(body) {
			t.Fatalf("%d bytes of packets from a body of %d", total, len(body))
		}
	})
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
