package engineio_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/transport/looptest"
	"github.com/streamweir/weir/internal/wire/ws"
)

// rig is a server on loopback whose one loop has a clock that only advance
// moves.
type rig struct {
	t      testing.TB
	loop   *looptest.Loop
	server *engineio.Server
	http   *httptest.Server
	clock  atomic.Int64
	opened chan *host

	// The loop's.
	hosts map[*host]int64 // deadlines

	// Set before requests are made.
	refuse func(r *http.Request) *engineio.Refusal
	onOpen func(h *host)

	onAssign func()
}

func newRig(t testing.TB, change func(o *engineio.Options)) *rig {
	r := &rig{t: t, loop: looptest.New(t), opened: make(chan *host, 64), hosts: map[*host]int64{}}
	o := engineio.Options{Loops: []base.Loop{r.loop}, Now: r.clock.Load}
	if change != nil {
		change(&o)
	}
	var err error
	if r.server, err = engineio.New(o, r); err != nil {
		t.Fatal(err)
	}
	r.server.BeatExactly()
	r.http = httptest.NewServer(r.server)
	t.Cleanup(r.close)
	return r
}

// close ends everything at once.
func (r *rig) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.server.Close(ctx) // sessions may be left: that is what the error says
	r.http.CloseClientConnections()
	r.http.Close()
	http.DefaultClient.CloseIdleConnections()
}

func (r *rig) Admit(req *http.Request) *engineio.Refusal {
	if r.refuse == nil {
		return nil
	}
	return r.refuse(req)
}

func (r *rig) Assign(string) int {
	if r.onAssign != nil {
		r.onAssign()
	}
	return 0
}

func (r *rig) Open(s *engineio.Session, h *engineio.Handshake) engineio.Host {
	kept := *h
	out := &host{rig: r, s: s, handshake: &kept, messages: make(chan string, 4096), closed: make(chan ended, 2)}
	r.hosts[out] = 0
	if r.onOpen != nil {
		r.onOpen(out)
	}
	r.opened <- out
	return out
}

// advance moves the clock by d; deadlines on the way expire at their time.
func (r *rig) advance(d time.Duration) {
	r.loop.Do(func() {
		target := r.clock.Load() + int64(d)
		for {
			var next *host
			for h, at := range r.hosts {
				if at != 0 && at <= target && (next == nil || at < r.hosts[next]) {
					next = h
				}
			}
			if next == nil {
				break
			}
			r.clock.Store(max(r.clock.Load(), r.hosts[next]))
			r.hosts[next] = 0
			next.s.Expire(r.clock.Load())
			if at := r.hosts[next]; at != 0 && at <= r.clock.Load() {
				r.t.Errorf("deadline %v is not after now %v", at, r.clock.Load())
				return
			}
		}
		r.clock.Store(target)
	})
}

// ended is how a session was closed.
type ended struct {
	cause base.Cause
	err   error
}

// host is the delivery side of a session: a queue that is flushed as the
// contract says.
type host struct {
	rig       *rig
	s         *engineio.Session
	handshake *engineio.Handshake
	messages  chan string // "binary:" before binary ones
	closed    chan ended

	// The loop's.
	queue  []byte // whole frames
	rest   []byte // of a batch taken in part
	refuse error  // what Message returns
	over   bool
	unread bool // what Unread says
	calls  int  // of Writable
}

func (h *host) Message(data []byte, binary bool) error {
	h.alive()
	text := string(data)
	if binary {
		text = "binary:" + text
	}
	h.messages <- text
	return h.refuse
}

func (h *host) Writable() {
	h.alive()
	h.calls++
	h.flush()
}

func (h *host) Deadline(at int64) { h.rig.hosts[h] = at }

func (h *host) Unread() bool { return h.unread }

func (h *host) Faulted(base.Cause) { h.flush() }

func (h *host) Closed(cause base.Cause, err error) {
	h.alive()
	h.over = true
	delete(h.rig.hosts, h)
	h.closed <- ended{cause, err}
}

func (h *host) alive() {
	if h.over {
		h.rig.t.Error("called after Closed")
	}
}

func (h *host) flush() {
	for h.s.Window() > 0 {
		batch := h.rest
		if len(batch) == 0 {
			batch = append(h.s.Control(nil), h.take(h.s.Window())...)
		}
		if len(batch) == 0 {
			return
		}
		n, err := h.s.Write(batch, base.Packable)
		if err != nil {
			return
		}
		h.rest = batch[n:]
	}
}

// take removes whole frames of up to window bytes, at least one, from the queue.
func (h *host) take(window int) []byte {
	n := 0
	for n < len(h.queue) {
		_, head, payload := ws.ServerFrame(h.queue[n:])
		if n > 0 && n+head+payload > window {
			break
		}
		n += head + payload
	}
	out := h.queue[:n]
	h.queue = h.queue[n:]
	return out
}

// send queues messages; those that start with "binary:" as binary ones.
func (h *host) send(messages ...string) {
	h.rig.loop.Do(func() {
		for _, m := range messages {
			if data, ok := strings.CutPrefix(m, "binary:"); ok {
				h.queue = ws.AppendFrame(h.queue, ws.Binary, []byte(data))
			} else {
				h.queue = ws.AppendFrame(h.queue, ws.Text, []byte("4"+m))
			}
		}
		h.flush()
	})
}

func (h *host) do(f func()) { h.rig.loop.Do(f) }

func (h *host) wantMessage(want string) {
	h.rig.t.Helper()
	if got := <-h.messages; got != want {
		h.rig.t.Fatalf("message %.40q, want %.40q", got, want)
	}
}

func (h *host) wantClosed(cause base.Cause) ended {
	h.rig.t.Helper()
	got := <-h.closed
	if got.cause != cause {
		h.rig.t.Fatalf("closed with %v (%v), want %v", got.cause, got.err, cause)
	}
	return got
}

// wantOpen fails if the session is no longer open: it has no deadline then.
func (h *host) wantOpen() {
	h.rig.t.Helper()
	h.do(func() {
		if h.rig.hosts[h] == 0 {
			h.rig.t.Error("the session is closing or closed")
		}
	})
}

// response is what an HTTP request was answered.
type response struct {
	status int
	body   string
	header http.Header
}

func (r *rig) request(method, query, body string, headers ...string) response {
	r.t.Helper()
	out, err := r.try(r.t.Context(), method, query, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// try makes a request of the server's path; headers are names and values.
func (r *rig) try(ctx context.Context, method, query, body string, headers ...string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.http.URL+"/socket.io/"+query, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.http.Client().Do(req)
	if err != nil {
		return response{}, err
	}
	text, err := io.ReadAll(res.Body)
	return response{res.StatusCode, string(text), res.Header}, errors.Join(err, res.Body.Close())
}

const newPolling = "?EIO=4&transport=polling"

// pollingSession makes a session and returns its host and the query of its
// requests.
func (r *rig) pollingSession() (*host, string) {
	r.t.Helper()
	res := r.request(http.MethodGet, newPolling, "")
	if res.status != http.StatusOK || !strings.HasPrefix(res.body, "0{") {
		r.t.Fatalf("handshake: %d %s", res.status, res.body)
	}
	h := <-r.opened
	h.until(func() bool { return h.calls == 2 }) // when it was opened, and when the response was written
	return h, newPolling + "&sid=" + h.s.ID()
}

// background makes a request whose answer comes later.
func (r *rig) background(method, query, body string, headers ...string) <-chan response {
	out := make(chan response, 1)
	ctx := r.t.Context()
	go func() {
		res, err := r.try(ctx, method, query, body, headers...)
		if err != nil {
			res.body = err.Error()
		}
		out <- res
	}()
	return out
}

// waitingGet makes a GET and returns when the session has it.
func (h *host) waitingGet(query string) <-chan response {
	res := h.rig.background(http.MethodGet, query, "")
	h.until(func() bool { return h.s.Window() > 0 })
	return res
}

// until waits for a condition that the loop sees.
func (h *host) until(met func() bool) {
	h.rig.t.Helper()
	for ok := false; !ok; {
		if err := h.rig.t.Context().Err(); err != nil {
			h.rig.t.Fatal(err)
		}
		h.do(func() { ok = met() })
	}
}

func (r response) want(t testing.TB, status int, body string) {
	t.Helper()
	if r.status != status || r.body != body {
		t.Fatalf("answered %d %.80q, want %d %.80q", r.status, r.body, status, body)
	}
}
