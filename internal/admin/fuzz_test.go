package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
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
