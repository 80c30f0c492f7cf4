package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// UserAgent is what the slow clients call themselves.
const UserAgent = "weir-demo-slow"

// SlowOptions shape a SlowClient. All fields but Conn and Logger are required.
type SlowOptions struct {
	Target  peer.Target  // its Header is the client's: UserAgent
	Conn    peer.Options // its ReadRate is the Pace's
	Topic   string
	Pace    *Pace
	Backoff Backoff
	Logger  *slog.Logger // default slog.Default()
}

// SlowClient is a Socket.IO client over one websocket that subscribes to one topic and reads no faster than its Pace
// allows, once it is in its namespace. It answers pings when it comes to read them, and when its connection ends it comes
// back after a while, not before the Retry-After of a server that refused it. A stalled client does nothing at all: it
// neither reads nor notices that it was cut.
type SlowClient struct {
	opts SlowOptions
	log  *slog.Logger

	mu   sync.Mutex
	view SlowView
	last uint64 // number received last on this connection; 0: none
}

// SlowStatus is what a slow client is doing.
type SlowStatus string

// What a slow client can be doing.
const (
	Connecting SlowStatus = "connecting"
	Connected  SlowStatus = "connected" // subscribed, as far as it knows
	Away       SlowStatus = "away"      // closed or refused; comes back at RetryAt
)

// SlowView is what a slow client knows of itself.
type SlowView struct {
	Status   SlowStatus
	Socket   string // Socket.IO id of the current or last connection
	Received uint64 // messages of its topic, over all connections
	Newest   Tick   // the newest value received; zero if none
	Missing  uint64 // of the feed's numbers between those it has received on one connection
	Disorder uint64 // messages that came behind a later one, or twice
	RetryAt  time.Time
}

// NewSlowClient returns a client that does nothing until Run.
func NewSlowClient(o SlowOptions) *SlowClient {
	o.Target.Header = http.Header{"User-Agent": {UserAgent}}
	c := &SlowClient{opts: o, log: o.Logger, view: SlowView{Status: Connecting}}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.log = c.log.With("client", UserAgent, "topic", o.Topic)
	return c
}

// View returns what the client knows of itself. Any goroutine may call it.
func (c *SlowClient) View() SlowView {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

func (c *SlowClient) update(f func(*SlowView)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.view)
}

// Run connects, reads and reconnects until ctx ends.
func (c *SlowClient) Run(ctx context.Context) {
	wait := c.opts.Backoff
	for c.opts.Pace.Await(ctx) == nil {
		c.update(func(v *SlowView) { v.Status = Connecting })
		joined, err := c.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if joined {
			wait.Reset()
		}
		var refused *peer.StatusError
		var atLeast time.Duration
		if errors.As(err, &refused) {
			atLeast = refused.RetryAfter
		}
		pause := wait.Next(atLeast)
		c.log.Debug("slow client is away", "for", pause, "error", err)
		c.update(func(v *SlowView) { v.Status, v.RetryAt = Away, time.Now().Add(pause) })
		if !rest(ctx, pause) {
			return
		}
	}
}

// connect runs one connection to its end; joined says whether it got as far as the namespace.
func (c *SlowClient) connect(ctx context.Context) (joined bool, err error) {
	conn, err := peer.Dial(ctx, c.opts.Target, c.opts.Conn)
	if err != nil {
		return false, err
	}
	leave := func() { _ = conn.Close() } // there is nothing left that could be lost
	stop := context.AfterFunc(ctx, leave)
	defer stop()
	defer leave()
	defer c.opts.Pace.Drive(conn)()
	return true, c.read(conn)
}

// read subscribes and reads until the connection ends. The socket's id is that by which the management API knows the
// client.
func (c *SlowClient) read(conn *peer.Conn) error {
	c.update(func(v *SlowView) { v.Status, v.Socket, c.last = Connected, conn.SID(), 0 })
	request, err := json.Marshal(map[string]string{"topic": c.opts.Topic})
	if err != nil {
		return err
	}
	if err := conn.Emit("weir:subscribe", request); err != nil {
		return fmt.Errorf("subscribe %s: %w", c.opts.Topic, err)
	}
	return conn.ReadEvents(c.take)
}

// take counts a message of the topic. Whatever it does not understand ends the connection.
func (c *SlowClient) take(e peer.Event) error {
	args := e.Arguments()
	switch {
	case e.Name == "weir:error":
		return fmt.Errorf("subscribe %s: %s", c.opts.Topic, e.Args)
	case e.Name != c.opts.Topic || len(args) == 0:
		return nil
	}
	var t Tick
	if err := json.Unmarshal(args[0], &t); err != nil {
		return fmt.Errorf("decode a tick: %w", err)
	}
	c.update(func(v *SlowView) {
		v.Received++
		switch {
		case c.last == 0 || t.N == 0:
		case t.N <= c.last:
			v.Disorder++
		default:
			v.Missing += t.N - c.last - 1
		}
		c.last = max(c.last, t.N)
		if t.At >= v.Newest.At {
			v.Newest = Tick{Symbol: t.Symbol, Price: t.Price, At: t.At}
		}
	})
	return nil
}

// rest waits; it reports false if ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
