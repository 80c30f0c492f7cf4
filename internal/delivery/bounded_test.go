package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/op"
)

// crowd connects clients that take nothing, each with a socket.
func (r *rig) crowd(n int) (clients []*client, sockets []*delivery.Socket) {
	for i := range n {
		c := &client{rig: r, shard: r.Shards()[i%len(r.Shards())]}
		c.do(func() {
			c.conn = c.shard.Open(c, c)
			sockets = append(sockets, c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), "", c))
		})
		clients = append(clients, c)
	}
	return clients, sockets
}

// Plain events claim the budget like publications: to everybody, to rooms, to one socket,
// and answers. Those beyond it are refused.
func TestBudgetBoundsPlainEmits(t *testing.T) {
	const limit, clients = 4 << 20, 600
	f := event("news", `"`+strings.Repeat("x", 1000)+`"`)
	for name, to := range map[string]delivery.Target{"everybody": {}, "a room": {Rooms: []string{"all"}}} {
		t.Run(name, func(t *testing.T) {
			o := options(2, topic("a", latest()))
			o.BudgetBytes = limit
			r := newRig(t, o)
			_, sockets := r.crowd(clients)
			for _, s := range sockets {
				r.do(&op.Op{Kind: op.Join, Target: delivery.Target{Socket: s.ID}, Rooms: []string{"all"}})
			}
			r.settle()
			refused := 0
			var most int64
			for range 1000 {
				err := r.Emit(t.Context(), r.ns, "news", delivery.Emission{Frame: f}, to)
				if err != nil && !errors.Is(err, delivery.ErrBudget) {
					t.Fatal(err)
				}
				if err != nil {
					refused++
				}
				most = max(most, r.Held())
			}
			r.settle()
			most = max(most, r.Held())
			// A step of each loop may go over it: 3,072 entries, and the frames.
			if slack := int64(2 << 20); most > limit+slack {
				t.Errorf("%d KiB held of %d", most>>10, limit>>10)
			}
			if refused == 0 && r.Cuts(base.CauseMemoryBudget) == 0 {
				t.Error("nothing was refused and nobody cut")
			}
			t.Logf("at most %d KiB held, %d refused, %d cut", most>>10, refused, r.Cuts(base.CauseMemoryBudget))
		})
	}
}

func TestDirectEmitsAndRepliesAreRefusedWhenTheBudgetIsSpent(t *testing.T) {
	r := newRig(t, tight(1, topic("a", latest())))
	c := r.connect(0)
	s := c.join()
	r.Hold(accounts.Mailboxes, budget)
	f := event("news", "1")
	if err := s.Emit(t.Context(), "news", delivery.Emission{Frame: f}, false); !errors.Is(err, delivery.ErrBudget) {
		t.Errorf("emit: %v", err)
	}
	if err := s.Reply(t.Context(), f); !errors.Is(err, delivery.ErrBudget) {
		t.Errorf("reply: %v", err)
	}
	if out := r.do(&op.Op{Kind: op.Fetch, Target: delivery.Target{Socket: s.ID}}); out.Done != 1 {
		t.Errorf("what holds nothing is refused: %+v", out)
	}
	r.Hold(accounts.Mailboxes, -budget)
	if err := s.Emit(t.Context(), "news", delivery.Emission{Frame: f}, false); err != nil {
		t.Errorf("emit: %v", err)
	}
	if got := c.texts(); len(got) != 1 {
		t.Errorf("read %q", got)
	}
}

// The last state of a client that was cut is bounded, whatever it had; and goes after an hour.
func TestLastStatesOfCutClientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("user:*", latest())))
		for i := range 300 {
			c := &client{rig: r, shard: r.Shards()[0], window: wide}
			c.do(func() {
				c.conn = c.shard.Open(c, c)
				s := c.conn.OpenSocket(r.ns, c.conn.NewSocketID(), "", c)
				for k := range 200 {
					_ = s.Subscribe(fmt.Sprintf("user:%d:%d", i, k), delivery.SubscribeOptions{}, func(delivery.Subscription) {})
				}
				c.conn.RecordCut(base.CauseSlowConsumer)
				c.conn.Close(base.CauseSlowConsumer)
			})
		}
		r.settle()
		views := r.Cut(1000)
		if len(views) != 300 {
			t.Fatalf("%d remembered", len(views))
		}
		if n, out := len(views[0].Lanes), views[0].LanesLeftOut; n+out != 201 || n > 17 {
			t.Errorf("%d lanes listed, %d left out", n, out)
		}
		held := r.Accounts()[accounts.Cut]
		if held == 0 || held > 300*5<<10 {
			t.Errorf("%d bytes for 300 clients", held)
		}
		time.Sleep(time.Hour + time.Minute)
		if held := r.Accounts()[accounts.Cut]; held != 0 {
			t.Errorf("%d bytes after an hour", held)
		}
	})
}

// Leaving rooms in any order keeps every member where its room and it say it is, and the
// account empties with them.
func TestRoomsAreLeftWithoutSearching(t *testing.T) {
	r := newRig(t, options(1, topic("a", latest())))
	const rooms = 200
	var sockets []*delivery.Socket
	var clients []*client
	for range 5 {
		c := r.connect(0)
		s := c.join()
		clients, sockets = append(clients, c), append(sockets, s)
		c.do(func() {
			for k := range rooms {
				if err := s.Join(fmt.Sprint("room", k)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	r.account()
	if held := r.Accounts()[accounts.Rooms]; held < 5*rooms*32 {
		t.Errorf("rooms hold %d bytes", held)
	}
	clients[0].do(func() {
		for k := 0; k < rooms; k += 3 {
			sockets[0].Leave(fmt.Sprint("room", (k*7)%rooms))
		}
		sockets[2].Close(base.CauseClientDisconnect, nil)
	})
	for k := range rooms {
		want := 3
		for i := 0; i < rooms; i += 3 {
			if (i*7)%rooms == k {
				want = 3
				k = -1 - k
				break
			}
		}
		if k >= 0 {
			want = 4
		} else {
			k = -1 - k
		}
		out := r.do(&op.Op{Kind: op.Fetch, Target: delivery.Target{Rooms: []string{fmt.Sprint("room", k)}}})
		if out.Done != want || len(out.Sockets) != want {
			t.Errorf("room%d has %d members, want %d", k, out.Done, want)
		}
	}
	clients[0].do(func() {
		for _, s := range sockets {
			s.Close(base.CauseClientDisconnect, nil)
		}
	})
	r.account()
	if held := r.Accounts()[accounts.Rooms]; held != 0 {
		t.Errorf("rooms hold %d bytes when all are empty", held)
	}
}
