package peer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/ws"
)

var errEnough = errors.New("enough")

func TestConnSpeaksToWeirWithAndWithoutTLS(t *testing.T) {
	srv := mount(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{{Name: "prices"}}}}},
		func(s *weir.Server) {
			s.Namespace("/feed").On("echo", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
				return e.Reply(ctx, map[string]int{"n": 7})
			})
		})
	plain, secure := httptest.NewServer(srv), httptest.NewTLSServer(srv)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, c := range []struct {
		url  string
		opts peer.Options
	}{
		{plain.URL, peer.Options{}},
		{strings.Replace(plain.URL, "http", "ws", 1), peer.Options{ReceiveBuffer: 4 << 10}},
		{secure.URL, peer.Options{TLS: secure.Client().Transport.(*http.Transport).TLSClientConfig}},
	} {
		speak(t, srv, dial(t, c.url, "/feed", c.opts))
	}
	if _, err := tryDial(t, secure.URL, "/feed", peer.Options{}); err == nil {
		t.Error("a certificate nobody vouches for is accepted")
	}
}

// speak asks, subscribes and reads what is published then.
func speak(t *testing.T, srv *weir.Server, c *peer.Conn) {
	t.Helper()
	if c.SID() == "" {
		t.Error("no id")
	}
	if got, err := c.Ask(t.Context(), "echo"); err != nil || string(got) != `[{"n":7}]` {
		t.Fatalf("echo answered %s, %v", got, err)
	}
	if got, err := c.Ask(t.Context(), "subscribe", json.RawMessage(`{"topic":"prices"}`)); err != nil || !strings.Contains(string(got), `"ok":true`) {
		t.Fatalf("subscribe answered %s, %v", got, err)
	}
	if _, err := srv.Publish(t.Context(), "/feed", "prices", 42); err != nil {
		t.Fatal(err)
	}
	err := c.Read(func(event string, args []byte) error {
		if event != "prices" || string(args) != `["prices",42]` {
			t.Errorf("%s %s", event, args)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
}

func TestConnTellsWhyItWasNotLetIn(t *testing.T) {
	var status *peer.StatusError
	var refused *peer.ConnectError
	for name, c := range map[string]struct {
		serve func(*line)
		is    func(error) bool
	}{
		"503": {func(l *line) {
			l.request()
			l.write([]byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\ndraining"))
		}, func(err error) bool {
			return errors.As(err, &status) && status.Status == 503 && status.Body == "draining"
		}},
		"CONNECT_ERROR": {func(l *line) {
			l.write(append(l.request(), frames(openPacket)...))
			l.expect("40")
			l.send(`44{"message":"no"}`)
			l.next()
		}, func(err error) bool { return errors.As(err, &refused) && refused.Message == "no" }},
		"the end": {func(l *line) { l.write(l.request()) }, isError(io.ErrUnexpectedEOF)},
	} {
		_, err := tryDial(t, script(t, c.serve).url(), "/", peer.Options{})
		if !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	somebody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = somebody.Close() }()
	client, err := net.Dial("tcp", somebody.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	var op *net.OpError // nobody can listen on a client's port
	if _, err := tryDial(t, "http://"+client.LocalAddr().String(), "/", peer.Options{}); !errors.As(err, &op) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	s := script(t, func(l *line) {
		l.request()
		close(asked)
		l.next() // silent
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	target, err := peer.ParseTarget(s.url(), "/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Dial(ctx, target, peer.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestReadAnswersPingsAndGivesEventsInOrder(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.send("2", `42["a",1]`)
		l.expect("3")
		l.write(ws.AppendFrame(nil, ws.Ping, []byte("p")))
		l.expect("pong p")
		l.send(`451-["bin",{"_placeholder":true,"num":0}]`)
		l.write(ws.AppendFrame(nil, ws.Binary, []byte{1}))
		l.send(`427["ask",2]`)
		l.expect(`437["yes"]`)
		l.send(`42["b"]`, `42["\u0063"]`)
		l.write(ws.AppendClose(nil, ws.GoingAway, "bye"))
		l.expect("close \x03\xe9")
	})
	c := dial(t, s.url(), "/", peer.Options{})
	var got []string
	err := c.ReadEvents(func(e peer.Event) error {
		got = append(got, fmt.Sprintf("%s %s", e.Name, e.Args))
		if e.Asks {
			return c.Answer(e, json.RawMessage(`"yes"`))
		}
		if c.Answer(e) == nil {
			t.Errorf("%s was answered and does not ask", e.Name)
		}
		return nil
	})
	var closed *peer.CloseError
	if !errors.As(err, &closed) || closed.Code != ws.GoingAway || closed.Reason != "bye" {
		t.Errorf("Read: %v", err)
	}
	if want := []string{`a ["a",1]`, `ask ["ask",2]`, `b ["b"]`, `c ["\u0063"]`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := c.Emit("late"); !errors.As(err, &closed) {
		t.Errorf("Emit after the end: %v", err)
	}
}

func TestEventsThatComeDuringAskAreKeptForRead(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.expect(`421["q",{"x":1}]`)
		l.send(`42["first"]`, `42["second"]`, `431["answer",2]`, `42["third"]`, "41")
	})
	c := dial(t, s.url(), "/", peer.Options{})
	answer, err := c.Ask(t.Context(), "q", json.RawMessage(`{"x":1}`))
	if err != nil || string(answer) != `["answer",2]` {
		t.Fatalf("%s, %v", answer, err)
	}
	var got []string
	take := func(event string, _ []byte) error {
		got = append(got, event)
		if event == "first" {
			return errEnough
		}
		return nil
	}
	if err := c.Read(take); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if err := c.Read(take); !errors.Is(err, peer.ErrDisconnected) {
		t.Fatal(err)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReadThatIsEndedGoesOnBehindThatEvent(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.expect(`42["go"]`)
		l.send(`42["a"]`, `42["b"]`, `42["c"]`)
		l.next() // until the client closes
	})
	c := dial(t, s.url(), "/", peer.Options{})
	if err := c.Emit("go"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b", "c"} {
		var got []string
		err := c.Read(func(event string, _ []byte) error {
			got = append(got, event)
			return errEnough
		})
		if !errors.Is(err, errEnough) || !slices.Equal(got, []string{want}) {
			t.Fatalf("%q, %v, want %s", got, err, want)
		}
	}
}

func TestAskAfterStartFindsTheEventsBeforeItsAnswerGiven(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.expect(`421["go"]`)
		l.send(`42["a"]`, `42["b"]`, `431[]`)
		l.next() // until the client closes
	})
	c := dial(t, s.url(), "/", peer.Options{})
	var mu sync.Mutex
	var got []string
	ended := make(chan error, 1)
	c.Start(func(e peer.Event) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e.Name)
		return nil
	}, func(err error) { ended <- err })
	if _, err := c.Ask(t.Context(), "go"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("when the answer was there, %q had been given", got)
	}
	mu.Unlock()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Start ended with %v after Close", err)
	}
}

func TestArgumentsOfAnEventAreWithoutItsName(t *testing.T) {
	for args, want := range map[string]string{`["x"]`: "", `["x",1,{"a":[2,3]}]`: `1 {"a":[2,3]}`} {
		var got []string
		for _, a := range (peer.Event{Name: "x", Args: []byte(args)}).Arguments() {
			got = append(got, string(a))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s has the arguments %s, want %s", args, text, want)
		}
	}
}

func TestAskRefusesToKeepWithoutEnd(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.send(slices.Repeat([]string{`42["flood"]`}, 2000)...)
		l.expect(`421["q"]`)
		l.next() // until the client closes
	})
	c := dial(t, s.url(), "/", peer.Options{})
	if _, err := c.Ask(t.Context(), "q"); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("%v", err)
	}
}

func TestAsksWaitTogetherAndBesideRead(t *testing.T) {
	const asks = 50
	s := script(t, func(l *line) {
		l.join()
		for range asks {
			text := l.next() // 42<id>["q"]
			id := strings.TrimSuffix(strings.TrimPrefix(text, "42"), `["q"]`)
			l.send(`43`+id+`[`+id+`]`, `42["event"]`)
		}
		l.next() // until the client closes
	})
	for _, beside := range []bool{false, true} {
		c := dial(t, s.url(), "/", peer.Options{})
		var reading, asking sync.WaitGroup
		events := 0
		if beside {
			reading.Go(func() {
				if err := c.Read(func(string, []byte) error { events++; return nil }); err != nil {
					t.Errorf("Read: %v", err)
				}
			})
		}
		for range asks {
			asking.Go(func() {
				if answer, err := c.Ask(t.Context(), "q"); err != nil || len(answer) < 3 {
					t.Errorf("Ask: %s, %v", answer, err)
				}
			})
		}
		asking.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		reading.Wait()
		if beside && events == 0 {
			t.Error("Read saw no events")
		}
	}
}

func TestAnAskThatIsGivenUpLeavesTheConnection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := script(t, func(l *line) {
		l.join()
		l.expect(`421["never"]`)
		cancel()
		l.expect(`422["soon"]`)
		l.send(`431["too late"]`, `432[]`)
		l.next()
	})
	c := dial(t, s.url(), "/", peer.Options{})
	if _, err := c.Ask(ctx, "never"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if answer, err := c.Ask(t.Context(), "soon"); err != nil || string(answer) != "[]" {
		t.Errorf("%s, %v", answer, err)
	}
}

func TestAskFailsWithTheConnection(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.next()
	})
	c := dial(t, s.url(), "/", peer.Options{})
	if _, err := c.Ask(t.Context(), "q"); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if err := c.Read(func(string, []byte) error { return nil }); !errors.Is(err, io.EOF) {
		t.Errorf("Read: %v", err)
	}
}

func TestCloseSaysGoodbyeAndEndsReadWithoutAnError(t *testing.T) {
	done := make(chan struct{})
	s := script(t, func(l *line) {
		defer close(done)
		l.join()
		l.send(`42["here"]`)
		l.expect("41")
		l.expect("close \x03\xe8")
	})
	c := dial(t, s.url(), "/", peer.Options{})
	err := c.Read(func(string, []byte) error { return c.Close() })
	if err != nil {
		t.Errorf("Read: %v", err)
	}
	<-done
	if err := c.Emit("late"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Emit: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close once more: %v", err)
	}
}

func TestStalledConnReadsNothingUntilToldTo(t *testing.T) {
	s := script(t, func(l *line) {
		l.join()
		l.expect(`42["hello"]`)
		l.send("2", `42["x"]`)
		l.expect(`421["q"]`)
		l.expect("3")
	})
	c := dial(t, s.url(), "/", peer.Options{ReadRate: peer.Stalled})
	if err := c.Emit("hello"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Ask(ctx, "q"); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stalled client has an answer: %v", err)
	}
	c.SetReadRate(1 << 20)
	if err := c.Read(func(event string, _ []byte) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
}
