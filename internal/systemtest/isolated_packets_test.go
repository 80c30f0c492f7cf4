package systemtest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// withChecks is limited with a check of /feed, and counts how often the application was asked, and told of a client that came
// or left.
func withChecks(t *testing.T, so weir.ServerOptions, limits ...weir.InboundLimit) (srv *weir.Server, asked, came, left *atomic.Int64) {
	t.Helper()
	asked, came, left = new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)
	srv, _ = limited(t, so, limits...)
	n := srv.Namespace("/feed")
	n.Use(func(context.Context, *weir.Socket) error { asked.Add(1); return nil })
	for _, n := range []*weir.Namespace{n, srv.Namespace("/other")} {
		n.OnConnect(func(context.Context, *weir.Socket) error { came.Add(1); return nil })
	}
	n.OnDisconnect(func(context.Context, *weir.Socket, string) { left.Add(1) })
	return srv, asked, came, left
}

// comeAndGo has a client join and leave /other, where nobody is asked, so many times without waiting for anything.
func (p *peer) comeAndGo(times int) {
	p.t.Helper()
	var all []byte
	for range times {
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, []byte("40/other,"))
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, []byte("41/other,"))
	}
	_, _ = p.conn.Write(all) // it may be closed meanwhile
}

// Who leaves a namespace and joins it again on the same connection goes on where it was.
func TestComingBackToANamespaceResetsNoLimit(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, j := limited(t, so, weir.InboundLimit{Events: "job", Messages: 3, Window: ages, Action: weir.InboundDrop})
			p := dial(t, addr(srv), "/feed", nil, dialOptions{})
			p.sendJobs("/feed", 0, 2)
			if handled, _ := p.answersTo(3); len(handled) != 3 {
				t.Fatalf("handled %v", handled)
			}
			for range 3 {
				p.send("41/feed,")
				p.join("/feed", nil)
				if got := p.asks("/feed", "job", 1); !strings.Contains(got, `"code":"limited"`) {
					t.Fatalf("after it has come back: %s", got)
				}
			}
			p.join("/other", nil)
			if got := p.asks("/other", "job", 1); got != "43/other,9[1]" {
				t.Errorf("in another namespace: %s", got)
			}
			if n := len(j.numbers()); n != 4 {
				t.Errorf("%d jobs handled, want 4", n)
			}
			if held := metric(t, srv, "weir_memory_held_bytes", `what="limits"`); held <= 0 {
				t.Errorf("%v bytes held for the limits of a client that is there", held)
			}
			_ = p.conn.Close()
			eventually(t, "all is given back", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="limits"`) == 0 })
		})
	}
}

// A flood of CONNECT and DISCONNECT into a limit that throttles: the application hears of it at the rate of the limit, and the
// client is not read beyond.
func TestConnectFloodIsThrottled(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, _, came, _ := withChecks(t, so, weir.InboundLimit{Messages: 6, Window: ages})
			p := dialRaw(t, addr(srv), dialOptions{})
			p.comeAndGo(500)
			eventually(t, "it is throttled", func() bool { return metric(t, srv, "weir_clients_throttled") == 1 })
			if n := came.Load(); n > 3 { // a join and a leave are two
				t.Errorf("it came %d times within 6 packets", n)
			}
			if n := metric(t, srv, "weir_memory_held_bytes", `what="inbound"`); n > 512<<10 {
				t.Errorf("%v bytes held of a client that is not read", n)
			}
		})
	}
}

// Packets that wait have their turn, in their order: in the end all were dealt with, and the client is where it wanted to be.
func TestThrottledConnectHasItsTurn(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, _, came, left := withChecks(t, so, weir.InboundLimit{Messages: 3, Window: 200 * time.Millisecond})
			p := dialRaw(t, addr(srv), dialOptions{})
			for range 4 { // one answer each: a client that goes before it was let in is another matter
				p.join("/feed", nil)
				p.send("41/feed,")
			}
			p.join("/feed", nil)
			eventually(t, "all have come and gone", func() bool { return came.Load() == 5 && left.Load() == 4 })
			if n := metric(t, srv, "weir_rate_limited_total", `action="throttle"`, `dry_run="false"`); n < 1 {
				t.Errorf("%v packets had to wait", n)
			}
			if v := views(t, srv); len(v) != 1 || v[0].Namespace != "/feed" {
				t.Errorf("in the end: %+v", v)
			}
		})
	}
}

// A CONNECT whose turn comes after connectTimeout is not taken for a client that never joins: it has asked in time.
func TestThrottledConnectIsNotLate(t *testing.T) {
	so := weir.ServerOptions{}
	so.SocketIO.ConnectTimeout = 2 * time.Second
	srv, _, _, _ := withChecks(t, so, weir.InboundLimit{Events: "connect", Messages: 1, Window: 2 * time.Second, Per: weir.InboundPerAddress})
	waits := func() bool {
		return metric(t, srv, "weir_rate_limited_total", `action="throttle"`, `dry_run="false"`) > 0
	}
	for try := range 100 { // on a busy machine a CONNECT may be late itself, or none be too early
		p := dialRaw(t, addr(srv), dialOptions{})
		before := waits()
		_ = p.write("40/feed,")
		m, err := p.receive()
		if !before && waits() {
			if err != nil || !strings.HasPrefix(m, "40/feed,{") {
				t.Fatalf("try %d: answered %q, %v", try, m, err)
			}
			return
		}
	}
	t.Error("no CONNECT ever had to wait")
}

// Who joins nothing is late, though it asks all the time and limits have what it asks wait.
func TestThrottledStrangerIsLate(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			so.SocketIO.ConnectTimeout = 500 * time.Millisecond
			srv, _, _, _ := withChecks(t, so, weir.InboundLimit{Events: "connect", Messages: 1, Window: time.Second})
			p := dialRaw(t, addr(srv), dialOptions{})
			var all []byte
			for i := range 100 {
				all = ws.AppendMasked(all, ws.Text, [4]byte{}, fmt.Appendf(nil, "40/none%d,", i))
			}
			_, _ = p.conn.Write(all)
			for range 20 { // one a second
				if _, err := p.receive(); err != nil {
					return
				}
			}
			t.Error("still there after 20 turns, of which it joined nothing in any")
		})
	}
}

// A CONNECT that is dropped is answered, and nobody is asked about it. Paths that no namespace has are counted together.
func TestConnectFloodIsRefused(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, asked, _, _ := withChecks(t, so, weir.InboundLimit{Events: "connect", Messages: 2, Window: ages, Action: weir.InboundDrop})
			p := dialRaw(t, addr(srv), dialOptions{})
			const says = `{"message":"limited: more than 2 events or 1048576 bytes of connect in 1h0m0s for one socket (limits.inbound)","data":{"code":"limited","retryable":true}}`
			for range 2 {
				p.join("/feed", nil)
				p.send("41/feed,")
			}
			for range 100 {
				p.send("40/feed,")
				if got := p.next(); got != "44/feed,"+says {
					t.Fatalf("answered %s", got)
				}
			}
			if n := asked.Load(); n != 2 {
				t.Errorf("asked %d times, want 2", n)
			}
			for i := range 4 {
				p.send(fmt.Sprintf("40/none%d,", i))
				if got := p.next(); strings.Contains(got, `"code":"limited"`) != (i >= 2) {
					t.Errorf("path %d: answered %s", i, got)
				}
			}
			if n := metric(t, srv, "weir_rate_limited_total", `action="drop"`, `dry_run="false"`); n != 102 {
				t.Errorf("%v counted, want 102", n)
			}
		})
	}
}

// Who floods a server that disconnects for it is told why, and the third time its other sockets are sent away for good.
func TestConnectFloodEndsTheConnection(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			srv, asked, _, _ := withChecks(t, so, weir.InboundLimit{Events: "connect", Messages: 2, Window: ages, Action: weir.InboundDisconnect})
			for try := 1; try <= 3; try++ {
				p := dial(t, addr(srv), "/other", nil, dialOptions{})
				for range 2 {
					p.join("/feed", nil)
					p.send("41/feed,")
				}
				p.send("40/feed,")
				said := map[string]bool{}
				for m, err := p.receive(); err == nil; m, err = p.receive() {
					said[m[:min(len(m), 9)]] = true
				}
				if !said["44/feed,{"] || said["41/other,"] != (try == 3) {
					t.Errorf("try %d: the last words are %v", try, said)
				}
			}
			if n := metric(t, srv, "weir_cut_total", `cause="rate_limited"`); n != 3 || asked.Load() != 6 {
				t.Errorf("%v cut, asked %d times", n, asked.Load())
			}
		})
	}
}

// A DISCONNECT is never dropped, and ends a client where a limit says so.
func TestDisconnectPacketsAreCounted(t *testing.T) {
	srv, _, _, left := withChecks(t, weir.ServerOptions{}, weir.InboundLimit{Messages: 2, Window: ages, Action: weir.InboundDrop},
		weir.InboundLimit{Events: "disconnect", Messages: 1, Window: ages, Action: weir.InboundDisconnect, Per: weir.InboundPerAddress})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.sendJobs("/feed", 0, 1)
	if handled, refused := p.answersTo(2); len(handled) != 1 || len(refused) != 1 {
		t.Fatalf("handled %v, refused %v", handled, refused)
	}
	p.send("41/feed,")
	eventually(t, "it has left, though events are dropped", func() bool { return left.Load() == 1 })
	p.join("/other", nil)
	p.send("41/other,")
	if err := p.closed(); err != nil {
		t.Errorf("after the second DISCONNECT: %v", err)
	}
}

// A token that is longer than a limit's bytes lets its client in all the same.
func TestLongTokenFitsIntoALimit(t *testing.T) {
	srv, _, _, _ := withChecks(t, weir.ServerOptions{Auth: true}, weir.InboundLimit{Bytes: 100, Window: ages, Action: weir.InboundDrop})
	p := dial(t, addr(srv), "/feed", map[string]string{"token": strings.Repeat("x", 1000)}, dialOptions{})
	p.send("41/feed,")
	p.send(`40/feed,{"token":"x"}`)
	if got := p.next(); !strings.Contains(got, `"code":"limited"`) {
		t.Errorf("its bytes were not counted: %s", got)
	}
}

// Over TLS a record holds many events, and what was decrypted waits below the websocket: a client that is throttled loses none of
// it, in its order, though it sends nothing more and so nobody tells the server to read on.
func TestThrottledClientLosesNothingOverTLS(t *testing.T) {
	const many = 200
	srv, j := limited(t, weir.ServerOptions{TLS: newAuthority(t).place(t.TempDir(), "weir.example", nextYear())},
		weir.InboundLimit{Messages: 20, Window: 100 * time.Millisecond})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.sendJobs("/feed", 0, many-1) // in one write, and so in one record or two
	if handled, refused := p.answersTo(many); len(handled) != many || len(refused) != 0 {
		t.Errorf("%d handled, %d refused", len(handled), len(refused))
	}
	if got := j.numbers(); !slices.Equal(got, count(many)) {
		t.Errorf("handled %v: want them in order", got)
	}
	if n := metric(t, srv, "weir_rate_limited_total", `action="throttle"`, `dry_run="false"`); n < many/20 {
		t.Errorf("%v events had to wait", n)
	}
	eventually(t, "nothing is held of it", func() bool {
		return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0 && metric(t, srv, "weir_clients_throttled") == 0
	})
}
