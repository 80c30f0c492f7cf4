package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/demo"
)

// patience bounds every wait of these tests; none asserts that something took less.
const patience = time.Minute

// start runs a demo on free ports for the time of the test.
func start(t *testing.T, slow demo.Setting) *demo.Demo {
	t.Helper()
	return run(t, demo.Options{Slow: slow})
}

// run runs a demo for the time of the test.
func run(t *testing.T, o demo.Options) *demo.Demo {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	d, err := demo.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return d
}

type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, url, body string, header map[string]string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	raw, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{a.StatusCode, a.Header, string(raw)}
}

// until reads states until one is as wanted.
func until(t *testing.T, d *demo.Demo, what string, wanted func(map[string]demo.SlowState) bool) map[string]demo.SlowState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.PageURL()+"demo/state", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(a.Body); lines.Scan(); {
		raw, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var s demo.State
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			t.Fatalf("state %s: %v", raw, err)
		}
		slow := make(map[string]demo.SlowState)
		for _, one := range s.Slow {
			slow[one.Topic] = one
		}
		if wanted(slow) {
			return slow
		}
	}
	t.Fatalf("never came: %s", what)
	return nil
}

func TestStalledLaneFillsAndItsPolicyActs(t *testing.T) {
	d := start(t, demo.Setting{Stalled: false})
	until(t, d, "first values", func(s map[string]demo.SlowState) bool {
		for _, a := range demo.Actions(true) {
			if s[a.Topic].Received == 0 {
				return false
			}
		}
		return true
	})
	setSlow(t, d, `{"stalled":true}`)
	until(t, d, "full lanes", func(s map[string]demo.SlowState) bool {
		return s["prices.drop-oldest"].Lane.Drops["overflow"] > 0 && s["prices.drop-oldest"].Lane.Depth >= 16 &&
			s["prices.reject-new"].Lane.Drops["rejected"] > 0 && s["prices.reject-new"].Lane.Depth >= 16 &&
			s["prices.coalesce"].Lane.Coalesced > 0 && s["prices.coalesce"].Lane.Drops["overflow"] == 0 &&
			s["prices.snapshot-only"].Lane.Coalesced > 0 && s["prices.snapshot-only"].Lane.Depth <= 2 &&
			s[spilling].Lane.Depth >= 8 && s[spilling].Lane.Spilled > 100 && s[spilling].Lane.SpilledBytes > 100*300 && len(s[spilling].Lane.Drops) == 0 &&
			s["prices.disconnect"].Lane.Cuts == 1 && s["prices.disconnect"].Lane.Drops["disconnect"] > 0 && !s["prices.disconnect"].Lane.Open
	})
	resumed := time.Now().UnixMilli()
	setSlow(t, d, `{"rate":0,"stalled":false}`)
	until(t, d, "fresh values after the stall", func(s map[string]demo.SlowState) bool {
		for _, topic := range []string{"prices.drop-oldest", "prices.reject-new", "prices.coalesce", "prices.snapshot-only", spilling} {
			if s[topic].Newest == nil || s[topic].Newest.At < resumed {
				return false
			}
		}
		return true
	})
	until(t, d, "who spilled has everything, in order, and nothing waits on disk", func(s map[string]demo.SlowState) bool {
		if x := s[spilling]; x.Missing != 0 || x.Disorder != 0 || len(x.Lane.Drops) != 0 {
			t.Fatalf("%+v", x)
		}
		return s[spilling].Lane.Spilled == 0 && s["prices.drop-oldest"].Missing > 0
	})
}

const spilling = "prices.spill-to-disk"

// What spills is in a directory for the time of the demo; a demo that does not begin leaves none.
func TestJournalGoesWithTheDemo(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	left := func() (n int) {
		entries, err := os.ReadDir(temporary)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	t.Run("runs", func(t *testing.T) {
		d := start(t, demo.Setting{Rate: demo.MinRate})
		until(t, d, "something on disk", func(s map[string]demo.SlowState) bool { return s[spilling].Lane.Spilled > 0 })
		if left() != 1 {
			t.Errorf("%d directories while it runs", left())
		}
		u, _ := url.Parse(d.PageURL())
		port, _ := strconv.Atoi(u.Port())
		if _, err := demo.New(demo.Options{Port: port, Logger: slog.New(slog.DiscardHandler)}); err == nil || left() != 1 {
			t.Errorf("one that does not begin: %v, %d directories", err, left())
		}
	})
	if left() != 0 {
		t.Errorf("%d directories are left", left())
	}
	t.Setenv("TMPDIR", filepath.Join(temporary, "nowhere"))
	d := start(t, demo.Setting{})
	if a := ask(t, http.MethodGet, d.PageURL()+"demo/about", "", nil); strings.Contains(a.body, spilling) || !strings.Contains(a.body, "prices.disconnect") {
		t.Errorf("without a temporary directory: %s", a.body)
	}
}

func TestCutClientComesBackAfterItsPenalty(t *testing.T) {
	d := start(t, demo.Setting{Rate: 2048})
	until(t, d, "a cut", func(s map[string]demo.SlowState) bool { return s["prices.disconnect"].Lane.Cuts > 0 })
	until(t, d, "a refusal that says until when", func(s map[string]demo.SlowState) bool {
		return s["prices.disconnect"].Status == demo.Away && s["prices.disconnect"].RetryAt > 0
	})
	setSlow(t, d, `{"rate":0}`)
	until(t, d, "a new lane", func(s map[string]demo.SlowState) bool { return s["prices.disconnect"].Lane.Open })
}

func setSlow(t *testing.T, d *demo.Demo, setting string) {
	t.Helper()
	a := ask(t, http.MethodPost, d.PageURL()+"demo/slow", setting, map[string]string{"Content-Type": "application/json"})
	if a.status != http.StatusOK {
		t.Errorf("POST /demo/slow %s: %d %s", setting, a.status, a.body)
	}
}

func TestSlowSettingIsStrict(t *testing.T) {
	d := start(t, demo.Setting{})
	js := map[string]string{"Content-Type": "application/json"}
	with := func(name, value string) map[string]string {
		return map[string]string{"Content-Type": "application/json; charset=utf-8", name: value}
	}
	own := strings.TrimSuffix(d.PageURL(), "/")
	for _, c := range []struct {
		name, method, body string
		header             map[string]string
		status             int
	}{
		{"all", "POST", `{"rate":1024,"stalled":true}`, js, 200},
		{"the rate alone", "POST", `{"rate":0}`, js, 200},
		{"own page", "POST", `{}`, with("Origin", own), 200},
		{"own page, by fetch metadata", "POST", `{}`, with("Sec-Fetch-Site", "same-origin"), 200},
		{"another page", "POST", `{}`, with("Origin", "http://evil.example"), 403},
		{"another page, by fetch metadata", "POST", `{}`, with("Sec-Fetch-Site", "cross-site"), 403},
		{"same site, other origin", "POST", `{}`, with("Sec-Fetch-Site", "same-site"), 403},
		{"a form's type", "POST", `{}`, map[string]string{"Content-Type": "text/plain"}, 415},
		{"no type", "POST", `{}`, nil, 415},
		{"wrong method", "GET", ``, nil, 405},
		{"PUT", "PUT", `{}`, js, 405},
		{"not JSON", "POST", `rate=1`, js, 400},
		{"unknown field", "POST", `{"speed":1}`, js, 400},
		{"wrong type", "POST", `{"rate":"fast"}`, js, 400},
		{"too slow", "POST", `{"rate":255}`, js, 400},
		{"negative", "POST", `{"rate":-1}`, js, 400},
		{"too fast", "POST", `{"rate":65537}`, js, 400},
		{"two objects", "POST", `{}{}`, js, 400},
		{"long", "POST", `{"rate":` + strings.Repeat(" ", 2000) + `1024}`, js, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := ask(t, c.method, d.PageURL()+"demo/slow", c.body, c.header); a.status != c.status {
				t.Errorf("status %d %s, want %d", a.status, a.body, c.status)
			}
		})
	}
}

func TestSlowSettingsAtTheSameTimeAreAllKept(t *testing.T) {
	d := start(t, demo.Setting{})
	for range 20 {
		setSlow(t, d, `{"rate":1024,"stalled":false}`)
		var both sync.WaitGroup
		for _, body := range []string{`{"rate":2048}`, `{"stalled":true}`} {
			both.Go(func() { setSlow(t, d, body) })
		}
		both.Wait()
		a := ask(t, http.MethodPost, d.PageURL()+"demo/slow", `{}`, map[string]string{"Content-Type": "application/json"})
		if a.body != `{"rate":2048,"stalled":true}`+"\n" {
			t.Fatalf("both set, and then: %s", a.body)
		}
	}
}

func TestEveryAnswerHasAStrictPolicy(t *testing.T) {
	d := start(t, demo.Setting{})
	for path, status := range map[string]int{
		"": 200, "app.js": 200, "style.css": 200, "icon.svg": 200, "demo/about": 200, "nothing": 404, "demo/slow": 405,
	} {
		a := ask(t, http.MethodGet, d.PageURL()+path, "", nil)
		csp := a.header.Get("Content-Security-Policy")
		if a.status != status || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET /%s: %d with policy %q, want %d and a strict one", path, a.status, csp, status)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET /%s: no nosniff", path)
		}
	}
	page := ask(t, http.MethodGet, d.PageURL(), "", nil).body
	page = regexp.MustCompile(`<a href="https://[^"]*"`).ReplaceAllString(page, "<a") // where a viewer may go loads nothing
	if inline := regexp.MustCompile(`(?i)<style|<script(>|[^>]*[^>s]>\s*[^<\s])|\sstyle=|\son\w+=|https?://`).FindString(page); inline != "" {
		t.Errorf("the page has %q: nothing may be inline or from elsewhere", inline)
	}
}

func TestCurlPublishesWhenPasted(t *testing.T) {
	d := start(t, demo.Setting{})
	parts := regexp.MustCompile(`^curl -H '([^:]+): ([^']+)' -d '([^']+)' (http://\S+)$`).FindStringSubmatch(d.Curl())
	if parts == nil {
		t.Fatalf("curl line %q", d.Curl())
	}
	a := ask(t, http.MethodPost, parts[4], parts[3], map[string]string{parts[1]: parts[2]})
	if a.status != http.StatusOK || !strings.Contains(a.body, "messageId") {
		t.Errorf("answered %d %s", a.status, a.body)
	}
}

func TestTakenPortIsPassedOverUnlessItWasAskedFor(t *testing.T) {
	first := start(t, demo.Setting{})
	u, err := url.Parse(first.PageURL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := demo.New(demo.Options{Port: port}); err == nil || !strings.Contains(err.Error(), u.Host) {
		t.Errorf("New on the taken port: %v, want an error with %s", err, u.Host)
	}
	any := func() *demo.Demo { return run(t, demo.Options{Port: demo.NextFree, ManagementPort: demo.NextFree}) }
	if a, b := any(), any(); a.PageURL() == b.PageURL() {
		t.Errorf("both at %s", a.PageURL())
	}
}
