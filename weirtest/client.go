package weirtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// Client is a Socket.IO client in one namespace, over a websocket. It reads by itself, at the rate its test wants, and
// keeps every event until the test takes it. It speaks JSON: events with binary attachments are passed over.
type Client struct {
	t       testing.TB
	conn    *peer.Conn
	timeout time.Duration
	inbox   *inbox
	err     error         // why the connection ended; nil after Close
	ended   chan struct{} // closed after err

	mu      sync.Mutex
	rate    int // as peer has it
	asking  int // how many wait for an answer: meanwhile the rate does not hold
	answers map[string]func([]json.RawMessage) any
}

// Dial connects a client to a server, [Server.URL] or that of any other, and joins a namespace. Not to get in fails the
// test. The client leaves when the test ends.
func Dial(t testing.TB, url, namespace string, opts ...Option) *Client {
	t.Helper()
	c, err := TryDial(t, url, namespace, opts...)
	if err != nil {
		t.Fatalf("weirtest.Dial: %v", err)
	}
	return c
}

// TryDial is Dial for clients who may be refused: the error has what the server said.
func TryDial(t testing.TB, url, namespace string, opts ...Option) (*Client, error) {
	t.Helper()
	o := newOptions(opts)
	conn, err := o.dial(t.Context(), url, namespace)
	if err != nil {
		return nil, err
	}
	c := &Client{
		t: t, conn: conn, timeout: o.timeout, inbox: newInbox(), ended: make(chan struct{}), rate: o.conn.ReadRate,
		answers: make(map[string]func([]json.RawMessage) any),
	}
	conn.Start(c.take, c.end)
	t.Cleanup(func() {
		c.Close()
		<-c.ended
	})
	return c, nil
}

// end says that nothing more comes.
func (c *Client) end(err error) {
	c.err = err
	close(c.ended)
}

// take keeps an event, and answers it if it asks for that and somebody knows what.
func (c *Client) take(e peer.Event) error {
	e.Args = bytes.Clone(e.Args)
	args := e.Arguments()
	c.inbox.add(e.Name, args)
	c.mu.Lock()
	f := c.answers[e.Name]
	c.mu.Unlock()
	if f == nil || !e.Asks {
		return nil
	}
	answer, err := encode(f(args))
	if err == nil {
		err = c.conn.Answer(e, answer...)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Errorf("weirtest: answer %q: %v", e.Name, err)
	}
	return nil
}

// ID is the client's Socket.IO id: what [weir.ToSocket] takes, and by which [weir.Server.Clients] names it. Any goroutine
// may call it.
func (c *Client) ID() string { return c.conn.SID() }

// Emit sends an event. Arguments are json.RawMessage or what encoding/json makes of them.
func (c *Client) Emit(event string, args ...any) {
	c.t.Helper()
	raw, err := encode(args...)
	if err == nil {
		err = c.conn.Emit(event, raw...)
	}
	if err != nil {
		c.t.Fatalf("weirtest: emit %q: %v", event, err)
	}
}

// Ask sends an event and returns the arguments of the server's answer. Events the server sent before it have come by
// then. A slow client reads as fast as it can until the answer is there, and is slow again after it.
func (c *Client) Ask(event string, args ...any) []json.RawMessage {
	c.t.Helper()
	answer, err := c.ask(event, args)
	if err != nil {
		c.t.Fatalf("weirtest: %v; %v", err, c.inbox)
	}
	return answer
}

func (c *Client) ask(event string, args []any) (answer []json.RawMessage, err error) {
	raw, err := encode(args...)
	if err != nil {
		return nil, fmt.Errorf("ask %q: %w", event, err)
	}
	c.pace(func() { c.asking++ })
	defer c.pace(func() { c.asking-- })
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	got, err := c.conn.Ask(ctx, event, raw...)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(got, &answer)
	return answer, err
}

// Subscribe subscribes to a topic and waits until the server has said yes: as Ask does. Options of a subscription go by
// Ask("weir:subscribe", …).
func (c *Client) Subscribe(topic string) {
	c.t.Helper()
	answer, err := c.ask("weir:subscribe", []any{map[string]string{"topic": topic}})
	if err != nil {
		c.t.Fatalf("weirtest: subscribe to %q: %v; %v", topic, err, c.inbox)
	}
	var verdict struct{ OK bool }
	if len(answer) != 1 || json.Unmarshal(answer[0], &verdict) != nil || !verdict.OK {
		c.t.Fatalf("weirtest: subscribe to %q: the server says %s", topic, answer)
	}
}

// Answer answers events that ask for it with what f makes of their arguments; nil is null. f is called on the goroutine
// that reads: it must not wait for further events, but may Close the client, which then says nothing. Events nobody
// answers leave the server waiting. Any goroutine may call it.
func (c *Client) Answer(event string, f func(args []json.RawMessage) any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[event] = f
}

// Next returns the arguments of the oldest event of that name that no call of Next has returned, and waits for one if
// need be. If the time is up before it comes, or the connection, the test fails with what came instead.
func (c *Client) Next(event string) []json.RawMessage {
	c.t.Helper()
	limit := time.NewTimer(c.timeout)
	defer limit.Stop()
	for {
		args, ok, changed := c.inbox.take(event)
		if ok {
			return args
		}
		select {
		case <-changed:
		case <-limit.C:
			c.t.Fatalf("weirtest: no event %q in %v%s; %v", event, c.timeout, c.excuse(), c.inbox)
			return nil
		case <-c.ended:
			if args, ok, _ := c.inbox.take(event); ok { // it came before the end
				return args
			}
			c.t.Fatalf("weirtest: no event %q, and %s; %v", event, ending(c.err), c.inbox)
			return nil
		}
	}
}

// excuse is why a client does not hear much.
func (c *Client) excuse() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.rate == peer.Stalled:
		return " (the client is stalled)"
	case c.rate > 0:
		return fmt.Sprintf(" (the client reads %d bytes a second)", c.rate)
	}
	return ""
}

func ending(err error) string {
	switch {
	case err == nil:
		return "the client is closed"
	case errors.Is(err, io.EOF):
		return "the server has closed the connection"
	}
	return fmt.Sprintf("the connection has ended: %v", err)
}

// Received is how many events of that name have come, those returned by Next included. Any goroutine may call it.
func (c *Client) Received(event string) int { return c.inbox.received(event) }

// Resume makes a slow client read as fast as it can from now on. Any goroutine may call it.
func (c *Client) Resume() { c.pace(func() { c.rate = 0 }) }

// pace changes how the client reads.
func (c *Client) pace(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	rate := c.rate
	if c.asking > 0 {
		rate = 0
	}
	c.conn.SetReadRate(rate)
}

// Close leaves, as socket.disconnect() does, and does not wait for the server to notice. What came before can still be
// taken. Any goroutine may call it, more than once.
func (c *Client) Close() { _ = c.conn.Close() } // whatever is wrong with it, it is over

func encode(args ...any) ([]json.RawMessage, error) {
	var raw []json.RawMessage
	for _, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		raw = append(raw, b)
	}
	return raw, nil
}
