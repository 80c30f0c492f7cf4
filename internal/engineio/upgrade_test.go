package engineio_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/wire/ws"
)

var errTest = errors.New("refused by the test")

const badRequest = `{"code":3,"message":"Bad request"}`

func (r *rig) probe(h *host) *socket { return r.dial(newWebSocket + "&sid=" + h.s.ID()) }

func TestUpgradeMovesTheSession(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	waiting := h.waitingGet(q)
	h.send("over polling")
	(<-waiting).want(t, 200, "4over polling")

	waiting = h.waitingGet(q)
	r.advance(100 * time.Millisecond)
	(<-waiting).want(t, 200, "6")
	h.send("kept")
	c.send("5", "4first") // its own buffered packets follow at once
	h.wantMessage("first")
	c.want("4kept")
	h.send("over websocket", "binary:x")
	c.want("4over websocket", "binary:x")

	h.do(func() {
		if h.s.Transport() != engineio.WebSocket {
			t.Errorf("transport %s", h.s.Transport())
		}
	})
	r.request("GET", q, "").want(t, 400, badRequest)
	r.request("POST", q, "4x").want(t, 400, badRequest)
	if got := r.server.Stats(); got.Upgrades != 1 || got.UpgradesFailed != 0 || got.Polling != 0 || got.WebSocket != 1 {
		t.Errorf("stats %+v", got)
	}
	r.advance(25 * time.Second)
	c.want("2")
	_ = c.conn.Close()
	h.wantClosed(base.CauseTransportClose)
	r.request("GET", q, "").want(t, 400, unknownSID)
}

// A client that sits on a GET cannot upgrade before that ends.
func TestProbeReleasesTheGetThatWaits(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	waiting := h.waitingGet(q)
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	(<-waiting).want(t, 200, "6")                                 // the clock stands still
	for _, d := range []time.Duration{10, 20, 40, 80, 100, 100} { // a client that comes again must not spin
		waiting = h.waitingGet(q)
		r.advance(d*time.Millisecond - 1)
		h.do(func() {
			if h.s.Window() == 0 {
				t.Errorf("answered before %v ms", int64(d))
			}
		})
		r.advance(1)
		(<-waiting).want(t, 200, "6")
	}
	waiting = h.waitingGet(q)
	r.advance(20 * time.Millisecond)
	c.send("5") // a client that does not wait for its GET
	(<-waiting).want(t, 200, "6")
	h.send("x")
	c.want("4x")
}

// A GET that is sent after 5, on another connection, may be read before it: npm has read both in order, and refuses it.
func TestGetThatOvertakesTheUpgradeIsRefused(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	waiting := h.waitingGet(q)
	c.send("5")
	(<-waiting).want(t, 400, `{"code":3,"message":"Bad request"}`)
	r.request("GET", q, "").want(t, 400, `{"code":3,"message":"Bad request"}`)
	h.send("x")
	c.want("4x")
}

func TestUpgradeProbeThatFailsLeavesTheSession(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func(r *rig, c *socket)
	}{
		{"wrong packet", func(_ *rig, c *socket) { c.send("4x") }},
		{"bare ping", func(_ *rig, c *socket) { c.send("2") }},
		{"malformed packet", func(_ *rig, c *socket) { c.send("9") }},
		{"binary", func(_ *rig, c *socket) { c.write(ws.Binary, "x") }},
		{"time-out", func(r *rig, _ *socket) { r.advance(10 * time.Second) }},
		{"time-out after the probe", func(r *rig, c *socket) {
			c.send("2probe")
			c.want("3probe")
			r.advance(10 * time.Second)
		}},
		{"end", func(_ *rig, c *socket) { c.write(ws.Close, "") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, nil)
			h, q := r.pollingSession()
			c := r.probe(h)
			c.send("2probe")
			c.want("3probe") // it is the session's probe now
			tc.fail(r, c)
			c.want("close:")
			if tc.name != "end" { // where the client's was the first
				c.write(ws.Close, "")
			}
			c.wantEOF()
			waiting := h.waitingGet(q)
			h.send("still here")
			(<-waiting).want(t, 200, "4still here")
			h.until(func() bool { return r.server.Stats().UpgradesFailed == 1 })
			again := r.probe(h)
			again.send("2probe", "5")
			again.want("3probe")
			h.send("moved")
			again.want("4moved")
		})
	}
}

func TestUpgradeSecondWebSocketIsClosed(t *testing.T) {
	r := newRig(t, nil)
	h, _ := r.pollingSession()
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	r.probe(h).wantClosed() // while upgrading
	c.send("5", "4x")
	h.wantMessage("x")
	r.probe(h).wantClosed() // and after
	h.send("y")
	c.want("4y")

	h, c = r.webSocketSession()
	r.probe(h).wantClosed()
	h.send("z")
	c.want("4z")
}

func TestUpgradeAnswersPingFramesOfTheProbe(t *testing.T) {
	r := newRig(t, nil)
	h, _ := r.pollingSession()
	c := r.probe(h)
	c.write(ws.Ping, "p")
	c.want("pong:p")
	c.send("5")
	c.write(ws.Ping, "q")
	c.want("pong:q")
}

func TestUpgradeKeepsThePause(t *testing.T) {
	r := newRig(t, nil)
	h, _ := r.pollingSession()
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	h.do(h.s.Pause)
	c.send("5")
	h.until(func() bool { return h.s.Transport() == engineio.WebSocket })
	c.send("4x")
	r.request("GET", "?", "") // time in which it would have come
	h.do(func() {
		if len(h.messages) > 0 {
			t.Error("delivered while paused")
		}
	})
	h.do(h.s.Resume)
	h.wantMessage("x")
}

func TestUpgradeWaitsForTheResponseUnderWay(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	large := strings.Repeat("x", 16<<20) // more than the kernel takes
	h.send(large)
	conn, err := net.Dial("tcp", r.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /socket.io/%s HTTP/1.1\r\nHost: weir\r\n\r\n", q); err != nil {
		t.Fatal(err)
	}
	h.until(func() bool { return h.s.Unsent() > 0 })
	c := r.probe(h)
	c.send("2probe", "5") // without having read it
	c.want("3probe")
	h.until(func() bool { return h.s.Transport() == engineio.WebSocket })
	h.send("after")
	h.do(func() {
		if h.s.Window() != 0 || len(h.queue) == 0 {
			t.Error("written while a response is under way")
		}
	})
	res := rawAnswer{conn: conn, in: bufio.NewReader(conn)}
	res.read(t)
	res.want(t, 200, "4"+large)
	c.want("4after")
}

func TestSessionThatClosesTakesItsProbeAlong(t *testing.T) {
	r := newRig(t, nil)
	h, _ := r.pollingSession()
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	h.do(func() { h.s.Abort(base.CauseAdmin) })
	c.wantClosed()
	h.wantClosed(base.CauseAdmin)
}

// A client that upgrades at a random moment of traffic in both directions, as
// the official one does it: nothing is lost, repeated or reordered.
func TestUpgradeUnderTrafficKeepsOrder(t *testing.T) {
	const rounds, count = 12, 300
	for round := range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d seed %d", round, seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			r := newRig(t, nil)
			h, q := r.pollingSession()
			sent := make(chan struct{})
			bursts := burst(rnd, count)
			go func() {
				defer close(sent)
				n := 0
				for _, size := range bursts {
					var batch []string
					for range size {
						batch = append(batch, fmt.Sprint(n))
						n++
					}
					h.send(batch...)
				}
			}()
			got := r.upgradeUnderTraffic(h, q, rnd.IntN(10), count)
			<-sent
			for i, m := range got {
				if m != fmt.Sprint("4", i) {
					t.Fatalf("message %d is %s", i, m)
				}
			}
			for i := range 20 {
				h.wantMessage(fmt.Sprint("up", i))
			}
		})
	}
}

func burst(rnd *rand.Rand, total int) (sizes []int) {
	for total > 0 {
		n := min(total, 1+rnd.IntN(12))
		sizes = append(sizes, n)
		total -= n
	}
	return sizes
}

// upgradeUnderTraffic polls a few times, upgrades, and returns the messages it
// got; it sends "up0" to "up19" on the way.
func (r *rig) upgradeUnderTraffic(h *host, q string, polls, count int) (got []string) {
	up := 0
	post := func(n int) (packets []string) {
		for range n {
			packets = append(packets, fmt.Sprint("4up", up))
			up++
		}
		return packets
	}
	collect := func(body string) {
		for p := range strings.SplitSeq(body, "\x1e") {
			if p[0] == '4' {
				got = append(got, p)
			}
		}
	}
	for range polls {
		if len(got) < count {
			collect(r.request("GET", q, "").body)
		}
		r.request("POST", q, strings.Join(post(1), "\x1e"))
	}
	pending := r.background("GET", q, "")
	c := r.probe(h)
	c.send("2probe")
	c.want("3probe")
	for paused := false; !paused; { // the GET that waits has to end first
		select {
		case res := <-pending:
			collect(res.body)
			paused = true
		default:
			waits := false
			if h.do(func() { waits = h.s.Window() > 0 }); waits {
				r.advance(100 * time.Millisecond)
			}
		}
	}
	c.send("5")
	c.send(post(20 - up)...)
	for len(got) < count {
		if p := c.next(); p[0] == '4' {
			got = append(got, p)
		}
	}
	return got
}
