package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/weirtest"
)

// patience bounds every wait; no test depends on how long one takes.
const patience = 30 * time.Second

// start returns where the orders are taken.
func start(t *testing.T) (url string) {
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
	return "http://" + ln.Addr().String()
}

// enter subscribes a customer. It waits until the server runs: until then it
// answers 503.
func enter(t *testing.T, url, customer string) *weirtest.Client {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); ; {
		c, err := weirtest.TryDial(t, url, "/shop", weirtest.Auth(map[string]string{"token": customer + "-token"}))
		if err == nil {
			c.Subscribe("order-confirmed")
			return c
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

func place(t *testing.T, url, customer, id string) confirmation {
	t.Helper()
	resp, err := http.Post(url+"/orders?customer="+customer+"&id="+id, "", nil)
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
func delivery(t *testing.T, c *weirtest.Client) (o order, messageID string, redelivered bool) {
	t.Helper()
	args := c.Next("order-confirmed")
	var m struct {
		MessageID   string
		Redelivered bool
	}
	if len(args) != 2 || json.Unmarshal(args[0], &o) != nil || json.Unmarshal(args[1], &m) != nil {
		t.Fatalf("heard %s", args)
	}
	return o, m.MessageID, m.Redelivered
}

func TestConfirmationIsRepeatedUntilAcknowledged(t *testing.T) {
	url := start(t)
	alice, bob := enter(t, url, "alice"), enter(t, url, "bob")
	placed := place(t, url, "alice", "1001")
	if placed.Reached != 1 || placed.MessageID != "order-1001" {
		t.Errorf("placed: %+v", placed)
	}
	for i := range 3 {
		o, id, again := delivery(t, alice)
		if o != (order{"1001", "alice"}) || id != "order-1001" || again != (i > 0) {
			t.Errorf("delivery %d: %+v, id %s, redelivered %v", i+1, o, id, again)
		}
	}
	alice.Ask("ack", map[string]string{"topic": "order-confirmed", "messageId": "order-1001"})
	place(t, url, "alice", "1001") // the same order once more: nothing is sent
	place(t, url, "alice", "1002")
	for {
		o, _, again := delivery(t, alice)
		if o.ID == "1002" {
			break
		}
		if !again {
			t.Fatalf("confirmed twice: %+v", o)
		}
	}
	place(t, url, "bob", "1003")
	if o, _, _ := delivery(t, bob); o != (order{"1003", "bob"}) {
		t.Errorf("bob heard of %+v", o)
	}
}

func TestWhoHasNoTokenIsRefused(t *testing.T) {
	url := start(t)
	enter(t, url, "bob")
	guess := weirtest.Auth(map[string]string{"token": "guess"})
	if _, err := weirtest.TryDial(t, url, "/shop", guess); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("let in, or refused without the code: %v", err)
	}
}
