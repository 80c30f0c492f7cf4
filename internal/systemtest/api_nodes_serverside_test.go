package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
)

// heardEvents are the events that the application on a node has had of others.
type heardEvents struct {
	mu   sync.Mutex
	list []string
}

func (h *heardEvents) add(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, text)
}

func (h *heardEvents) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// hearing has a node handle "note", which it keeps, and "sum", which it answers.
func hearing(srv *weir.Server) *heardEvents {
	h, n := new(heardEvents), srv.Lookup("/feed")
	n.OnServerSide("note", func(_ context.Context, e *weir.ServerSideEvent) (any, error) {
		var i int
		if err := e.Decode(&i); err != nil {
			return nil, err
		}
		h.add(fmt.Sprintf("%s %d", e.Node, i))
		return nil, nil
	})
	n.OnServerSide("sum", func(_ context.Context, e *weir.ServerSideEvent) (any, error) {
		var a, b int
		var data []byte
		if err := e.Decode(&a, &b, &data); err != nil {
			return nil, err
		}
		if a < 0 {
			return nil, weir.Errorf(weir.ErrInvalid, "below zero")
		}
		return map[string]any{"sum": a + b, "data": weir.Binary(data)}, nil
	})
	n.OnServerSide("panic", func(context.Context, *weir.ServerSideEvent) (any, error) { panic("of the application") })
	return h
}

// TestEventsOfOtherNodesAreHandled: what the application sends to the other nodes is handled there and not here, in the order
// of each sender, and answered where it is asked for.
func TestEventsOfOtherNodesAreHandled(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e *engine) {
		a, b, c := e.node("a"), e.node("b"), e.node("c")
		ha, hb := hearing(a), hearing(b)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for _, srv := range []*weir.Server{a, b, c} {
			eventually(t, "the nodes know each other", func() bool { return metric(t, srv, "weir_cluster_nodes") == 3 })
		}
		const each = 100
		var senders sync.WaitGroup
		for _, srv := range []*weir.Server{b, c} {
			senders.Go(func() {
				for i := range each {
					if err := srv.Lookup("/feed").ServerSideEmit(ctx, "note", i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		senders.Wait()
		eventually(t, "all came", func() bool { return len(ha.all()) == 2*each && len(hb.all()) == each })
		for _, from := range []string{"b", "c"} {
			var want []string
			for i := range each {
				want = append(want, fmt.Sprint(from, " ", i))
			}
			got := slices.DeleteFunc(ha.all(), func(s string) bool { return !strings.HasPrefix(s, from) })
			if !slices.Equal(got, want) {
				t.Errorf("of %s: %q", from, got)
			}
		}
		replies, err := c.Lookup("/feed").ServerSideAsk(ctx, "sum", 3, 4, []byte{7})
		slices.SortFunc(replies, func(x, y weir.ServerSideReply) int { return strings.Compare(x.Node, y.Node) })
		if err != nil || len(replies) != 2 || replies[0].Node != "a" || replies[1].Node != "b" {
			t.Fatalf("%+v, %v", replies, err)
		}
		for _, r := range replies {
			var said struct {
				Sum  int
				Data weir.Binary
			}
			if r.Err != nil || r.Args.Decode(&said) != nil || said.Sum != 7 || string(said.Data) != "\x07" {
				t.Errorf("%s answers %+v, %v", r.Node, said, r.Err)
			}
		}
		for event, want := range map[string]string{"sum": "below zero", "panic": "the handler failed", "none": "nothing handles the event none"} {
			replies, err := c.Lookup("/feed").ServerSideAsk(ctx, event, -1, 0, []byte{})
			if err != nil || len(replies) != 2 || replies[0].Err == nil || !strings.Contains(replies[0].Err.Error(), want) {
				t.Errorf("%s: %+v, %v", event, replies, err)
			}
		}
		if replies, err = a.Lookup("/feed").ServerSideAsk(ctx, "sum", 1, 1, []byte{}); err != nil || len(replies) != 2 {
			t.Errorf("%+v, %v", replies, err)
		}
	})
}

// TestEventsOfOtherNodesAreBounded: a handler that hangs lets so many events of its sender wait, the others are refused, counted,
// and told to who asks; another sender's are handled meanwhile.
func TestEventsOfOtherNodesAreBounded(t *testing.T) {
	betweenNodes(t)
	e := startEngine(t, "memory")
	a, b, c := e.node("a"), e.node("b"), e.node("c")
	goOn, began := make(chan struct{}), make(chan struct{}, 2000)
	a.Lookup("/feed").OnServerSide("hang", func(context.Context, *weir.ServerSideEvent) (any, error) {
		began <- struct{}{}
		<-goOn
		return 1, nil
	})
	a.Lookup("/feed").OnServerSide("go", func(context.Context, *weir.ServerSideEvent) (any, error) { return 2, nil })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 1030 {
		if err := b.Lookup("/feed").ServerSideEmit(ctx, "hang"); err != nil {
			t.Fatal(err)
		}
	}
	<-began
	eventually(t, "some are refused", func() bool { return metric(t, a, "weir_cluster_refused_total") == 6 })
	of := func(list []weir.ServerSideReply) (r weir.ServerSideReply) {
		for _, r = range list {
			if r.Node == "a" {
				return r
			}
		}
		t.Errorf("no answer of a: %+v", list)
		return r
	}
	replies, err := b.Lookup("/feed").ServerSideAsk(ctx, "hang")
	if r := of(replies); err != nil || !errors.Is(r.Err, weir.ErrBusy) {
		t.Errorf("one too many: %+v, %v", r, err)
	}
	replies, err = c.Lookup("/feed").ServerSideAsk(ctx, "go")
	if r := of(replies); err != nil || r.Err != nil {
		t.Errorf("of another sender: %+v, %v", r, err)
	}
	close(goOn)
	replies, err = b.Lookup("/feed").ServerSideAsk(ctx, "go")
	if r := of(replies); err != nil || (r.Err != nil && !errors.Is(r.Err, weir.ErrBusy)) {
		t.Errorf("when it goes on: %+v, %v", r, err)
	}
	eventually(t, "all that were taken are handled", func() bool { return len(began) == 1023 })
	eventually(t, "nothing is held", func() bool { return metric(t, a, "weir_memory_held_bytes", `what="cluster"`) == 0 })
}
