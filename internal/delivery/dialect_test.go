package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	frames "github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// loud is a second dialect: a packet is one binary message, its type as a word, its data in capitals.
var loud = base.NewDialect(7, 3)

var speaker = &loudspeaker{spoken: map[string]int{}}

func init() { frames.Register(loud, speaker) }

// loudspeaker counts how often it has encoded which packet.
type loudspeaker struct {
	mu     sync.Mutex
	spoken map[string]int
}

func (l *loudspeaker) Encode(p sio.Packet, attachments [][]byte) *base.Frame {
	text := fmt.Sprintf("%v %s %s", p.Type, p.Namespace, bytes.ToUpper(p.Data))
	if p.HasID {
		text = fmt.Sprintf("%d:%s", p.ID, text)
	}
	for _, a := range attachments {
		text += "+" + string(a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoken[text]++
	return base.RawFrame(ws.AppendFrame(nil, ws.Binary, []byte(text)))
}

// forget begins to count anew: tests may run more than once.
func (l *loudspeaker) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.spoken)
}

func (l *loudspeaker) times(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spoken[text]
}

// speak makes the client, which has no socket yet, one of that dialect.
func (c *client) speak(d base.Dialect) *client {
	c.do(func() { c.conn.Speak(d) })
	return c
}

// heard is what a client of the loud dialect has read.
func (c *client) heard() (texts []string) {
	c.rig.t.Helper()
	c.rig.settle()
	c.do(func() {
		for op, part := range base.Parts(c.wire) {
			if op != ws.Binary {
				c.rig.t.Errorf("the client read %q of type %d", part, op)
			}
			texts = append(texts, string(part))
		}
	})
	return texts
}

// crowdOf is that many clients of a dialect in room red and topic ticks.
func (r *rig) crowdOf(n int, d base.Dialect) (all []*client, sockets []*delivery.Socket) {
	for range n {
		c := r.connect(0).speak(d)
		s := c.join("ticks")
		c.do(func() {
			if err := s.Join("red"); err != nil {
				r.t.Error(err)
			}
		})
		all, sockets = append(all, c), append(sockets, s)
	}
	return all, sockets
}

// Clients of two dialects are in one room and one topic. What is sent to them is encoded once for each dialect, however
// many they are, and all get it in the same order.
func TestTwoDialectsShareARoomAndATopic(t *testing.T) {
	speaker.forget()
	r := newRig(t, options(1, topic("ticks", latest())))
	quiet, _ := r.crowdOf(5, 0)
	noisy, sockets := r.crowdOf(7, loud)
	bystander := r.connect(0).speak(loud) // of the topic, but in the room
	outsider := bystander.join()
	bystander.do(func() {
		if err := outsider.Join("red"); err != nil {
			t.Error(err)
		}
	})
	r.emitTo(delivery.Target{}, "chat", `{"n":1}`)
	r.publish("ticks", `{"price":2}`)
	r.emitTo(delivery.Target{Rooms: []string{"red"}}, "ticks", `"as an event"`)
	r.publishWith("ticks", delivery.Publication{Payload: []byte("raw"), Binary: true})
	events := []string{`EVENT /feed ["CHAT",{"N":1}]`}
	ticks := []string{
		`EVENT /feed ["TICKS",{"PRICE":2}]`, `EVENT /feed ["TICKS","AS AN EVENT"]`,
		`BINARY_EVENT /feed ["TICKS",{"_PLACEHOLDER":TRUE,"NUM":0}]+raw`,
	}
	for _, c := range noisy {
		got := c.heard()
		if !slices.Equal(sorted(got), sorted(slices.Concat(events, ticks))) || !inOrder(got, ticks) {
			t.Errorf("a loud client read\n%q, want\n%q and in order\n%q", got, events, ticks)
		}
	}
	if got, want := sorted(bystander.heard()), sorted(append(events, ticks[1])); !slices.Equal(got, want) {
		t.Errorf("a loud client that subscribes to nothing read\n%q, want\n%q", got, want)
	}
	for _, c := range quiet {
		got := c.texts()
		want := []string{`2/feed,["ticks",{"price":2}]`, `2/feed,["ticks","as an event"]`, `51-/feed,["ticks",{"_placeholder":true,"num":0}]`}
		if len(got) != 4 || !inOrder(got, want) || !slices.Contains(got, `2/feed,["chat",{"n":1}]`) {
			t.Errorf("a client of the first dialect read\n%q", got)
		}
	}
	for _, text := range slices.Concat(events, ticks) {
		if n := speaker.times(text); n != 1 {
			t.Errorf("%q was encoded %d times for all", text, n)
		}
	}
	r.farewells(noisy[0], sockets[0])
}

// farewells are the packets for one client alone: an ack, what the loop says, the last one.
func (r *rig) farewells(c *client, s *delivery.Socket) {
	r.t.Helper()
	before := len(c.heard())
	ack, err := frames.Ack(sio.EventHeader{Namespace: "/feed", ID: 4}, []any{"done"})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.Reply(context.Background(), ack); err != nil {
		r.t.Fatal(err)
	}
	r.Nudge()
	r.settle()
	c.do(func() {
		s.Send(event("told"))
		c.conn.Refuse(r.ns, frames.ConnectError("/other", "no", nil))
	})
	c.do(func() { s.Close(base.CauseServerDisconnect, disconnectFrame("/feed")) })
	want := []string{`4:ACK /feed ["DONE"]`, `EVENT /feed ["TOLD"]`, `CONNECT_ERROR /other {"MESSAGE":"NO"}`, `DISCONNECT /feed `}
	if got := c.heard()[before:]; !slices.Equal(got, want) {
		r.t.Errorf("the client read\n%q, want\n%q", got, want)
	}
}

// Subscriptions have their options in every dialect: shape, callbacks, repeats, notices of losses, snapshots.
func TestFormsOfASubscriptionSpeakItsDialect(t *testing.T) { synctest.Test(t, subscribeLoudly) }

func subscribeLoudly(t *testing.T) {
	again := certain()
	again.AckTimeout = time.Minute
	small := latest()
	small.MaxMessages = 1
	kept := topic("kept", latest())
	kept.Keep.Keys, kept.Keep.Bytes, kept.Snapshot = 1, 1<<20, true
	r := newRig(t, options(1, topic("orders", again), topic("small", small), kept))
	r.publishWith("kept", delivery.Publication{Payload: []byte(`"last"`), ID: "k"})
	c := r.stalled(0).speak(loud)
	s := c.join()
	c.subscribe(s, "small", delivery.SubscribeOptions{Tell: true})
	r.publishWith("small", delivery.Publication{Payload: []byte(`1`)})
	r.publishWith("small", delivery.Publication{Payload: []byte(`2`)})
	r.settle()
	c.open(wide)
	lost := `EVENT /feed ["WEIR:LOST",{"TOPIC":"SMALL","COUNT":1,"REASON":"OVERFLOW"}]`
	if got, want := c.heard(), []string{lost, `EVENT /feed ["SMALL",2]`}; !slices.Equal(got, want) {
		t.Errorf("after a loss the client read\n%q, want\n%q", got, want)
	}
	about := func(topic, id, ack string) string {
		return fmt.Sprintf(`{"NAMESPACE":"/FEED","TOPIC":%q,"MESSAGEID":%q,"ACKREQUIRED":%s`, topic, id, ack)
	}
	c.subscribe(s, "kept", delivery.SubscribeOptions{Snapshot: true})
	if got, want := c.last(), `EVENT /feed ["KEPT","LAST",`+about("KEPT", "K", "FALSE")+`,"SNAPSHOT":TRUE}]`; got != want {
		t.Errorf("the snapshot is\n%q, want\n%q", got, want)
	}
	c.subscribe(s, "orders", delivery.SubscribeOptions{Shape: base.ShapeEnvelope, Callback: true})
	at := r.publishWith("orders", delivery.Publication{Payload: []byte(`3`), ID: "o"})
	order := `EVENT /feed ["ORDERS",{"METADATA":` + about("ORDERS", "O", "TRUE")
	for _, mark := range []string{"", `,"REDELIVERED":TRUE`} {
		_, text, asks := strings.Cut(c.last(), ":")
		mark += fmt.Sprintf(`,"OFFSET":%d,"EPOCH":%q`, at.Offset, strings.ToUpper(at.Epoch))
		if want := order + mark + `},"PAYLOAD":3}]`; !asks || text != want {
			t.Errorf("the delivery is\n%q, want with an ack id\n%q", text, want)
		}
		time.Sleep(time.Minute + time.Second)
	}
}

// last is the last text the client of the loud dialect has read.
func (c *client) last() string {
	texts := c.heard()
	if len(texts) == 0 {
		return ""
	}
	return texts[len(texts)-1]
}

// A message that waits for clients of both dialects is held in both, each once, and the budget counts them.
func TestTheBudgetCountsEachDialectOnce(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	quiet, _ := r.crowdOf(3, 0)
	noisy, _ := r.crowdOf(4, loud)
	all := slices.Concat(quiet, noisy)
	for _, c := range all {
		c.do(func() { c.window = 0 })
	}
	before := r.account()
	r.publish("ticks", `"`+strings.Repeat("held once ", 100)+`"`)
	r.emitTo(delivery.Target{}, "news", `"`+strings.Repeat("held twice ", 200)+`"`)
	held := r.account() - before
	for _, c := range all {
		c.open(wide)
	}
	want := int64(2 * len(all) * lane.EntryBytes)
	for _, c := range []*client{quiet[0], noisy[0]} {
		c.do(func() { want += int64(len(c.wire)) })
	}
	if held != want {
		t.Errorf("%d bytes are held for 7 clients of two dialects, want %d: each of two messages in both", held, want)
	}
	if got := r.account(); got != before {
		t.Errorf("%d bytes are held when all have read, want %d", got, before)
	}
}

func sorted(texts []string) []string { return slices.Sorted(slices.Values(texts)) }

// inOrder reports whether want is a subsequence of got.
func inOrder(got, want []string) bool {
	for _, text := range got {
		if len(want) > 0 && text == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}
