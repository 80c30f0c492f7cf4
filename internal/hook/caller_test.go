package hook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/hook"
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

// log is what was logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// rig is a caller with a backend, which the test gives.
type rig struct {
	*hook.Connect
	log  log
	held atomic.Int64
	most atomic.Int64
}

func newRig(t *testing.T, backend http.HandlerFunc, change func(*hook.ConnectOptions)) *rig {
	t.Helper()
	server := httptest.NewServer(backend)
	r := new(rig)
	hold := func(n int) {
		now := r.held.Add(int64(n))
		for most := r.most.Load(); now > most && !r.most.CompareAndSwap(most, now); most = r.most.Load() {
		}
	}
	o := hook.ConnectOptions{
		Options: hook.Options{
			Name: "connect", URL: server.URL, Secrets: [][]byte{bytes.Repeat([]byte("k"), 32)}, Timeout: patience, Max: 4, Waiting: 1000, MaxAnswer: 4096,
			After: 3, Pause: time.Hour, Claim: func(n int) error { hold(n); return nil }, Hold: hold, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		},
		Headers: []string{"Cookie", "User-Agent"}, CacheEntries: 100, CacheBytes: 1 << 20,
	}
	if change != nil {
		change(&o)
	}
	r.Connect = hook.NewConnect(o)
	t.Cleanup(func() {
		r.Close()
		r.Close()
		server.CloseClientConnections()
		server.Close()
		if n := r.held.Load(); n != 0 {
			t.Errorf("%d bytes are held of what has ended", n)
		}
		if s := r.Stats(); s.Running+s.Waiting != 0 {
			t.Errorf("after Close: %+v", s)
		}
	})
	return r
}

// ask waits for an answer.
func (r *rig) ask(t *testing.T, token string) (hook.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return r.Answer(ctx, &hook.Question{Namespace: "/n", Token: token})
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestEachFaultOfABackendHasItsResult(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	hangs := func(r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that its client goes away
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}
	breaks := func(before string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, before)
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		backend http.HandlerFunc
		want    hook.Result
		opens   bool // such calls in a row open the breaker
	}{
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { hangs(r) }, hook.Late, true},
		"hangs mid-body": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"allow":`)
			w.(http.Flusher).Flush()
			hangs(r)
		}, hook.Late, true},
		"breaks":          {breaks(""), hook.Unreachable, false},
		"breaks mid-body": {breaks("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"allow\":true"), hook.Unreachable, false},
		"no HTTP":         {breaks("220 smtp.example.com ESMTP\r\n"), hook.Unreachable, false},
		"huge header":     {breaks("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), hook.Unreachable, false},
		"huge":            {say(`{"allow":true,"data":"` + strings.Repeat("x", 1<<20) + `"}`), hook.TooLarge, false},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, hook.TooLarge, false},
		"garbage": {say(`<html>`), hook.Garbage, false},
		"empty":   {say(``), hook.Garbage, false},
		"500":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, hook.Status, false},
		"401":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"allow":true}`, http.StatusUnauthorized) }, hook.Status, false},
		"204":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, hook.Status, false},
		"429":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, hook.Status, false},
		"503":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, hook.Status, true},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, hook.Redirect, false},
		"see other":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) }, hook.Redirect, false},
		"not proper": {say(`{"allow":true,"topic":{"sub":[]}}`), hook.Garbage, false},
	} {
		t.Run(name, func(t *testing.T) {
			var elsewhere atomic.Bool
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					elsewhere.Store(true)
				}
				c.backend(w, r)
			}, func(o *hook.ConnectOptions) {
				if c.want == hook.Late {
					o.Timeout = 20 * time.Millisecond
				}
				o.CacheFor = time.Hour
			})
			for i := range 5 {
				a, err := r.ask(t, "token")
				want := c.want
				if c.opens && i >= 3 {
					want = hook.Broken
				}
				if hook.ResultOf(err) != want || err == nil || a.Allow {
					t.Fatalf("call %d: %+v, %v; want %v", i, a, err, want)
				}
			}
			if s := r.Stats(); (s.Breaker == hook.Open) != c.opens || s.Results[c.want] == 0 {
				t.Errorf("breaker %v, results %v", s.Breaker, s.Results)
			}
			if elsewhere.Load() {
				t.Error("a redirect was followed")
			}
			if n := r.log.count("hook failed"); n != 1 {
				t.Errorf("%d lines of failures: %s", n, r.log.b.String())
			}
			if n := r.log.count("not asked for a while"); (n == 1) != c.opens {
				t.Errorf("%d lines of an open breaker", n)
			}
			if strings.Contains(r.log.b.String(), "127.0.0.1") && name != "closed" {
				t.Errorf("the log tells an address: %s", r.log.b.String())
			}
		})
	}
}

// One client whose question makes somebody drop the connection is not what the others are refused for.
func TestOneClientDoesNotOpenTheBreaker(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("poison")) {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"allow":true}`)
	}, nil)
	r.askUntilAnswered(t)
	for range 10 {
		if _, err := r.ask(t, "poison"); hook.ResultOf(err) != hook.Unreachable {
			t.Fatal(err)
		}
	}
	if _, err := r.ask(t, "good"); err != nil {
		t.Error(err)
	}
}

func TestAClosedPortIsUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://user:password@" + ln.Addr().String() + "/?secret"
	_ = ln.Close()
	r := newRig(t, nil, func(o *hook.ConnectOptions) { o.URL = url })
	for _, want := range []hook.Result{hook.Unreachable, hook.Unreachable, hook.Unreachable, hook.Broken} {
		if _, err := r.ask(t, ""); hook.ResultOf(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if r.log.count("secret")+r.log.count("password") != 0 {
		t.Errorf("the log tells secrets: %s", r.log.b.String())
	}
}

func TestBackendThatComesBackIsAskedAgain(t *testing.T) {
	var gone atomic.Bool
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"allow":true,"principal":"alice"}`)
	}, func(o *hook.ConnectOptions) { o.Pause = 10 * time.Millisecond })
	for range 3 {
		gone.Store(true)
		for opened := false; !opened; {
			_, err := r.ask(t, "")
			opened = hook.ResultOf(err) == hook.Broken
			if err == nil {
				t.Fatal("let in by a backend that is gone")
			}
		}
		gone.Store(false)
		for again := false; !again; {
			a, err := r.ask(t, "")
			again = err == nil && a.Principal == "alice"
			if err != nil && hook.ResultOf(err) != hook.Broken {
				t.Fatal(err)
			}
		}
	}
	if open, well := r.log.count("not asked for a while"), r.log.count("asked again"); open != 3 || well != 3 {
		t.Errorf("%d and %d lines: %s", open, well, r.log.b.String())
	}
}

// A stampede: never more calls than may be, each client has an answer, those beyond the line are told at once, and the
// memory is bounded.
func TestStampede(t *testing.T) {
	var now, most atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"allow":true}`)
	}, func(o *hook.ConnectOptions) { o.Max, o.Waiting = 10, 300 })
	var wg sync.WaitGroup
	var in, full atomic.Int64
	for range 500 {
		wg.Go(func() {
			switch _, err := r.ask(t, "token"); {
			case err == nil:
				in.Add(1)
			case hook.ResultOf(err) == hook.Full:
				full.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 10 || in.Load()+full.Load() != 500 || in.Load() < 310 {
		t.Errorf("%d calls at once, %d in, %d refused", most.Load(), in.Load(), full.Load())
	}
	if most := r.most.Load(); most > 500*(13<<10)+10*4096 || most < 11*(12<<10) { // those refused are counted for a moment
		t.Errorf("%d bytes were held", most)
	}
}

// Of many who show one token while the backend is slow, those who have not had their turn when it answers need none.
func TestOneTokenIsAskedAboutOnce(t *testing.T) {
	var calls atomic.Int64
	begun, answer := make(chan struct{}, 1000), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		begun <- struct{}{}
		<-answer
		_, _ = io.Copy(w, strings.NewReader(`{"allow":true,"principal":"alice"}`))
	}, func(o *hook.ConnectOptions) { o.Max, o.CacheFor = 1, time.Hour })
	told := make(chan error, 100)
	for range 100 {
		r.Ask(t.Context(), &hook.Question{Namespace: "/n", Token: "token"}, func(a hook.Answer, err error) {
			if a.Principal != "alice" {
				t.Errorf("%+v", a)
			}
			told <- err
		})
	}
	<-begun
	close(answer)
	for range 100 {
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
	if s := r.Stats(); s.Results[hook.Cached] != 99 || s.Results[hook.Answered] != 1 {
		t.Errorf("%v", s.Results)
	}
}

// What one token was answered is never told to another, to the same in another namespace, or to who has none; nor is a
// refusal kept.
func TestAnswersAreOfTheirTokens(t *testing.T) {
	var calls atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, token, _ := strings.Cut(string(body), `"token":"`)
		token, _, _ = strings.Cut(token, `"`)
		if strings.HasPrefix(token, "bad") {
			_, _ = io.WriteString(w, `{"allow":false}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"allow":true,"principal":%q,"data":{"n":1}}`, token)
	}, func(o *hook.ConnectOptions) { o.CacheFor = time.Hour })
	tokens := []string{"a", "A", "a ", "a\\u0000", "__proto__", "constructor", "toString", "hasOwnProperty", "a/n", "1", "01"}
	for round := range 3 {
		for _, token := range tokens {
			if a, err := r.ask(t, token); err != nil || a.Principal != strings.ReplaceAll(token, `\`, `\\`) && a.Principal != token {
				t.Errorf("round %d: %q is %q, %v", round, token, a.Principal, err)
			}
		}
	}
	if n := calls.Load(); n != int64(len(tokens)) {
		t.Errorf("%d calls for %d tokens", n, len(tokens))
	}
	before := calls.Load()
	for range 2 {
		if a, err := r.ask(t, "bad"); err != nil || a.Allow {
			t.Error(a, err)
		}
		if _, err := r.ask(t, ""); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Answer(t.Context(), &hook.Question{Namespace: "/m", Token: "a"}); err != nil || calls.Load() != before+5 {
		t.Errorf("%d calls, %v", calls.Load()-before, err)
	}
}

func TestWhoGoesAwayIsForgotten(t *testing.T) {
	begun, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	r := newRig(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that its client goes away
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}, func(o *hook.ConnectOptions) { o.Max = 1 })
	ask := func() (leave context.CancelFunc, told chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		told = make(chan error, 1)
		r.Ask(ctx, &hook.Question{Namespace: "/n"}, func(_ hook.Answer, err error) { told <- err })
		return cancel, told
	}
	leave, told := ask()
	<-begun
	leaveLine, toldLine := ask()
	if s := r.Stats(); s.Running != 1 || s.Waiting != 1 {
		t.Fatalf("%+v", s)
	}
	leaveLine()
	if err := <-toldLine; hook.ResultOf(err) != hook.Left || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	leave()
	if err := <-told; hook.ResultOf(err) != hook.Left {
		t.Error(err)
	}
	<-ended // the backend is told, too
	if s := r.Stats(); s.Breaker != hook.Closed || s.Results[hook.Left] != 2 {
		t.Errorf("%+v", s)
	}
	_, told = ask()
	<-begun
	_, toldLine = ask()
	r.Close()
	for _, c := range []chan error{told, toldLine} {
		if err := <-c; hook.ResultOf(err) != hook.Ended {
			t.Error(err)
		}
	}
	if _, told := ask(); hook.ResultOf(<-told) != hook.Ended {
		t.Error("a call after Close")
	}
}

// What a question has, and that it is bounded before anybody is asked.
func TestQuestion(t *testing.T) {
	bodies := make(chan string, 1)
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
		for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "weir-hook/connect", "X-Idempotency-Key": ""} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		_, _ = io.WriteString(w, `{"allow":false,"message":"no"}`)
	}, nil)
	header := http.Header{
		"Cookie": {`sid=1; __proto__="x"; sid=2`, `constructor=y`}, "User-Agent": {"test"}, "Authorization": {"Bearer secret"},
	}
	a, err := r.Answer(t.Context(), &hook.Question{
		Server: "feed", Namespace: "/n", Token: "t", Auth: []byte(`{"token":"t", "__proto__": {"admin": true}}`), Header: header, Query: "EIO=4", Address: "192.0.2.1", TLS: true,
	})
	if err != nil || a.Allow || a.Message != "no" {
		t.Fatal(a, err)
	}
	want := `{"hook":"connect","server":"feed","namespace":"/n","token":"t","auth":{"token":"t","__proto__":{"admin":true}},` +
		`"headers":{"cookie":"sid=1; __proto__=\"x\"; sid=2; constructor=y","user-agent":"test"},"cookies":{"__proto__":"x","constructor":"y","sid":"1"},` +
		`"query":"EIO=4","address":"192.0.2.1","tls":true}`
	if body := <-bodies; body != want {
		t.Errorf("body %s", body)
	}
	if _, err := r.Answer(t.Context(), &hook.Question{Token: "a\xff"}); !errors.Is(err, hook.ErrQuestion) {
		t.Error(err)
	}
	for raw, want := range map[string]error{`{"token":`: hook.ErrQuestion, `"` + strings.Repeat("x", hook.MaxQuestion) + `"`: hook.ErrTooLong} {
		if _, err := r.Answer(t.Context(), &hook.Question{Auth: []byte(raw)}); !errors.Is(err, want) {
			t.Errorf("%.20s: %v", raw, err)
		}
	}
}

func TestABudgetThatIsSpentAsksNobody(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") }, func(o *hook.ConnectOptions) {
		o.Claim = func(int) error { return errors.New("spent") }
	})
	if _, err := r.ask(t, ""); hook.ResultOf(err) != hook.Full {
		t.Error(err)
	}
}
