package systemtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

// oracle is an AuthFunc that hangs until it is told to go on, or its context ends.
type oracle struct {
	open        chan struct{}
	asked, lost atomic.Int64 // calls, and those whose context ended
	once        sync.Once
}

func newOracle() *oracle { return &oracle{open: make(chan struct{})} }

func (o *oracle) authenticate(ctx context.Context, r weir.AuthRequest) (weir.Identity, error) {
	o.asked.Add(1)
	select {
	case <-o.open:
		return weir.Identity{Principal: r.Token}, nil
	case <-ctx.Done():
		o.lost.Add(1)
		return weir.Identity{}, ctx.Err()
	}
}

func (o *oracle) answer() { o.once.Do(func() { close(o.open) }) }

// outside is a server whose /secret asks the oracle, and whose other namespaces do not; /own has a topic that does.
func (o *oracle) outside(t *testing.T, pool weir.OutsideOptions, connectTimeout time.Duration) *weir.Server {
	t.Helper()
	t.Cleanup(o.answer) // before the server ends
	srv := start(t, weir.Options{
		Authenticate: o.authenticate, Outside: pool,
		Servers: []weir.ServerOptions{{
			Auth: true, SocketIO: weir.SocketIOOptions{ConnectTimeout: connectTimeout},
			Namespaces: []weir.NamespaceOptions{
				{Path: "/"}, {Path: "/secret", AuthRequired: true},
				{Path: "/own", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices", AuthRequired: true}}},
			},
		}},
	}, func(srv *weir.Server) {
		for _, path := range []string{"/", "/secret", "/own"} {
			srv.Namespace(path).On("echo", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "echo") })
		}
	})
	t.Cleanup(o.answer)
	return srv
}

// knocks opens that many connections that ask to be let into /secret.
func knocks(t *testing.T, srv *weir.Server, n int) (all []*peer) {
	t.Helper()
	for range n {
		p := dialRaw(t, addr(srv), dialOptions{})
		p.send(`40/secret,{"token":"t"}`)
		all = append(all, p)
	}
	return all
}

// echoes fails unless a handler answers the client.
func (p *peer) echoes(namespace string) {
	p.t.Helper()
	p.emit(namespace, 7, "echo")
	if got := p.packet(); got.id != 7 || string(got.args[0]) != `"echo"` {
		p.t.Fatalf("the handler's answer is %+v", got)
	}
}

func outsideIs(t *testing.T, srv *weir.Server, running, queued float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v checks run and %v wait", running, queued), func() bool {
		return metric(t, srv, "weir_outside_running") == running && metric(t, srv, "weir_outside_queued") == queued
	})
}

// At the defaults, 256 checks that hang hold up neither handlers nor clients that nobody has to be asked about; the next
// ones wait for theirs, and all get in when the hang is over.
func TestHungChecksHoldUpNoHandler(t *testing.T) {
	const most, more = 256, 20
	o := newOracle()
	srv := o.outside(t, weir.OutsideOptions{}, 0)
	early := dial(t, addr(srv), "/", nil, dialOptions{})
	waiting := knocks(t, srv, most+more)
	outsideIs(t, srv, most, more)
	early.echoes("/")
	dial(t, addr(srv), "/own", nil, dialOptions{}).echoes("/own")
	if n := metric(t, srv, "weir_workers_running"); n != 0 {
		t.Errorf("%v handlers are running", n)
	}
	if o.asked.Load() != most || metric(t, srv, "weir_outside_refused_total") != 0 {
		t.Errorf("%d of %d were asked about, %v refused", o.asked.Load(), most+more, metric(t, srv, "weir_outside_refused_total"))
	}
	o.answer()
	for _, p := range waiting {
		if got := p.next(); !strings.HasPrefix(got, "40/secret,") {
			t.Fatalf("CONNECT is answered %q", got)
		}
	}
	waiting[most].echoes("/secret")
	outsideIs(t, srv, 0, 0)
}

// Where as many wait as may, who comes is refused at once with a code that says to try again; so is a request of a client
// that is in, and its handlers go on.
func TestChecksBeyondTheQueueAreRefusedAsBusy(t *testing.T) {
	o := newOracle()
	srv := o.outside(t, weir.OutsideOptions{Max: 1, Queue: 2}, 0)
	in := dial(t, addr(srv), "/own", nil, dialOptions{})
	waiting := knocks(t, srv, 1)
	outsideIs(t, srv, 1, 0)
	waiting = append(waiting, knocks(t, srv, 2)...)
	outsideIs(t, srv, 1, 2)
	late := knocks(t, srv, 1)[0]
	const refusal = `44/secret,{"message":"busy: too many wait to be decided on","data":{"code":"busy","retryable":true}}`
	if got := late.next(); got != refusal {
		t.Errorf("beyond the queue CONNECT is answered\n%s, want\n%s", got, refusal)
	}
	for id, request := range []string{"subscribe", "publish"} {
		body := map[string]any{"topic": "prices", "token": "t"}
		if request == "publish" {
			body["payload"] = 1
		}
		in.emit("/own", id, request, body)
		answer := in.packet()
		if got, want := string(answer.args[0]), `"code":"busy"`; answer.id != uint64(id) || !strings.Contains(got, want) {
			t.Errorf("%s is answered %s, want it to have %s", request, got, want)
		}
	}
	in.echoes("/own")
	if n := metric(t, srv, "weir_outside_refused_total"); n != 3 {
		t.Errorf("%v refusals are counted, want 3", n)
	}
	o.answer()
	for _, p := range waiting {
		if got := p.next(); !strings.HasPrefix(got, "40/secret,") {
			t.Errorf("CONNECT is answered %q", got)
		}
	}
}

// The time to connect is the time to decide: then the client is gone, the call's context has ended, and the place is free
// for others, of which those that waited as long are gone too.
func TestConnectTimeoutEndsHungChecks(t *testing.T) {
	o := newOracle()
	srv := o.outside(t, weir.OutsideOptions{Max: 2}, 300*time.Millisecond)
	waiting := knocks(t, srv, 5)
	for _, p := range waiting {
		if err := p.closed(); err != nil {
			t.Error(err)
		}
	}
	outsideIs(t, srv, 0, 0)
	if asked, lost := o.asked.Load(), o.lost.Load(); asked != lost {
		t.Errorf("%d calls, %d of them with a context that ended", asked, lost)
	}
	// A client that is in one namespace stays, and is told of the other.
	p := dial(t, addr(srv), "/", nil, dialOptions{})
	p.send(`40/secret,{"token":"t"}`)
	if got := p.next(); !strings.HasPrefix(got, `44/secret,{"message":"unavailable: `) {
		t.Errorf("CONNECT is answered %q", got)
	}
	p.echoes("/")
	o.answer()
	dial(t, addr(srv), "/secret", map[string]any{"token": "t"}, dialOptions{}).echoes("/secret")
}

// A client that leaves takes the call about it with it.
func TestACheckEndsWithItsClient(t *testing.T) {
	o := newOracle()
	srv := o.outside(t, weir.OutsideOptions{Max: 1}, 0)
	for n := range int64(3) {
		p := knocks(t, srv, 1)[0]
		eventually(t, "the check is asked", func() bool { return o.asked.Load() == n+1 })
		if err := p.conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all calls have ended", func() bool { return o.lost.Load() == 3 })
	outsideIs(t, srv, 0, 0)
}

// While a client's request is being decided its handlers wait, and only its.
func TestAnUndecidedRequestHoldsUpItsSocketOnly(t *testing.T) {
	o := newOracle()
	srv := o.outside(t, weir.OutsideOptions{Max: 4}, 0)
	a, b := dial(t, addr(srv), "/own", nil, dialOptions{}), dial(t, addr(srv), "/own", nil, dialOptions{})
	a.emit("/own", 1, "subscribe", map[string]any{"topic": "prices", "token": "t"})
	a.emit("/own", 2, "echo")
	a.emit("/own", 3, "publish", map[string]any{"topic": "prices", "token": "t", "payload": 9})
	outsideIs(t, srv, 1, 1)
	b.echoes("/own")
	o.answer()
	var answers []uint64
	for len(answers) < 3 {
		if p := a.packet(); p.name == "" {
			answers = append(answers, p.id)
			var body struct{ OK bool }
			if p.id != 2 && (json.Unmarshal(p.args[0], &body) != nil || !body.OK) {
				t.Errorf("request %d is answered %s", p.id, p.args)
			}
		}
	}
	if answers[0] != 1 { // the others' come on different ways
		t.Errorf("answered in the order %v", answers)
	}
}

// A check may end its goroutine or panic: its client is refused, and its place is free.
func TestChecksThatEndBadlyFreeTheirPlace(t *testing.T) {
	srv := start(t, weir.Options{Outside: weir.OutsideOptions{Max: 1}, Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, func(srv *weir.Server) {
		srv.Namespace("/").Use(func(ctx context.Context, s *weir.Socket) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a check has no deadline")
			}
			switch string(s.Handshake().Auth) {
			case `{"end":"panic"}`:
				panic("at the disco")
			case `{"end":"goexit"}`:
				runtime.Goexit()
			}
			return nil
		})
	})
	for _, end := range []string{"panic", "goexit"} {
		p := dialRaw(t, addr(srv), dialOptions{})
		p.send(`40{"end":"` + end + `"}`)
		if got := p.next(); !strings.HasPrefix(got, `44{"message":"internal`) {
			t.Errorf("%s: CONNECT is answered %q", end, got)
		}
	}
	dial(t, addr(srv), "/", nil, dialOptions{})
	outsideIs(t, srv, 0, 0)
}

// While a server ends nobody can be asked any more, and handlers still run: what would have to be asked is refused then, not
// taken for granted.
func TestWhatCannotBeAskedIsRefused(t *testing.T) {
	o := newOracle()
	srv := o.outside(t, weir.OutsideOptions{}, 0)
	in := dial(t, addr(srv), "/own", nil, dialOptions{})
	if err := attach.Tests.CloseOutside(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	for id, request := range []string{"subscribe", "publish"} {
		body := map[string]any{"topic": "prices", "token": "t"}
		if request == "publish" {
			body["payload"] = 1
		}
		in.emit("/own", id, request, body)
		answer := in.packet()
		if got, want := string(answer.args[0]), `"code":"draining"`; answer.id != uint64(id) || !strings.Contains(got, want) {
			t.Errorf("%s is answered %s, want it to have %s", request, got, want)
		}
	}
	if got := knocks(t, srv, 1)[0].next(); !strings.HasPrefix(got, `44/secret,{"message":"draining: `) {
		t.Errorf("CONNECT is answered %q", got)
	}
	in.echoes("/own")
	if n := o.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
