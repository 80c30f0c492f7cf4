package systemtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// poller is a client over long-polling.
type poller struct {
	t   testing.TB
	url string
}

func newPoller(t testing.TB, address string) *poller {
	t.Helper()
	p := &poller{t: t, url: "http://" + address + "/socket.io/?EIO=4&transport=polling"}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(p.get()[1:]), &open); err != nil {
		t.Fatal(err)
	}
	p.url += "&sid=" + open.SID
	return p
}

func (p *poller) get() string {
	p.t.Helper()
	return p.ask(http.MethodGet, "")
}

func (p *poller) post(packet string) {
	p.t.Helper()
	if body := p.ask(http.MethodPost, packet); body != "ok" {
		p.t.Fatalf("POST %q: %q", packet, body)
	}
}

func (p *poller) ask(method, packet string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.url, strings.NewReader(packet))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s %q, %v", method, resp.Status, body, err)
	}
	return string(body)
}
