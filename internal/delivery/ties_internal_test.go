package delivery

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/packet"
)

// A socket holds ties while it is in a room or is asked something, in whatever order these end.
func TestTiesGoWithTheLast(t *testing.T) {
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/"}}})
	m := h.Namespace("/").on(h.shards[0])
	s := &Socket{ID: "s"}
	m.Add(s)
	rooms, asked := map[string]bool{}, map[uint64]bool{}
	for range 1000 {
		name, id := []string{"a", "b"}[rand.IntN(2)], uint64(rand.IntN(2))
		switch rand.IntN(4) {
		case 0:
			m.Join(s, name)
			rooms[name] = true
		case 1:
			m.Leave(s, name)
			delete(rooms, name)
		case 2:
			s.await(id, &sink{})
			asked[id] = true
		default:
			s.Forget(id)
			delete(asked, id)
		}
		if want := len(rooms)+len(asked) > 0; (s.ties != nil) != want || len(s.Rooms()) != len(rooms)+1 {
			t.Fatalf("in %q, asked %v: ties %+v", s.Rooms(), asked, s.ties)
		}
	}
}

type sink struct {
	answered []Answer
	shards   int
	then     func(*Socket)
}

func (k *sink) Sent(*Socket) bool { return true }
func (k *sink) Shard()            { k.shards++ }
func (k *sink) Answered(s *Socket, a Answer) {
	k.answered = append(k.answered, a)
	if k.then != nil {
		k.then(s)
	}
}

type Out struct {
	window int
	wrote  [][]byte
}

func (o *Out) Window() int { return o.window }
func (o *Out) Write(p []byte, _ base.Packing) (int, error) {
	n := min(len(p), o.window)
	o.window -= n
	o.wrote = append(o.wrote, slices.Clone(p[:n]))
	return n, nil
}
func (o *Out) Deflates() bool            { return false }
func (o *Out) Control(dst []byte) []byte { return dst }
func (o *Out) Unsent() int               { return 0 }
func (o *Out) Cut(base.Cause)            {}
func (o *Out) Reading(bool)              {}

// A socket asked several things leaves: each question is told so once, also by a sink that calls back.
func TestQuestionsOfOneWhoLeaves(t *testing.T) {
	h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Events: lane.Policy{Overflow: base.Disconnect, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}}}})
	sh := h.shards[0]
	o := &Out{}
	c := sh.Open(o, o)
	s := c.OpenSocket(h.Namespace("/"), c.NewSocketID(), "", nil)
	var sinks [5]sink
	for i := range sinks {
		sinks[i].then = func(s *Socket) { s.Forget(uint64(i)); s.Answer(uint64(i), Answer{}) }
		s.await(uint64(i), &sinks[i])
	}
	c.Close(base.CauseTransportClose)
	for i := range sinks {
		if len(sinks[i].answered) != 1 || sinks[i].answered[0].Err == nil {
			t.Errorf("question %d: %+v", i, sinks[i].answered)
		}
	}
}

// A lane waits for the answer to its subscription and no longer, also where the count of what was written passes 2^32.
func TestLaneWaitsForItsAnswerAcrossTheWrap(t *testing.T) {
	for before := range uint64(8) {
		for held := range 6 {
			p := lane.Policy{Overflow: base.Disconnect, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}
			h := New(Options{Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Events: p, Topics: []TopicSpec{{Name: "t", Policy: p}, {Name: "u", Policy: p}}}}})
			sh := h.shards[0]
			o := &Out{}
			c := sh.Open(o, o)
			s := c.OpenSocket(h.Namespace("/"), c.NewSocketID(), "", nil)
			l := s.eventsLane()
			l.Written = 1<<32 - before
			l.Offered = l.Written
			frame := packetOf("x")
			for range held {
				s.Send(frame)
			}
			for _, name := range []string{"t", "u"} {
				if err := s.Subscribe(name, SubscribeOptions{}, func(Subscription) { s.Send(packetOf("answer " + name)) }); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"t", "u"} {
				if _, err := h.Publish(t.Context(), h.Namespace("/"), name, &Publication{Payload: []byte(`"` + name + `"`)}, false); err != nil {
					t.Fatal(err)
				}
			}
			for range 60 {
				o.window += 7
				c.markDirty()
				sh.step()
			}
			o.window = 1 << 20
			c.markDirty()
			sh.step()
			if c.Depth() != 0 {
				t.Errorf("%d before the wrap, %d held: %d messages wait for ever", before, held, c.Depth())
			}
			wire := string(bytes.Join(o.wrote, nil))
			for _, name := range []string{"t", "u"} {
				answer, message := strings.Index(wire, `["answer `+name+`"]`), strings.Index(wire, `["`+name+`"`)
				if answer < 0 || message < answer {
					t.Errorf("%d before the wrap, %d held: the answer of %s is at %d, the first message at %d", before, held, name, answer, message)
				}
			}
			c.Close(base.CauseTransportClose)
			if n := h.Unbalanced.Load(); n != 0 {
				t.Errorf("%d before the wrap, %d held: %d lanes do not balance", before, held, n)
			}
			sh.account()
			if h.Held() != 0 {
				t.Errorf("%d bytes held", h.Held())
			}
		}
	}
}

func packetOf(text string) *base.Frame {
	return packet.NewFrame(16, func(dst []byte) []byte { return append(dst, `42["`+text+`"]`...) })
}

// Nobody changes the target that publications share.
func TestSharedTargetStaysAsItIs(t *testing.T) {
	t.Cleanup(func() {
		if everybody.Narrows() {
			t.Errorf("everybody: %+v", *everybody)
		}
	})
	p := lane.Policy{Overflow: base.Disconnect, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}
	h := New(Options{Shards: 2, Namespaces: []NamespaceSpec{{Path: "/", Events: p, Topics: []TopicSpec{{Name: "t", Policy: p}}}}})
	n := h.Namespace("/")
	o := &Out{window: 1 << 20}
	c := h.shards[0].Open(o, o)
	s := c.OpenSocket(n, c.NewSocketID(), "p", nil)
	_ = s.Subscribe("t", SubscribeOptions{}, func(Subscription) {})
	ctx := t.Context()
	for _, to := range []Target{{}, {Socket: s.ID}, {Principal: "p"}, {Rooms: []string{}}, {Except: []string{"x"}}} {
		before := fmt.Sprintf("%+v", to)
		if _, err := h.Publish(ctx, n, "t", &Publication{Payload: []byte("1"), Target: to}, false); err != nil {
			t.Fatal(err)
		}
		for _, event := range []string{"t", "plain"} {
			if err := h.Emit(ctx, n, event, Emission{Frame: packetOf(event)}, to); err != nil {
				t.Fatal(err)
			}
			if err := s.Emit(ctx, event, Emission{Frame: packetOf(event)}, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Reply(ctx, packetOf("r")); err != nil {
			t.Fatal(err)
		}
		for _, sh := range h.shards {
			sh.step()
		}
		if after := fmt.Sprintf("%+v", to); after != before {
			t.Errorf("%s became %s", before, after)
		}
	}
	c.Close(base.CauseTransportClose)
	for _, sh := range h.shards {
		sh.step()
		sh.account()
	}
	if h.Held() != 0 || h.Unbalanced.Load() != 0 {
		t.Errorf("%d bytes held, %d lanes unbalanced", h.Held(), h.Unbalanced.Load())
	}
}
