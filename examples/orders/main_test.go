package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/examples/internal/client"
)

// patience bounds every wait; no test depends on how long one takes.
const patience = 30 * time.Second

func start(t *testing.T) (ctx context.Context, address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, ln, 20*time.Millisecond) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return ctx, ln.Addr().String()
}

// enter subscribes a customer. It waits until the server runs: until then it
// answers 503.
func enter(ctx context.Context, t *testing.T, address, customer string) *client.Client {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := client.Dial(ctx, address, "/shop", map[string]string{"token": customer + "-token"})
		if err != nil && strings.Contains(err.Error(), "503") {
			select {
			case <-again.C:
				continue
			case <-ctx.Done():
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		answer, err := c.Ask(ctx, "subscribe", map[string]string{"topic": "order-confirmed"})
		if err != nil || !strings.Contains(fmt.Sprintf("%s", answer), `"ok":true`) {
			t.Fatalf("subscribe: answered %s, %v", answer, err)
		}
		return c
	}
}

func place(t *testing.T, address, customer, id string) confirmation {
	t.Helper()
	resp, err := http.Post("http://"+address+"/orders?customer="+customer+"&id="+id, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, _ := io.ReadAll(resp.Body)
	var c confirmation
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &c) != nil {
		t.Fatalf("POST /orders: %s %s", resp.Status, body)
	}
	return c
}

// delivery is what a client gets: the order and its metadata.
func delivery(ctx context.Context, t *testing.T, c *client.Client) (o order, messageID string, redelivered bool) {
	t.Helper()
	e, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		MessageID   string
		Redelivered bool
	}
	if e.Name != "order-confirmed" || len(e.Args) != 2 || json.Unmarshal(e.Args[0], &o) != nil || json.Unmarshal(e.Args[1], &m) != nil {
		t.Fatalf("heard %s %s", e.Name, e.Args)
	}
	return o, m.MessageID, m.Redelivered
}

func TestConfirmationIsRepeatedUntilAcknowledged(t *testing.T) {
	ctx, address := start(t)
	alice, bob := enter(ctx, t, address, "alice"), enter(ctx, t, address, "bob")
	placed := place(t, address, "alice", "1001")
	if placed.Reached != 1 || placed.MessageID != "order-1001" {
		t.Errorf("placed: %+v", placed)
	}
	for i := range 3 {
		o, id, again := delivery(ctx, t, alice)
		if o != (order{"1001", "alice"}) || id != "order-1001" || again != (i > 0) {
			t.Errorf("delivery %d: %+v, id %s, redelivered %v", i+1, o, id, again)
		}
	}
	if _, err := alice.Ask(ctx, "ack", map[string]string{"topic": "order-confirmed", "messageId": "order-1001"}); err != nil {
		t.Fatal(err)
	}
	place(t, address, "alice", "1001") // the same order once more: nothing is sent
	place(t, address, "alice", "1002")
	for {
		o, _, again := delivery(ctx, t, alice)
		if o.ID == "1002" {
			break
		}
		if !again {
			t.Fatalf("confirmed twice: %+v", o)
		}
	}
	place(t, address, "bob", "1003")
	if o, _, _ := delivery(ctx, t, bob); o != (order{"1003", "bob"}) {
		t.Errorf("bob heard of %+v", o)
	}
}

func TestWhoHasNoTokenIsRefused(t *testing.T) {
	ctx, address := start(t)
	enter(ctx, t, address, "bob")
	if _, err := client.Dial(ctx, address, "/shop", map[string]string{"token": "guess"}); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("let in, or refused without the code: %v", err)
	}
}
