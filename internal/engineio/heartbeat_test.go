package engineio_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/transport"
)

const (
	interval = 25 * time.Second // the defaults
	timeout  = 20 * time.Second
)

func TestHeartbeatPingsEveryInterval(t *testing.T) {
	t.Run("websocket", func(t *testing.T) {
		r := newRig(t, nil)
		h, c := r.webSocketSession()
		for range 3 {
			r.advance(interval - 1)
			h.send("before") // not a ping yet
			c.want("4before")
			r.advance(1)
			c.want("2")
			c.send("3", "4after")
			h.wantMessage("after")
		}
	})
	t.Run("polling", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		for range 3 {
			waiting := h.waitingGet(q)
			r.advance(interval)
			(<-waiting).want(t, 200, "2")
			r.request("POST", q, "3").want(t, 200, "ok")
		}
	})
}

func TestHeartbeatClosesASilentPeer(t *testing.T) {
	t.Run("websocket", func(t *testing.T) {
		r := newRig(t, nil)
		h, c := r.webSocketSession()
		r.advance(interval)
		c.want("2")
		r.advance(timeout - 1)
		h.wantOpen()
		r.advance(1)
		h.wantClosed(base.CausePingTimeout)
		c.wantEOF()
	})
	t.Run("polling, ping answered by nothing", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		waiting := h.waitingGet(q)
		r.advance(interval)
		(<-waiting).want(t, 200, "2")
		h.until(func() bool { return h.calls == 5 }) // the GET, the ping, its response written
		r.advance(timeout - 1)
		h.wantOpen()
		r.advance(1)
		h.wantClosed(base.CausePingTimeout)
	})
	t.Run("polling, no request at all", func(t *testing.T) {
		r := newRig(t, nil)
		h, _ := r.pollingSession()
		r.advance(interval + timeout - 1)
		h.wantOpen()
		r.advance(1)
		h.wantClosed(base.CausePingTimeout)
	})
}

func TestHeartbeatTakesAnyByteForLife(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	for range 6 { // its pongs are stuck behind a large upload
		r.advance(timeout / 2)
		c.send("4busy")
		h.wantMessage("busy")
	}
	h.wantOpen()
	c.want("2") // and it is still pinged: it counts on that
	c.want("2")
}

func TestHeartbeatTakesTheKernelsProgressForLife(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	frame := strings.Repeat("x", 16<<10)
	blocked := func() bool { return h.s.Window() == 0 }
	for full := false; !full; h.do(func() { full = blocked() }) {
		h.send(frame)
	}
	r.advance(interval) // the ping is due, behind data the client does not read
	for range 8 {
		before := 0
		h.do(func() { before = h.calls })
		for calls := before; calls == before; h.do(func() { calls = h.calls }) {
			c.next() // slowly: until the socket takes a little more
		}
		r.advance(timeout / 2)
		h.wantOpen()
		for full := false; !full; h.do(func() { full = blocked() }) {
			h.send(frame)
		}
	}
	r.advance(interval + timeout) // it stopped
	r.advance(timeout)
	h.wantClosed(base.CausePingTimeout)
}

// A client that hangs while its kernel takes what little comes is ended; a slow reader, which answers late, is not.
func TestSilenceEndsASessionWhateverItsKernelTakes(t *testing.T) {
	const silence = 4 * (interval + timeout)
	r := newRig(t, nil)
	h, _ := r.webSocketSession()
	slow, d := r.webSocketSession()
	step := func(n int) {
		for range n {
			for _, at := range []*host{h, slow} {
				at.send("tick") // our own kernel takes it: progress
				at.do(func() {
					for at.s.Unsent() > 0 {
						continue
					}
				})
			}
			r.advance(10 * time.Second)
		}
	}
	step(int(silence/(10*time.Second)) - 2)
	h.wantOpen()
	d.send("3") // its first byte since
	d.send("4alive")
	slow.wantMessage("alive")
	step(1)
	h.wantOpen()
	step(1)
	h.wantClosed(base.CausePingTimeout)
	slow.wantOpen()

	r = newRig(t, func(o *engineio.Options) { o.MaxSilence = interval + timeout })
	h, q := r.pollingSession()
	for range 2 { // a GET is a sign of life
		r.advance(interval)
		r.request("GET", q, "").want(t, 200, "2")
		r.request("POST", q, "3").want(t, 200, "ok")
	}
	r.advance(interval + timeout)
	h.wantClosed(base.CausePingTimeout)
}

func TestHeartbeatDoesNotCountOurOwnPause(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	h.do(h.s.Pause)
	r.advance(10 * (interval + timeout))
	h.wantOpen()
	h.do(h.s.Resume)
	r.advance(timeout / 2)
	h.wantOpen()
	r.advance(interval + timeout)
	h.wantClosed(base.CausePingTimeout)
	c.want("2")
}

// A client that is not read because it does not take what waits for it is dead unless it takes something; its pong is not
// missed, which nobody reads.
func TestHeartbeatOfAPeerThatIsNotReadForItsOwnUnreadAnswers(t *testing.T) {
	stalls := func(r *rig) *host {
		h, _ := r.webSocketSession()
		h.do(func() { h.unread = true; h.s.Pause() })
		return h
	}
	r := newRig(t, nil)
	idle, slow := stalls(r), stalls(r)
	for range 20 * (interval + timeout) / (10 * time.Second) {
		slow.send("tick") // the kernel takes it: progress
		slow.do(func() {
			for slow.s.Unsent() > 0 {
				continue
			}
		})
		r.advance(10 * time.Second)
		slow.wantOpen()
	}
	idle.wantClosed(base.CausePingTimeout)
	slow.do(func() { slow.unread = false; slow.s.Resume() })
	r.advance(timeout / 2)
	slow.wantOpen()

	r = newRig(t, nil)
	h, q := r.pollingSession()
	h.do(func() { h.unread = true; h.s.Pause() })
	for range 3 { // whoever takes something lives, though its POST is not read
		r.advance(interval)
		h.send("tick")
		calls := 0
		h.do(func() { calls = h.calls })
		if got := r.request("GET", q, ""); got.status != 200 {
			t.Fatalf("GET: %d", got.status)
		}
		h.until(func() bool { return h.calls == calls+2 }) // the GET has come, and its response is noted as written
	}
	r.advance(interval + timeout - time.Millisecond)
	h.wantOpen()
	r.advance(time.Millisecond)
	h.wantClosed(base.CausePingTimeout)
}

func TestPacketsOnAWebSocket(t *testing.T) {
	for _, tc := range []struct {
		packet, message string
		closed          bool
		cause           base.Cause
	}{
		{packet: "4hello", message: "hello"},
		{packet: "4", message: ""},
		{packet: "bAQID", message: "binary:\x01\x02\x03"},
		{packet: "3"}, {packet: "5"}, {packet: "6"}, {packet: "0"},
		{packet: "", closed: true, cause: base.CauseParseError},
		{packet: "7", closed: true, cause: base.CauseParseError},
		{packet: "b*", closed: true, cause: base.CauseParseError},
		{packet: "2", closed: true, cause: base.CauseTransportError},
		{packet: "2probe", closed: true, cause: base.CauseTransportError},
		{packet: "1", closed: true, cause: base.CauseTransportClose},
	} {
		t.Run(tc.packet, func(t *testing.T) {
			r := newRig(t, nil)
			h, c := r.webSocketSession()
			c.send(tc.packet, "4next")
			if tc.closed {
				c.wantClosed()
				h.wantClosed(tc.cause)
				if len(h.messages) > 0 {
					t.Error("a packet behind it was delivered")
				}
				return
			}
			if tc.message != "" || tc.packet == "4" {
				h.wantMessage(tc.message)
			}
			h.wantMessage("next")
		})
	}
}

func TestMessageRefusedByTheHostClosesWithParseError(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	h.do(func() { h.refuse = errTest })
	c.send("4bad", "4next")
	c.wantClosed()
	if got := h.wantClosed(base.CauseParseError); !errors.Is(got.err, errTest) {
		t.Errorf("error %v", got.err)
	}
	if len(h.messages) != 1 {
		t.Errorf("%d messages", len(h.messages))
	}
}

func TestShortHeartbeatsDoNotSpin(t *testing.T) {
	r := newRig(t, func(o *engineio.Options) {
		o.PingInterval, o.PingTimeout = time.Millisecond, time.Millisecond
	})
	h, _ := r.pollingSession()
	r.advance(time.Second) // advance fails on a deadline that does not move on
	h.wantClosed(base.CausePingTimeout)
}

// The acknowledgement of the ping itself is no second life, however late it is
// seen; that of anything else is.
func TestHeartbeatJudgesTheKernelsFigures(t *testing.T) {
	const second = time.Second
	progress := func(given, left, taken int64) transport.Progress {
		return transport.Progress{Given: given, Left: left, Taken: taken}
	}
	type ask struct {
		at   time.Duration
		p    transport.Progress
		want string
	}
	for _, tc := range []struct {
		name    string
		written transport.Progress // right after the ping, at 25 s
		asks    []ask
	}{
		{"only the ping is acknowledged", progress(103, 103, 100), []ask{
			{44 * second, progress(103, 103, 103), "wait"}, {45 * second, progress(103, 103, 103), "dead"},
		}},
		{"what was before it is still coming through", progress(503, 503, 100), []ask{
			{45 * second, progress(503, 503, 300), "wait"}, {50 * second, progress(503, 503, 300), "ping"},
			{89 * second, progress(503, 503, 300), "wait"}, {90 * second, progress(503, 503, 300), "dead"},
		}},
		{"what came after it is taken", progress(103, 103, 100), []ask{
			{45 * second, progress(900, 900, 500), "wait"}, {50 * second, progress(900, 900, 500), "ping"},
		}},
		{"the ping never leaves", progress(503, 300, 100), []ask{
			{69 * second, progress(503, 300, 100), "wait"}, {70 * second, progress(503, 300, 100), "dead"},
		}},
		{"the ping leaves late", progress(503, 300, 100), []ask{
			{60 * second, progress(503, 503, 100), "wait"}, {79 * second, progress(503, 503, 100), "wait"},
			{80 * second, progress(503, 503, 100), "dead"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := engineio.NewHeartbeat(interval, timeout)
			if got := b.Ask(interval, progress(100, 100, 100)); got != "ping" {
				t.Fatalf("at the interval: %s", got)
			}
			b.Written(interval, tc.written)
			for _, a := range tc.asks {
				if got := b.Ask(a.at, a.p); got != a.want {
					t.Errorf("after %v: %s, want %s", a.at, got, a.want)
				}
			}
		})
	}
}

// A wave of sessions that begin at the same moment is not pinged at the same moment.
func TestFirstPingsOfAWaveAreSpread(t *testing.T) {
	r := engineio.NewRhythm(20*time.Second, time.Second)
	quarters := [4]int{}
	for range 4000 {
		early := r.Spread()
		if early < 0 || early > 5*time.Second {
			t.Fatalf("first ping %v early", early)
		}
		quarters[min(int(early*4/(5*time.Second)), 3)]++
	}
	for i, n := range quarters {
		if n < 700 {
			t.Errorf("%d of 4000 first pings in quarter %d of the time they are spread over", n, i+1)
		}
	}
}
