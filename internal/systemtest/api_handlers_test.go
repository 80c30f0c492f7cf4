package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
)

// A nil handler takes the place of the one before: nothing handles the event any more, and the client hears so.
func TestHandlerTakenAwayIsNoHandler(t *testing.T) {
	srv := start(t, feed(), func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.On("ask", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "ok") })
		n.On("ask", nil)
		n.On("ping", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, "pong") })
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.emit("/feed", 1, "ask")
	p.emit("/feed", 2, "ping")
	if got := p.packet(); got.name != "weir:error" || !strings.Contains(string(got.args[0]), "no_handler") {
		t.Errorf("told %s, want weir:error with no_handler", got.args)
	}
	if got := p.packet(); got.id != 2 {
		t.Errorf("answer to %d %s, want that of 2", got.id, got.args)
	}
}

// What is registered late counts for the next event, of the namespace or one socket.
func TestHandlersRegisteredLate(t *testing.T) {
	var n *weir.Namespace
	say := func(text string) weir.Handler {
		return func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, text) }
	}
	var seen atomic.Int64
	srv := start(t, feed(), func(s *weir.Server) {
		n = s.Namespace("/feed")
		n.On("x", say("first"))
		n.On("do", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			var what string
			if err := e.Decode(&what); err != nil {
				return err
			}
			switch what {
			case "ns":
				n.On("x", say("second"))
			case "own":
				s.On("x", say("own"))
			case "off":
				s.Off("x")
			case "ownany":
				s.OnAny(func(context.Context, *weir.Socket, *weir.Event) error { seen.Add(1); return nil })
			case "any":
				n.OnAny(func(context.Context, *weir.Socket, *weir.Event) error { seen.Add(100); return nil })
			case "filter":
				n.UseEvents(func(_ context.Context, _ *weir.Socket, e *weir.Event) error {
					if e.Name == "x" {
						return weir.Errorf(weir.ErrForbidden, "filtered")
					}
					return nil
				})
			case "y":
				n.On("y", say("why"))
			case "noop":
				s.Off("nothing")
			}
			return e.Reply(ctx, "done")
		})
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	q := dial(t, addr(srv), "/feed", nil, dialOptions{})
	ask := func(p *peer, event string, args ...any) string {
		t.Helper()
		p.emit("/feed", 5, event, args...)
		return fmt.Sprintf("%s", p.packet().args)
	}
	want := func(p *peer, event, answer string) {
		t.Helper()
		if got := ask(p, event); !strings.Contains(got, answer) {
			t.Errorf("%s answered %s, want %s", event, got, answer)
		}
	}
	want(p, "x", "first")
	ask(p, "do", "ns")
	want(p, "x", "second")
	ask(p, "do", "noop")
	want(p, "x", "second")
	ask(p, "do", "own")
	want(p, "x", "own")
	want(q, "x", "second")
	ask(p, "do", "off")
	want(p, "x", "second")
	want(p, "y", "no_handler")
	ask(p, "do", "y")
	want(p, "y", "why")
	want(q, "y", "why")
	ask(p, "do", "ownany")
	want(p, "x", "second")
	want(q, "x", "second")
	if n := seen.Load(); n != 1 {
		t.Errorf("seen %d", n)
	}
	ask(q, "do", "any")
	want(q, "x", "second")
	if n := seen.Load() / 100; n != 1 {
		t.Errorf("seen %d by the namespace's", n)
	}
	ask(q, "do", "filter")
	want(q, "x", "forbidden")
	want(p, "x", "forbidden")
	want(p, "z", "no_handler")
}

// Answers: each once, those of handlers in the order of the events, emits before and behind them in theirs, whatever
// the handlers do. Then nothing is held.
func TestEveryAnswerArrivesOnce(t *testing.T) {
	for _, c := range []struct {
		nice, most, mailbox int
		deflate             bool
	}{{0, 0, 0, false}, {1, 0, 0, false}, {1, 1, 0, false}, {0, 1, 4, true}, {1, 3, 4, true}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) { everyAnswer(t, c.nice, c.most, c.mailbox, c.deflate) })
	}
}

func everyAnswer(t *testing.T, nice, most, mailbox int, deflate bool) {
	o := weir.Options{Workers: weir.WorkerOptions{Max: most, Nice: nice, MailboxEvents: mailbox}}
	so := weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/feed", EventsLane: weir.Limits{Messages: 100000, Bytes: 64 << 20}}}}
	so.SocketIO.PerMessageDeflate = deflate
	o.Servers = []weir.ServerOptions{so}
	var others atomic.Int64
	srv := start(t, o, func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.UseEvents(func(context.Context, *weir.Socket, *weir.Event) error { return nil })
		n.On("in", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			_ = s.Emit(ctx, "before", e.JSON()[0])
			_ = e.Reply(ctx, e.JSON()[0], strings.Repeat("x", rand.IntN(3000)))
			_ = e.Reply(ctx, "twice")
			return s.Emit(ctx, "behind", e.JSON()[0])
		})
		n.On("go", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			others.Add(1)
			go func() {
				defer others.Add(-1)
				if rand.IntN(2) == 0 {
					<-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond)
				}
				_ = e.Reply(ctx, "later")
				_ = e.Reply(ctx, "twice")
			}()
			return nil
		})
		n.On("panic", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			_ = e.Reply(ctx, "p")
			panic("as planned")
		})
		n.On("exit", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			_ = e.Reply(ctx, "g")
			runtime.Goexit()
			return nil
		})
		n.On("fail", func(context.Context, *weir.Socket, *weir.Event) error { return errors.New("as planned") })
		n.On("slow", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			_ = e.Reply(ctx, "s")
			<-time.After(time.Duration(rand.IntN(3000)) * time.Microsecond)
			return nil
		})
		n.On("spin", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			for end := time.Now().Add(time.Duration(rand.IntN(1500)) * time.Microsecond); time.Now().Before(end); {
			}
			return e.Reply(ctx, "c")
		})
	})
	kinds := []string{"in", "in", "in", "in", "go", "go", "panic", "exit", "fail", "slow", "spin", "unknown"}
	events := 300
	if testing.Short() {
		events = 60
	}
	var peers sync.WaitGroup
	for k := range 8 {
		p := dial(t, addr(srv), "/feed", nil, dialOptions{})
		script := make([]string, events)
		for i := range script {
			script[i] = kinds[rand.IntN(len(kinds))]
		}
		peers.Go(func() {
			for i, kind := range script {
				b, _ := json.Marshal([]any{kind, i})
				if err := p.write(fmt.Sprintf("42/feed,%d%s", i, b)); err != nil {
					if k%4 != 3 {
						t.Error(err)
					}
					return
				}
			}
		})
		if k%4 == 3 { // leaves in the middle
			peers.Go(func() { <-time.After(20 * time.Millisecond); _ = p.conn.Close() })
			continue
		}
		peers.Go(func() { checkAnswers(t, p, script) })
	}
	peers.Wait()
	eventually(t, "nothing is held", func() bool { held, _ := srv.HeldBytes(); return held == 0 && others.Load() == 0 })
}

func checkAnswers(t *testing.T, p *peer, script []string) {
	answered := make([]int, len(script))
	missing, last, emits := len(script), -1, 0
	for _, kind := range script {
		switch kind {
		case "in":
			emits += 2
		case "unknown": // is told by an event, not answered
			missing--
			emits++
		}
	}
	state := map[int]string{}
	for missing > 0 || emits > 0 {
		text, err := p.receive()
		if err != nil {
			t.Errorf("%d answers and %d emits missing: %v", missing, emits, err)
			for i, n := range answered {
				if n == 0 {
					t.Errorf("the first missing: %d, %s", i, script[i])
					break
				}
			}
			return
		}
		pk := decode(t, text)
		if pk.typ != sio.Ack {
			var i int
			_ = json.Unmarshal(pk.args[0], &i)
			if emits--; pk.name == "weir:error" {
				continue
			}
			switch {
			case pk.name == "before" && state[i] == "":
			case pk.name == "behind" && state[i] == "answered":
			default:
				t.Errorf("%s of %d in state %q", pk.name, i, state[i])
			}
			state[i] = pk.name
			continue
		}
		i := int(pk.id)
		if answered[i]++; answered[i] > 1 {
			t.Errorf("%d is answered twice", i)
			continue
		}
		missing--
		switch script[i] {
		case "in":
			if state[i] != "before" {
				t.Errorf("answer of %d in state %q", i, state[i])
			}
			state[i] = "answered"
			fallthrough
		case "panic", "exit", "fail", "slow", "spin":
			if i < last {
				t.Errorf("answer of %d behind that of %d", i, last)
			}
			last = i
		}
	}
}

// Questions answered, not answered, and to sockets that leave.
func TestQuestionsEnd(t *testing.T) {
	srv := start(t, feed(), func(s *weir.Server) {
		s.Namespace("/feed").Use(func(context.Context, *weir.Socket) error { return nil })
	})
	n := srv.Namespace("/feed")
	var peers []*peer
	for range 6 {
		peers = append(peers, dial(t, addr(srv), "/feed", nil, dialOptions{}))
	}
	for i, p := range peers {
		go func() {
			for k := 0; ; k++ {
				text, err := p.receive()
				if err != nil {
					return
				}
				pk := decode(t, text)
				switch {
				case i < 3: // answers, sometimes twice
					for range 1 + k%2 {
						_ = p.write(fmt.Sprintf("43/feed,%d[%d]", pk.id, i))
					}
				case i == 3 && k == 4:
					_ = p.conn.Close()
				case i == 4 && k == 6:
					_ = p.write("41/feed,")
				}
			}
		}()
	}
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		replies, err := n.All().Ask(ctx, "q")
		cancel()
		good := 0
		for _, r := range replies {
			if r.Err == nil {
				good++
			}
		}
		if err == nil || good > 3 {
			t.Errorf("%d answers, %v: one never answers", good, err)
		}
	}
	eventually(t, "nothing is held", func() bool { held, _ := srv.HeldBytes(); return held == 0 })
}

// A reply to somebody who has left says so and holds nothing.
func TestReplyAfterDisconnect(t *testing.T) {
	got := make(chan *weir.Event, 1)
	srv := start(t, feed(), func(s *weir.Server) {
		s.Namespace("/feed").On("ask", func(_ context.Context, _ *weir.Socket, e *weir.Event) error { got <- e; return nil })
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	s := make(chan *weir.Socket, 1)
	srv.Namespace("/feed").On("who", func(_ context.Context, x *weir.Socket, e *weir.Event) error { s <- x; return nil })
	p.emit("/feed", 3, "ask")
	e := <-got
	p.emit("/feed", -1, "who")
	x := <-s
	_ = p.conn.Close()
	<-x.Context().Done()
	if err := e.Reply(t.Context(), "late"); !errors.Is(err, weir.ErrDisconnected) {
		t.Errorf("%v", err)
	}
	eventually(t, "nothing is held", func() bool { held, _ := srv.HeldBytes(); return held == 0 })
}

// Subscriptions to many topics, in one go and again and again, beside emits and publications, to clients that read
// slowly or beside those that take deflate: whoever stays gets the last message of each topic.
func TestManySubscriptionsNoneWaitsForEver(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		var topics []weir.TopicOptions
		for i := range 30 {
			topics = append(topics, weir.TopicOptions{Name: fmt.Sprintf("t%d", i), Overflow: []weir.Overflow{weir.DropOldest, weir.Coalesce, weir.SnapshotOnly}[i%3], Weight: i % 4, Max: weir.Limits{Messages: 20}})
		}
		so := weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: topics, EventsOverflow: weir.EventsRejectNew, EventsLane: weir.Limits{Messages: 20}}}}
		so.SocketIO.PerMessageDeflate = deflate
		srv := start(t, weir.Options{Servers: []weir.ServerOptions{so}})
		stop := make(chan struct{})
		var noise sync.WaitGroup
		noise.Go(func() {
			pad := strings.Repeat("pad", 700)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
				}
				_, _ = srv.Publish(context.Background(), "/feed", fmt.Sprintf("t%d", rand.IntN(30)), pad)
				if i%3 == 0 {
					_ = srv.Namespace("/feed").Emit(t.Context(), fmt.Sprintf("t%d", rand.IntN(30)), pad)
					_ = srv.Namespace("/feed").Emit(t.Context(), "plain", i)
				}
			}
		})
		var peers sync.WaitGroup
		ready := make(chan struct{}, 6)
		for k := range 6 {
			o := dialOptions{receiveBuffer: 8192} // of 4096 the kernel waits for timers
			p := dial(t, addr(srv), "/feed", nil, o)
			peers.Go(func() {
				left := map[string]bool{}
				for round := range 5 {
					for i := range 30 {
						name := "weir:subscribe"
						if round%2 == 1 {
							name = "weir:unsubscribe"
						}
						_ = p.write(fmt.Sprintf(`42/feed,%d[%q,{"topic":"t%d"}]`, 100*round+i, name, i))
					}
				}
				for i := range 30 {
					left[fmt.Sprintf("t%d", i)] = true
				}
				answers := 0
				for answers < 150 {
					text, err := p.receive()
					if err != nil {
						t.Errorf("peer %d: %d answers: %v", k, answers, err)
						ready <- struct{}{}
						return
					}
					if decode(t, text).typ == sio.Ack {
						answers++
					}
				}
				ready <- struct{}{}
				for len(left) > 0 {
					text, err := p.receive()
					if err != nil {
						t.Errorf("peer %d waits for %v: %v", k, left, err)
						return
					}
					if pk := decode(t, text); left[pk.name] && len(pk.args) > 0 && string(pk.args[0]) == `"last"` {
						delete(left, pk.name)
					}
				}
			})
		}
		for range 6 {
			<-ready
		}
		close(stop)
		noise.Wait()
		for i := range 30 {
			publish(t, srv, fmt.Sprintf("t%d", i), "last")
		}
		peers.Wait()
	}
}
