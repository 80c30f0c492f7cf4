package admin_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tail opens a tail and returns a function that reads the next event.
func (f *fixture) tail(ctx context.Context, server *httptest.Server, query string) (next func() string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/tail?"+query, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = response.Body.Close() })
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		f.t.Fatalf("tail %s: %d %q", query, response.StatusCode, got)
	}
	lines := bufio.NewReader(response.Body)
	return func() string {
		var event strings.Builder
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return io.EOF.Error()
			}
			if line == "\n" {
				return event.String()
			}
			event.WriteString(line)
		}
	}
}

func TestTailShowsWhatIsPublished(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	all, one := f.tail(ctx, server, "namespace=/feed"), f.tail(ctx, server, "namespace=/feed&topic=user:7")
	for _, next := range []func() string{all, one} {
		if got := next(); got != ": tail\n" {
			t.Fatalf("begins with %q", got)
		}
	}
	for _, body := range []string{
		`{"namespace":"/feed","topic":"prices","id":"p1","payload":{"a":` + "\r\n" + ` "<b>"}}`,
		`{"namespace":"/feed","topic":"user:7","id":"u1","payload":null}`,
		`{"namespace":"/feed","topic":"user:7","id":"u2","payloadBase64":"AAE="}`,
		`{"namespace":"/feed","topic":"user:7","id":"u3","payloadBase64":""}`,
	} {
		if w := f.do(http.MethodPost, "/api/publish", body); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	const prefix = "event: message\ndata: "
	users := []string{
		prefix + `{"topic":"user:7","messageId":"u1","offset":1,"payload":null}` + "\n",
		prefix + `{"topic":"user:7","messageId":"u2","offset":2,"payloadBase64":"AAE="}` + "\n",
		prefix + `{"topic":"user:7","messageId":"u3","offset":3,"payloadBase64":""}` + "\n",
	}
	for _, want := range append([]string{prefix + `{"topic":"prices","messageId":"p1","offset":1,"payload":{"a":"<b>"}}` + "\n"}, users...) {
		if got := all(); got != want {
			t.Errorf("namespace: %q, want %q", got, want)
		}
	}
	for _, want := range users {
		if got := one(); got != want {
			t.Errorf("topic: %q, want %q", got, want)
		}
	}
}

func TestTailEndsWhenTheServerCloses(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	next := f.tail(t.Context(), server, "namespace=/feed")
	next()
	close(f.done)
	if got := next(); got != io.EOF.Error() {
		t.Errorf("after the close: %q", got)
	}
}

func TestTailTellsWhatItMissed(t *testing.T) {
	f := setUp(t)
	w := &gate{ResponseRecorder: httptest.NewRecorder(), entered: make(chan struct{}), open: make(chan struct{})}
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		f.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/tail?namespace=/feed", nil))
		close(ended)
	}()
	<-w.entered // the reader stalls
	const published = 300
	for range published {
		f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1}`)
	}
	w.wanted = make(chan struct{})
	w.want = "event: missed\ndata: {\"count\":44}\n" // the tap holds 256
	close(w.open)
	<-w.wanted
	leave()
	<-ended
}

// gate holds its first write until it is opened, and tells when a text was written.
type gate struct {
	*httptest.ResponseRecorder
	entered, open, wanted chan struct{}
	want                  string
	stood                 bool
}

func (g *gate) Write(p []byte) (int, error) {
	if !g.stood {
		g.stood = true
		close(g.entered)
		<-g.open
	}
	n, err := g.ResponseRecorder.Write(p)
	if strings.Contains(string(p), g.want) {
		close(g.wanted)
	}
	return n, err
}

func TestQuietTailSendsKeepAlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		ctx, leave := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() {
			f.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/tail?namespace=/feed", nil))
			close(ended)
		}()
		time.Sleep(46 * time.Second)
		leave()
		<-ended
		if got, want := w.Body.String(), ": tail\n\n:\n\n:\n\n:\n\n"; got != want {
			t.Errorf("46 quiet seconds: %q, want %q", got, want)
		}
	})
}

func TestTailsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		ctx, leave := context.WithCancel(t.Context())
		for range 64 {
			go f.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/tail?namespace=/feed", nil))
		}
		synctest.Wait()
		if w := f.do(http.MethodGet, "/api/tail?namespace=/feed", ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("one tail too many: %d", w.Code)
		}
		leave()
		synctest.Wait()
		again, leave := context.WithCancel(t.Context())
		leave()
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, httptest.NewRequestWithContext(again, http.MethodGet, "/api/tail?namespace=/feed", nil))
		if w.Code != http.StatusOK {
			t.Errorf("after the others have left: %d", w.Code)
		}
	})
}

// TestTailOfAPatternFollowsItsTopics.
func TestTailOfAPatternFollowsItsTopics(t *testing.T) {
	f := setUp(t)
	tap := f.hub.Tap("/feed", "user:*")
	defer tap.Close()
	f.publish("prices")
	f.publish("user:7")
	if m := <-tap.C; m.Message.Topic != "user:7" {
		t.Errorf("saw %s", m.Message.Topic)
	}
}
