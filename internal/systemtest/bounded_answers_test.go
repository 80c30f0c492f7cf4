package systemtest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// answering is a server whose handler "big" answers with its number and that many bytes, and "small" with its number. made
// counts answers of both, disconnected gets the reasons why clients have left.
type answering struct {
	*weir.Server
	made         atomic.Int64
	disconnected chan string
	sockets      chan *weir.Socket
}

const bigAnswer = 256 << 10

func startAnswering(t *testing.T, o weir.Options) *answering {
	t.Helper()
	a := &answering{disconnected: make(chan string, 10), sockets: make(chan *weir.Socket, 10)}
	padding := strings.Repeat("x", bigAnswer)
	a.Server = start(t, o, func(srv *weir.Server) {
		n := srv.Namespace("/feed")
		weir.Handle(n, "big", func(_ context.Context, _ *weir.Socket, i int) (string, error) {
			a.made.Add(1)
			return fmt.Sprintf("%d %s", i, padding), nil
		})
		weir.Handle(n, "small", func(_ context.Context, _ *weir.Socket, i int) (string, error) {
			a.made.Add(1)
			return fmt.Sprint(i), nil
		})
		n.OnConnect(func(_ context.Context, s *weir.Socket) error { a.sockets <- s; return nil })
		n.OnDisconnect(func(_ context.Context, _ *weir.Socket, reason string) { a.disconnected <- reason })
	})
	return a
}

// stopped waits until half of a client's events lane waits for it, and it is not read any more.
func stopped(t *testing.T, srv *weir.Server, s *weir.Socket) {
	t.Helper()
	eventually(t, "the client is not read any more", func() bool {
		return lane(client(t, srv, s.ID()), "").Bytes >= 1<<19 && slices.Contains(residue(t, s), "a list of what waits")
	})
}

// asks are so many asks, of which the first bigs are for a big answer.
func asks(total, bigs int) (all []string) {
	for i := range total {
		name := "small"
		if i < bigs {
			name = "big"
		}
		all = append(all, fmt.Sprintf(`42/feed,%d[%q,%d]`, i, name, i))
	}
	return all
}

// answers reads the answers to asks, in their order.
func answers(t *testing.T, total int, next func() string) {
	t.Helper()
	for i := range total {
		got, _, _ := strings.Cut(next(), "x")
		if want := fmt.Sprintf(`43/feed,%d["%d`, i, i); strings.TrimRight(got, ` "]`) != want {
			t.Fatalf("answer %d: %q, want %q", i, got, want)
		}
	}
}

// TestAnswersAreNotMadeForWhoDoesNotRead: a client asks thousands of times and reads nothing. What is held for it is half of its
// events lane and one answer; others are served meanwhile; and when it reads, it gets every answer, in order (P1, P3).
func TestAnswersAreNotMadeForWhoDoesNotRead(t *testing.T) {
	const total, bigs = 10_000 / heavy, 200 // an eighth of them used to be held at once
	srv := startAnswering(t, feed())
	healthy := newLean(t, addr(srv.Server), "/feed", leanOptions{})
	<-srv.sockets
	c := newLean(t, addr(srv.Server), "/feed", leanOptions{receiveBuffer: 64 << 10})
	s := <-srv.sockets
	before := measure(t)
	var all []byte
	for _, text := range asks(total, bigs) {
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, []byte(text))
	}
	sent := make(chan error, 1)
	go func() { _, err := c.conn.Write(all); sent <- err }()
	stopped(t, srv.Server, s)
	isBounded(t, srv, c.sid, before)
	for i := range 100 {
		if err := healthy.send(fmt.Sprintf(`42/feed,%d["small",%d]`, i, i)); err != nil {
			t.Fatal(err)
		}
	}
	answers(t, 100, func() string { return textOf(t, healthy) })
	isBounded(t, srv, c.sid, before)
	answers(t, total, func() string { return textOf(t, c) })
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func textOf(t *testing.T, c *lean) string {
	t.Helper()
	text, err := c.text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// isBounded fails the test unless what is held for a client that reads nothing is half of its events lane and one answer.
func isBounded(t *testing.T, srv *answering, id string, before footprint) {
	t.Helper()
	if l := lane(client(t, srv.Server, id), ""); l.Bytes > 1<<19+bigAnswer+100 || l.Depth == 0 {
		t.Errorf("%d B in %d answers wait for a client that reads nothing", l.Bytes, l.Depth)
	}
	if n := srv.made.Load(); n > 100+20 { // what the kernel took as well
		t.Errorf("%d answers were made for a client that reads nothing", n)
	}
	before.grewLess(t, 8<<20)
}

// The same over polling, where a POST has many packets.
func TestAnswersAreNotMadeForWhoDoesNotPoll(t *testing.T) {
	const total, bigs = 10_000 / heavy, 200
	srv := startAnswering(t, feed())
	p := newPoller(t, addr(srv.Server))
	p.post("40/feed,")
	s := <-srv.sockets
	p.get()
	before := measure(t)
	posted := make(chan string, 1)
	go func() { posted <- p.ask("POST", strings.Join(asks(total, bigs), "\x1e")) }()
	stopped(t, srv.Server, s)
	isBounded(t, srv, s.ID(), before)
	var got []string
	answers(t, total, func() string {
		for len(got) == 0 {
			got = strings.Split(p.get(), "\x1e")
		}
		next := got[0]
		got = got[1:]
		return next
	})
	if body := <-posted; body != "ok" {
		t.Errorf("POST: %q", body)
	}
}

// TestWhoDoesNotReadItsAnswersIsGivenUp: its connection is not read, so its pongs cannot come, and it is ended all the same,
// as whoever takes nothing of what waits for it: by its heartbeat, or by the kernel where that is first.
func TestWhoDoesNotReadItsAnswersIsGivenUp(t *testing.T) {
	const total = 1000
	ways := map[string]func(t *testing.T, srv *answering){
		"websocket": func(t *testing.T, srv *answering) {
			c := newLean(t, addr(srv.Server), "/feed", leanOptions{receiveBuffer: 64 << 10})
			var all []byte
			for _, text := range asks(total, total) {
				all = ws.AppendMasked(all, ws.Text, [4]byte{}, []byte(text))
			}
			go func() { _, _ = c.conn.Write(all) }()
		},
		"polling": func(t *testing.T, srv *answering) {
			p := newPoller(t, addr(srv.Server))
			p.post("40/feed,")
			p.get()
			go func() {
				resp, err := http.Post(p.url, "text/plain", strings.NewReader(strings.Join(asks(total, total), "\x1e"))) //nolint:noctx // it ends with the server
				if err == nil {
					_ = resp.Body.Close()
				}
			}()
		},
	}
	for name, comes := range ways {
		t.Run(name, func(t *testing.T) {
			o := withDriver(feed())
			o.Servers[0].SocketIO = weir.SocketIOOptions{PingInterval: time.Second, PingTimeout: time.Second}
			srv := startAnswering(t, o)
			comes(t, srv)
			select {
			case reason := <-srv.disconnected:
				if reason != "ping timeout" && (name == "polling" || reason != "transport error") {
					t.Errorf("left for %q", reason)
				}
			case <-time.After(patience):
				t.Error("a client that reads nothing, and whose asks wait for that, is never given up")
			}
		})
	}
}

// TestAcknowledgementsAreReadWhileHandlersWait: what needs no answer does not wait for the answers to be read; what the client
// asks of the server itself is answered in turn.
func TestAcknowledgementsAreReadWhileHandlersWait(t *testing.T) {
	orders := weir.TopicOptions{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew}
	srv := startAnswering(t, feed(orders))
	c := dial(t, addr(srv.Server), "/feed", nil, dialOptions{receiveBuffer: 64 << 10})
	c.subscribe("/feed", "orders")
	publish(t, srv.Server, "orders", 1)
	id := idOf(t, c.next())
	answered := make(chan error, 1)
	go func() {
		_, err := (<-srv.sockets).Ask(t.Context(), "q")
		answered <- err
	}()
	question := c.next()
	const bigs = 40
	for _, text := range asks(bigs, bigs) {
		c.send(text)
	}
	eventually(t, "answers wait to be read", func() bool { return lane(client(t, srv.Server, c.sid), "").Bytes >= 1<<19 })

	c.send("43" + strings.TrimPrefix(question[:strings.IndexByte(question, '[')], "42") + "[]")
	if err := <-answered; err != nil {
		t.Errorf("Ask: %v", err)
	}
	c.emit("/feed", 101, "weir:ack", map[string]any{"topic": "orders", "messageId": id})
	eventually(t, "the message is acknowledged", func() bool { return lane(client(t, srv.Server, c.sid), "orders").Acked == 1 })
	c.emit("/feed", 102, "weir:unsubscribe", map[string]any{"topic": "orders"})
	c.emit("/feed", 103, "weir:subscribe", map[string]any{"topic": "orders"})
	c.emit("/feed", 104, "weir:subscribe", map[string]any{"topic": "none"})

	want := map[string]string{
		"101": `[{"ok":true,"settled":true}]`, "102": `[{"ok":true,`, "103": `[{"ok":true,`, "104": `[{"ok":false,`,
	}
	for i := 0; i < bigs || len(want) > 0; {
		got := c.next()
		if strings.HasPrefix(got, fmt.Sprintf(`43/feed,%d["%d xxx`, i, i)) {
			i++
			continue
		}
		ack, rest, _ := strings.Cut(strings.TrimPrefix(got, "43/feed,"), "[")
		if prefix, asked := want[ack]; !asked || !strings.HasPrefix("["+rest, prefix) {
			t.Fatalf("after %d answers: %.80q", i, got)
		}
		delete(want, ack)
	}
}

// idOf is the id of the reliable message in a packet.
func idOf(t *testing.T, packet string) string {
	t.Helper()
	_, rest, _ := strings.Cut(packet, `"messageId":"`)
	id, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatalf("no message: %s", packet)
	}
	return id
}

// TestHandlersOfWhoHasLeftDoNotWait: what had arrived is handled, though nobody has read the answers.
func TestHandlersOfWhoHasLeftDoNotWait(t *testing.T) {
	srv := startAnswering(t, feed())
	c := newLean(t, addr(srv.Server), "/feed", leanOptions{receiveBuffer: 64 << 10})
	s := <-srv.sockets
	var all []byte
	for _, text := range asks(500, 500) {
		all = ws.AppendMasked(all, ws.Text, [4]byte{}, []byte(text))
	}
	go func() { _, _ = c.conn.Write(all) }()
	stopped(t, srv.Server, s)
	made := srv.made.Load()
	_ = c.conn.Close()
	<-srv.disconnected // the last job of its mailbox
	if n := srv.made.Load(); n < made+100 {
		t.Errorf("%d of the 128 events in its mailbox were handled", n-made)
	}
}
