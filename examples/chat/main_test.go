package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/examples/internal/client"
)

// patience bounds every wait; no test depends on how long one takes.
const patience = 30 * time.Second

func serve(t *testing.T) (ctx context.Context, address string) {
	t.Helper()
	srv, err := newServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return ctx, srv.Addr("default").String()
}

func enter(ctx context.Context, t *testing.T, address, name string) *client.Client {
	t.Helper()
	c, err := client.Dial(ctx, address, "/chat", map[string]string{"name": name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ask(ctx context.Context, t *testing.T, c *client.Client, event string, arg any) string {
	t.Helper()
	answer, err := c.Ask(ctx, event, arg)
	if err != nil || len(answer) != 1 {
		t.Fatalf("%s: answered %s, %v", event, answer, err)
	}
	return string(answer[0])
}

func TestWhatOneSaysTheOthersOfTheRoomHear(t *testing.T) {
	ctx, address := serve(t)
	ann, bob, cid := enter(ctx, t, address, "ann"), enter(ctx, t, address, "bob"), enter(ctx, t, address, "cid")
	if got := ask(ctx, t, ann, "join", map[string]string{"room": "go"}); got != `{"members":1}` {
		t.Errorf("first to join was told %s", got)
	}
	if got := ask(ctx, t, bob, "join", map[string]string{"room": "go"}); got != `{"members":2}` {
		t.Errorf("second to join was told %s", got)
	}
	ask(ctx, t, cid, "join", map[string]string{"room": "other"})
	ask(ctx, t, ann, "say", map[string]string{"room": "other", "text": "not for you, bob"})
	ask(ctx, t, ann, "say", map[string]string{"room": "go", "text": "hello"})
	e, err := bob.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var l line
	if json.Unmarshal(e.Args[0], &l) != nil || e.Name != "said" || l != (line{"go", "ann", "hello"}) {
		t.Errorf("bob heard %s %s", e.Name, e.Args)
	}
}

func TestVoteCountsTheAnswersOfAllMembers(t *testing.T) {
	ctx, address := serve(t)
	ann, bob, cid := enter(ctx, t, address, "ann"), enter(ctx, t, address, "bob"), enter(ctx, t, address, "cid")
	for _, c := range []*client.Client{ann, bob, cid} {
		ask(ctx, t, c, "join", map[string]string{"room": "go"})
	}
	caller := enter(ctx, t, address, "dee")
	result := make(chan string, 1)
	go func() {
		answer, err := caller.Ask(ctx, "call vote", map[string]string{"room": "go", "question": "lunch?"})
		if err != nil || len(answer) != 1 {
			t.Errorf("call vote: answered %s, %v", answer, err)
			result <- ""
			return
		}
		result <- string(answer[0])
	}()
	answer(t, ann, question(ctx, t, ann), true)
	answer(t, bob, question(ctx, t, bob), false)
	question(ctx, t, cid)
	cid.Close() // leaves without an answer
	if got := <-result; got != `{"yes":1,"no":1,"silent":1}` {
		t.Errorf("the vote came to %s", got)
	}
}

func question(ctx context.Context, t *testing.T, c *client.Client) client.Event {
	t.Helper()
	e, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "vote" || string(e.Args[0]) != `"lunch?"` {
		t.Fatalf("asked %s %s", e.Name, e.Args)
	}
	return e
}

func answer(t *testing.T, c *client.Client, e client.Event, yes bool) {
	t.Helper()
	if err := c.Answer(e, yes); err != nil {
		t.Fatal(err)
	}
}

func TestWhoHasNoNameIsRefused(t *testing.T) {
	ctx, address := serve(t)
	if _, err := client.Dial(ctx, address, "/chat", nil); err == nil || !strings.Contains(err.Error(), "say who you are") {
		t.Errorf("let in, or refused without a reason: %v", err)
	}
}
