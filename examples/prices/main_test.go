package main

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/streamweir/weir/weirtest"
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

	c := dial(t, "http://"+ln.Addr().String())
	c.Subscribe("prices")
	last := make(map[string]int64)
	for len(last) < len(symbols) {
		args := c.Next("prices")
		var p tick
		if err := json.Unmarshal(args[0], &p); err != nil || len(args) != 1 {
			t.Fatalf("heard %s", args)
		}
		if p.At < last[p.Symbol] {
			t.Errorf("%s went back from %d to %d", p.Symbol, last[p.Symbol], p.At)
		}
		last[p.Symbol] = p.At
	}
}

// dial waits until the server runs: until then it answers 503.
func dial(t *testing.T, url string) *weirtest.Client {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); ; {
		c, err := weirtest.TryDial(t, url, "/feed")
		if err == nil {
			return c
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}
