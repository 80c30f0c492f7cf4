package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/weirtest"
)

// serve runs a chat until the test ends and returns where it is.
func serve(t *testing.T) (url string) {
	t.Helper()
	return weirtest.NewServer(t, weir.Options{}, chat).URL()
}

func enter(t *testing.T, url, name string) *weirtest.Client {
	t.Helper()
	return weirtest.Dial(t, url, "/chat", weirtest.Auth(map[string]string{"name": name}))
}

func ask(t *testing.T, c *weirtest.Client, event string, arg any) string {
	t.Helper()
	answer := c.Ask(event, arg)
	if len(answer) != 1 {
		t.Fatalf("%s: answered %s", event, answer)
	}
	return string(answer[0])
}

func TestWhatOneSaysTheOthersOfTheRoomHear(t *testing.T) {
	url := serve(t)
	ann, bob, cid := enter(t, url, "ann"), enter(t, url, "bob"), enter(t, url, "cid")
	if got := ask(t, ann, "join", map[string]string{"room": "go"}); got != `{"members":1}` {
		t.Errorf("first to join was told %s", got)
	}
	if got := ask(t, bob, "join", map[string]string{"room": "go"}); got != `{"members":2}` {
		t.Errorf("second to join was told %s", got)
	}
	ask(t, cid, "join", map[string]string{"room": "other"})
	ask(t, ann, "say", map[string]string{"room": "other", "text": "not for you, bob"})
	ask(t, ann, "say", map[string]string{"room": "go", "text": "hello"})
	var l line
	if said := bob.Next("said"); json.Unmarshal(said[0], &l) != nil || l != (line{"go", "ann", "hello"}) {
		t.Errorf("bob heard %s", said)
	}
}

func TestVoteCountsTheAnswersOfAllMembers(t *testing.T) {
	url := serve(t)
	ann, bob, cid := enter(t, url, "ann"), enter(t, url, "bob"), enter(t, url, "cid")
	for _, c := range []*weirtest.Client{ann, bob, cid} {
		ask(t, c, "join", map[string]string{"room": "go"})
	}
	ann.Answer("vote", func([]json.RawMessage) any { return true })
	bob.Answer("vote", func([]json.RawMessage) any { return false })
	cid.Answer("vote", func([]json.RawMessage) any {
		cid.Close() // leaves without an answer
		return nil
	})
	got := ask(t, enter(t, url, "dee"), "call vote", map[string]string{"room": "go", "question": "lunch?"})
	if got != `{"yes":1,"no":1,"silent":1}` {
		t.Errorf("the vote came to %s", got)
	}
	if asked := ann.Next("vote"); string(asked[0]) != `"lunch?"` {
		t.Errorf("asked %s", asked)
	}
}

func TestWhoHasNoNameIsRefused(t *testing.T) {
	if _, err := weirtest.TryDial(t, serve(t), "/chat"); err == nil || !strings.Contains(err.Error(), "say who you are") {
		t.Errorf("let in, or refused without a reason: %v", err)
	}
}
