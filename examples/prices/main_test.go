package main

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/streamweir/weir/examples/internal/client"
)

// patience bounds every wait; no test depends on how long one takes.
const patience = 30 * time.Second

func TestSubscriberGetsThePricesOfEverySymbol(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})

	c := dial(ctx, t, ln.Addr().String())
	if answer, err := c.Ask(ctx, "subscribe", map[string]string{"topic": "prices"}); err != nil {
		t.Fatalf("subscribe: answered %s, %v", answer, err)
	}
	last := make(map[string]int64)
	for len(last) < len(symbols) {
		e, err := c.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var p tick
		if err := json.Unmarshal(e.Args[0], &p); err != nil || e.Name != "prices" || len(e.Args) != 1 {
			t.Fatalf("heard %s %s", e.Name, e.Args)
		}
		if p.At < last[p.Symbol] {
			t.Errorf("%s went back from %d to %d", p.Symbol, last[p.Symbol], p.At)
		}
		last[p.Symbol] = p.At
	}
}

// dial waits until the server runs: until then it answers 503.
func dial(ctx context.Context, t *testing.T, address string) *client.Client {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := client.Dial(ctx, address, "/feed", nil)
		if err == nil {
			t.Cleanup(c.Close)
			return c
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}
