package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/op"
)

// leave takes a socket out of rooms.
func (r *rig) leave(s *delivery.Socket, rooms ...string) {
	r.t.Helper()
	r.do(&op.Op{Kind: op.Leave, Rooms: rooms, Target: delivery.Target{Socket: s.ID}})
	r.settle()
}

// What was sent to a room is for who was in it then, however far behind a client is that has left it since, or has left
// it and come back: under SPILL_TO_DISK as under every other overflow action, and for both modes.
func TestRoomLeftWhileBehindIsStillOwed(t *testing.T) {
	for _, x := range []struct{ rejoins bool }{{false}, {true}} {
		for name, p := range map[string]delivery.TopicSpec{"best effort": spilling("mail", narrow(4), 10_000), "reliable": spilling("mail", strict(8), 10_000)} {
			t.Run(fmt.Sprint(name, x), func(t *testing.T) {
				r := newRig(t, options(1, p))
				c := r.reader(0)
				c.do(func() { c.window = 0 })
				c.subscribe(c.socket, "mail", delivery.SubscribeOptions{Tell: true})
				r.toRoom("mail", "red", "never")
				r.join(c.socket, "red")
				for n := range 400 {
					r.toRoom("mail", "red", fmt.Sprint(n))
				}
				r.leave(c.socket, "red")
				r.toRoom("mail", "red", "never")
				want := counted(0, 399)
				if x.rejoins {
					r.join(c.socket, "red")
					r.toRoom("mail", "red", "400")
					want = append(want, "400")
				}
				c.open(wide)
				r.wait(func() bool {
					c.acknowledge("mail", func(int) bool { return true })
					n := r.totals("mail")
					return n.Behind == 0 && n.Queued+n.InFlight == 0
				})
				wantPayloads(t, "the client", sequence(c.client, "mail"), want)
				if n := r.totals("mail"); n.Dropped != [base.Reasons]uint64{} || n.Offered != uint64(len(want)) || r.Unbalanced.Load() != 0 {
					t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
				}
				settledRig(t, r, []*reader{c})
			})
		}
	}
}

// Clients that stall, enter and leave rooms and read on are given what the rooms got while they were in them, of all
// their topics, in order and without a loss, as a list knows it that is written down when it is published.
func TestStaysEqualTheNaiveList(t *testing.T) {
	for round := range 20 {
		seed := rand.Uint64()
		if !t.Run(fmt.Sprint(round), func(t *testing.T) { playStays(t, seed) }) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func playStays(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	topics, rooms := []string{"a", "b", "c"}, []string{"red", "blue", "green"}
	r := newRig(t, options(2, spilling("a", narrow(2), 100_000), spilling("b", narrow(3), 100_000), spilling("c", narrow(16), 100_000)))
	type one struct {
		c   *client
		s   *delivery.Socket
		in  map[string]bool
		due map[string][]string
	}
	var all []*one
	for i := range 3 {
		o := &one{c: r.stalled(i % 2), in: map[string]bool{}, due: map[string][]string{}}
		o.s = o.c.join(topics...)
		all = append(all, o)
	}
	for n := range 400 {
		o, topic, room := all[rnd.IntN(3)], topics[rnd.IntN(3)], rooms[rnd.IntN(3)]
		switch rnd.IntN(12) {
		case 0, 1:
			r.join(o.s, room)
			o.in[room] = true
		case 2, 3:
			r.leave(o.s, room)
			o.in[room] = false
		case 4:
			o.c.open([]int{60, 300, wide}[rnd.IntN(3)])
		case 5:
			o.c.do(func() { o.c.window = 0 })
		case 6:
			r.publish(topic, fmt.Sprint(n))
			for _, x := range all {
				x.due[topic] = append(x.due[topic], fmt.Sprint(n))
			}
		default:
			r.toRoom(topic, room, fmt.Sprint(n))
			for _, x := range all {
				if x.in[room] {
					x.due[topic] = append(x.due[topic], fmt.Sprint(n))
				}
			}
		}
		r.settle()
	}
	for _, o := range all {
		o.c.open(wide)
	}
	for _, topic := range topics {
		r.wait(func() bool { n := r.totals(topic); return n.Behind == 0 && n.Queued == 0 })
		for i, o := range all {
			wantPayloads(t, fmt.Sprint("client ", i, " of ", topic), sequence(o.c, topic), o.due[topic])
		}
		if n := r.totals(topic); n.Dropped != [base.Reasons]uint64{} || r.Unbalanced.Load() != 0 {
			t.Errorf("%s: %+v, %d unbalanced", topic, n, r.Unbalanced.Load())
		}
	}
}

// What is remembered of rooms is bounded, however often a client that is behind goes in and out: beyond that what it
// was owed is booked as lost and told, what it gets is from a time when it was a member, in order, and the books
// balance.
func TestStaysAreBounded(t *testing.T) {
	const times = 2000
	r := newRig(t, options(1, spilling("mail", narrow(2), 100_000), spilling("post", narrow(2), 100_000)))
	c := r.stalled(0)
	s := c.join("post")
	c.subscribe(s, "mail", delivery.SubscribeOptions{Tell: true})
	r.numbered("mail", 10_001, 10_005)
	r.numbered("post", 10_001, 10_005)
	r.account()
	before, most := r.Accounts()[accounts.Lanes], int64(0)
	for n := range times {
		r.join(s, "red")
		r.toRoom("mail", "red", fmt.Sprint(2*n))
		r.leave(s, "red")
		r.toRoom("mail", "red", fmt.Sprint(2*n+1))
		most = max(most, r.Accounts()[accounts.Lanes]-before)
	}
	if most > 256<<10 {
		t.Errorf("%d bytes are remembered", most)
	}
	c.open(wide)
	r.wait(func() bool { return r.totals("mail").Behind+r.totals("post").Behind == 0 })
	got := sequence(c, "mail")
	last := -1
	for _, text := range got[5:] {
		n, _ := strconv.Atoi(text)
		if n%2 == 1 || n <= last {
			t.Fatalf("%s comes behind %d", text, last)
		}
		last = n
	}
	n := r.totals("mail")
	if lost := n.Dropped[base.ReasonUnsubscribe]; n.Offered != times+5 || lost == 0 || n.Written+lost != n.Offered || len(got) < 100 || last != 2*times-2 || r.Unbalanced.Load() != 0 {
		t.Errorf("%d read, the last is %d: %+v, %d unbalanced", len(got), last, n, r.Unbalanced.Load())
	}
	told := 0
	for _, text := range c.texts() {
		var count int
		if k, _ := fmt.Sscanf(text, `2/feed,["weir:lost",{"topic":"mail","count":%d,"reason":"unsubscribe"}`, &count); k == 1 {
			told += count
		}
	}
	if uint64(told) != n.Dropped[base.ReasonUnsubscribe] {
		t.Errorf("it was told of %d of %d: %q", told, n.Dropped[base.ReasonUnsubscribe], slices.DeleteFunc(c.texts(), func(s string) bool { return !strings.Contains(s, "lost") }))
	}
	if now := r.Accounts()[accounts.Lanes]; now > before {
		t.Errorf("%d bytes more than before are counted in the end", now-before)
	}
}

// Messages under way while clients enter and leave rooms, at no order that anybody could know: each is given or booked, none twice.
func TestRoomsThatChangeUnderMessagesKeepTheBooks(t *testing.T) {
	r := newRig(t, options(2, spilling("mail", narrow(2), 100_000)))
	var all []*client
	var sockets []*delivery.Socket
	for i := range 40 {
		all = append(all, r.stalled(i%2))
		sockets = append(sockets, all[i].join("mail"))
	}
	for _, sh := range r.Shards() {
		r.on(sh, sh.Crawl)
	}
	var sent []*delivery.Pending
	rnd := rand.New(rand.NewPCG(5, rand.Uint64()))
	for n := range 2000 {
		s := sockets[rnd.IntN(len(sockets))]
		target := delivery.Target{Socket: s.ID}
		switch rnd.IntN(5) {
		case 0:
			r.do(&op.Op{Kind: op.Join, Rooms: []string{"red"}, Target: target})
		case 1:
			r.do(&op.Op{Kind: op.Leave, Rooms: []string{"red"}, Target: target})
		default:
			for k := range 3 { // one of them is under way when the next operation comes
				p := delivery.Publication{Payload: []byte(fmt.Sprint(3*n + k)), Target: delivery.Target{Rooms: []string{"red"}}}
				sent = append(sent, r.publishWith("mail", p))
			}
		}
	}
	for _, c := range all {
		c.open(wide)
	}
	r.wait(func() bool { n := r.totals("mail"); return n.Behind == 0 && n.Queued == 0 })
	n := r.totals("mail")
	got := 0
	for i, c := range all {
		list := sequence(c, "mail")
		got += len(list)
		last := -1
		for _, text := range list {
			if k, _ := strconv.Atoi(text); k <= last {
				t.Fatalf("client %d: %d comes behind %d", i, k, last)
			} else {
				last = k
			}
		}
	}
	subscribers := 0
	for _, p := range sent {
		subscribers += p.Receipt(t.Context()).Subscribers
	}
	if n.Offered != uint64(subscribers) {
		t.Errorf("%d were for so many subscribers, and %d were offered", subscribers, n.Offered)
	}
	if n.Written != uint64(got) || n.Offered != n.Written+n.Dropped[base.ReasonUnsubscribe] || r.Unbalanced.Load() != 0 {
		t.Errorf("%d read: %+v, %d unbalanced", got, n, r.Unbalanced.Load())
	}
}
