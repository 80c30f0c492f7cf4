package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// replying is a client that answers each event "q" with its name, or, without one, none. It ends with its connection.
func replying(t *testing.T, srv *weir.Server, name string) {
	t.Helper()
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			text, err := p.receive()
			if err != nil {
				return
			}
			if len(text) < 2 || text[1] != '2' || name == "" {
				continue
			}
			if pk := decode(t, text); pk.name == "q" && p.write(fmt.Sprintf(`43/feed,%d[%q,%s]`, pk.id, name, pk.args[0])) != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = p.conn.Close(); <-done })
}

// ask asks the clients of all nodes, and returns who has answered as "node client argument", in order.
func ask(t *testing.T, b weir.Broadcast, patience time.Duration, arg any) (said []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	replies, err := b.Ask(ctx, "q", arg)
	for _, r := range replies {
		var name, back string
		if r.Err != nil {
			said = append(said, r.Node+" "+r.Err.Error())
		} else if err := r.Args.Decode(&name, &back); err != nil {
			t.Error(err)
		} else {
			said = append(said, r.Node+" "+name+" "+back)
		}
	}
	slices.Sort(said)
	return said, err
}

// TestClientsOfAllNodesAnswer: a question to many is put to the clients of all nodes that are meant, and who has not answered in
// time is counted, with its node.
func TestClientsOfAllNodesAnswer(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e *engine) {
		a, b := e.node("a"), e.node("b")
		replying(t, a, "one")
		replying(t, b, "two")
		replying(t, b, "three")
		whole(t, a, "map[a:1 b:2]")
		for srv, all := range map[*weir.Server]string{a: "[a one x b three x b two x]", b: "[a one x b three x b two x]"} {
			if said, err := ask(t, srv.Lookup("/feed").All(), patience, "x"); err != nil || fmt.Sprint(said) != all {
				t.Errorf("%v, %v", said, err)
			}
		}
		if said, err := ask(t, a.Lookup("/feed").Local(), patience, "y"); err != nil || fmt.Sprint(said) != "[a one y]" {
			t.Errorf("of this node: %v, %v", said, err)
		}
		if said, err := ask(t, a.Lookup("/feed").To("nobody"), patience, "y"); err != nil || len(said) != 0 {
			t.Errorf("of nobody: %v, %v", said, err)
		}
		replying(t, b, "")
		whole(t, a, "map[a:1 b:3]")
		said, err := ask(t, a.Lookup("/feed").All(), 8*time.Second, "z")
		if !errors.Is(err, weir.ErrTimeout) || !strings.HasSuffix(err.Error(), "not all have answered: 1 of 3 clients of node b") || fmt.Sprint(said) != "[a one z b three z b two z]" {
			t.Errorf("with one that does not answer: %v, %v", said, err)
		}
	})
}
