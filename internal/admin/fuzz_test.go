package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/base"
)

// FuzzPublishRequest: whatever comes in, the answer is either a refusal the caller
// can read, or a request whose payload is the very bytes that came in and whose
// fields keep their rules.
func FuzzPublishRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := admin.ParsePublish(body)
		if err != nil {
			var coded *base.Error
			if !errors.As(err, &coded) || coded.Code != base.CodeInvalid || coded.Reason == "" || !utf8.ValidString(coded.Reason) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if p.Namespace == "" || p.Topic == "" || p.TTL < 0 || len(p.ID) > 256 {
			t.Fatalf("accepted %+v", p)
		}
		if given := count(p.Socket, p.Principal, p.Room); given > 1 {
			t.Fatalf("accepted %d recipients: %+v", given, p)
		}
		if !p.Binary && (!json.Valid(p.Payload) || !bytes.Contains(body, p.Payload) || !utf8.Valid(p.Payload)) {
			t.Fatalf("payload %q of %q", p.Payload, body)
		}
		if !json.Valid(body) {
			t.Fatalf("accepted what is not JSON: %q", body)
		}
	})
}

// FuzzPublishDifferential: the single pass takes and refuses the same requests as a
// decoder made of encoding/json, with the same values, but for three things that
// encoding/json lets pass: half of a surrogate pair in a text, nesting beyond 512, and
// text that is not UTF-8.
func FuzzPublishDifferential(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := admin.ParsePublish(body)
		want := modelPublish(body)
		switch {
		case err != nil && want != nil:
			if !utf8.Valid(body) || strings.Contains(err.Error(), "surrogate") || strings.Contains(err.Error(), "deeper than 512") ||
				strings.Contains(strings.ToLower(string(body)), `\ud`) {
				return
			}
			t.Fatalf("%q: refused with %v, encoding/json takes it for %+v", body, err, want)
		case err == nil && want == nil:
			t.Fatalf("%q: taken for %+v, encoding/json refuses it", body, got)
		case err == nil && !reflect.DeepEqual(got, want):
			t.Fatalf("%q:\n got %+v\nwant %+v", body, got, want)
		}
	})
}

// modelPublish decodes a request with encoding/json; nil if it is refused.
func modelPublish(body []byte) *admin.PublishRequest {
	fields := modelFields(body)
	p := new(admin.PublishRequest)
	ok := fields != nil
	text := func(m map[string]json.RawMessage, name string, to *string) (given bool) {
		raw, given := m[name]
		delete(m, name)
		ok = ok && (!given || (raw[0] == '"' && json.Unmarshal(raw, to) == nil && *to != ""))
		return given
	}
	ok = text(fields, "namespace", &p.Namespace) && text(fields, "topic", &p.Topic) && ok
	text(fields, "key", &p.Key)
	text(fields, "id", &p.ID)
	room := text(fields, "room", &p.Room)
	into := func(name string, to any) bool {
		raw, given := fields[name]
		delete(fields, name)
		ok = ok && (!given || (string(raw) != "null" && json.Unmarshal(raw, to) == nil))
		return given
	}
	var ttl int64
	into("ttlMs", &ttl)
	into("receipt", &p.Receipt)
	p.TTL = time.Duration(ttl) * time.Millisecond
	raw, plain := fields["payload"]
	delete(fields, "payload")
	p.Payload = raw
	var base64 []byte
	if p.Binary = into("payloadBase64", &base64); p.Binary {
		p.Payload = base64
	}
	var to json.RawMessage
	if into("to", &to) {
		inner := modelFields(to)
		socket, principal := text(inner, "socket", &p.Socket), text(inner, "principal", &p.Principal)
		ok = ok && inner != nil && len(inner) == 0 && socket != principal && !room
	}
	if !ok || plain == p.Binary || len(fields) > 0 || len(p.ID) > 256 || ttl < 0 || ttl > 10*365*24*3600*1000 {
		return nil
	}
	return p
}

// modelFields takes an object apart with encoding/json; nil if it is none, or has a
// field twice.
func modelFields(data []byte) map[string]json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		key, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return nil
		}
		name, _ := key.(string)
		if _, twice := fields[name]; twice {
			return nil
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		return nil
	}
	return fields
}

func count(texts ...string) (n int) {
	for _, s := range texts {
		if s != "" {
			n++
		}
	}
	return n
}

// FuzzBatch: every line that is not blank gets exactly one answer line, up to one
// that is too long; what is accepted is published in order.
func FuzzBatch(f *testing.F) {
	const limit = 300
	api := setUp(f, func(o *admin.Options) { o.MaxBody = limit })
	f.Fuzz(func(t *testing.T, body []byte) {
		api.t, api.backend.published = t, nil
		w := api.do(http.MethodPost, "/api/publish/batch", string(body))
		if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
			if refusalIn(t, w.Body.Bytes()); w.Code != http.StatusBadRequest || len(api.backend.published) > 0 {
				t.Fatalf("%q: %d", body, w.Code)
			}
			return
		}
		var accepted, refused int
		for line := range strings.Lines(w.Body.String()) {
			if strings.HasPrefix(line, `{"error"`) {
				refusalIn(t, []byte(line))
				refused++
				continue
			}
			accepted++
		}
		want := 0
		for line := range bytes.Lines(body) {
			if len(bytes.TrimSuffix(line, []byte("\n"))) > limit {
				want++
				break
			}
			if len(bytes.TrimSpace(line)) > 0 {
				want++
			}
		}
		if accepted+refused != want || len(api.backend.published) != accepted {
			t.Fatalf("%q: %d accepted, %d published, %d refused, of %d lines", body, accepted, len(api.backend.published), refused, want)
		}
	})
}
