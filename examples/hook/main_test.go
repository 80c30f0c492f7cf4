package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/weirtest"
)

var secret, newSecret = bytes.Repeat([]byte("k"), 32), bytes.Repeat([]byte("n"), 32)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// wire takes down what Weir has sent to the backend.
type wire struct {
	next http.Handler

	mu     sync.Mutex
	header http.Header
	body   []byte
}

func (c *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.header, c.body = r.Header.Clone(), body
	c.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.next.ServeHTTP(w, r)
}

// serve is a server of Weir whose backend knows some of its secrets.
func serve(t *testing.T, secrets ...[]byte) (url string, sent *wire) {
	t.Helper()
	sent = &wire{next: newBackend(secrets...)}
	backend := httptest.NewServer(sent)
	t.Cleanup(backend.Close)
	s := weirtest.NewServer(t, weir.Options{
		Hooks: weir.HookOptions{Connect: backend.URL + "/weir/connect", Secrets: [][]byte{secret, newSecret}},
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{
			{Path: "/feed", AuthRequired: true, Topics: []weir.TopicOptions{{Name: "prices*"}, {Name: "bob:*"}}},
		}}},
	})
	return s.URL(), sent
}

func TestWhoIsSignedInComesIn(t *testing.T) {
	url, _ := serve(t, secret)
	alice := weirtest.Dial(t, url, "/feed", weirtest.Header("Cookie", "lang=en; session=alice-1"))
	alice.Subscribe("prices.AAPL")
	var refused struct{ Code string }
	if got := alice.Ask("subscribe", map[string]string{"topic": "bob:orders"}); json.Unmarshal(got[0], &refused) != nil || refused.Code != "forbidden" {
		t.Errorf("another user's topic: %s", got)
	}
	for _, cookie := range []string{"", "session=", "session=mallory", "session=__proto__", "Session=alice-1"} {
		if _, err := weirtest.TryDial(t, url, "/feed", weirtest.Header("Cookie", cookie)); err == nil || !strings.Contains(err.Error(), "sign in first") {
			t.Errorf("cookie %q: %v", cookie, err)
		}
	}
}

// While a secret is changed for another, who knows either of them is content; who knows none is not.
func TestRotationOfSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		secrets [][]byte
		want    string
	}{
		"old": {[][]byte{secret}, ""}, "new": {[][]byte{newSecret}, ""}, "both": {[][]byte{newSecret, secret}, ""},
		"another": {[][]byte{bytes.Repeat([]byte("x"), 32)}, "backend_unavailable"},
	} {
		url, _ := serve(t, c.secrets...)
		_, err := weirtest.TryDial(t, url, "/feed", weirtest.Header("Cookie", "session=alice-1"))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of what Weir has really sent no byte can be changed, nor can it be sent again, or late.
func TestForgeryAndReplay(t *testing.T) {
	url, sent := serve(t, secret)
	weirtest.Dial(t, url, "/feed", weirtest.Header("Cookie", "session=alice-1"))
	sent.mu.Lock()
	header, body := sent.header, sent.body
	sent.mu.Unlock()
	seconds, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(seconds, 0)
	with := func(name, value string) http.Header {
		h := header.Clone()
		h.Set(name, value)
		return h
	}
	signatures := strings.Fields(header.Get("webhook-signature"))
	if len(signatures) != 2 {
		t.Fatalf("%d signatures, Weir has two secrets", len(signatures))
	}
	flipped := bytes.Clone(body)
	flipped[len(flipped)-2] ^= 1
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		now    time.Time
		good   bool
	}{
		"as it was":             {header, body, at, true},
		"late":                  {header, body, at.Add(window), true},
		"its clock is ahead":    {header, body, at.Add(-window), true},
		"the first signature":   {with("webhook-signature", signatures[0]), body, at, true},
		"in another order":      {with("webhook-signature", "v2,xx "+signatures[1]+" "+signatures[0]), body, at, true},
		"too late":              {header, body, at.Add(window + time.Second), false},
		"from the future":       {header, body, at.Add(-window - time.Second), false},
		"a bit":                 {header, flipped, at, false},
		"more":                  {header, append(bytes.Clone(body), ' '), at, false},
		"no body":               {header, nil, at, false},
		"another id":            {with("webhook-id", "msg_other"), body, at, false},
		"no id":                 {with("webhook-id", ""), body, at, false},
		"an id with the time":   {with("webhook-id", header.Get("webhook-id")+"."+header.Get("webhook-timestamp")), body, at, false},
		"a newer time":          {with("webhook-timestamp", strconv.FormatInt(seconds+1, 10)), body, at, false},
		"no time":               {with("webhook-timestamp", ""), body, at, false},
		"of a secret not known": {with("webhook-signature", signatures[1]), body, at, false},
		"no signature":          {with("webhook-signature", ""), body, at, false},
		"another version":       {with("webhook-signature", "v2"+strings.TrimPrefix(signatures[0], "v1")), body, at, false},
		"half of one":           {with("webhook-signature", signatures[0][:20]), body, at, false},
	} {
		v := &verifier{secrets: [][]byte{secret}, window: window}
		if err := v.verify(c.header, c.body, c.now); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.verify(header, body, at); (err == nil) == c.good { // what was refused is not remembered, what was let through is
			t.Errorf("%s, and then as it was: %v", name, err)
		}
	}
	v := &verifier{secrets: [][]byte{secret}, window: window}
	if err := v.verify(header, body, at.Add(-window)); err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{at, at.Add(window)} { // as long as it is not too late
		if err := v.verify(header, body, now); err == nil {
			t.Error("it was let through twice")
		}
	}
}
