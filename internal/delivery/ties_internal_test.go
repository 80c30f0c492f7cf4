package delivery

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

// A search finds whom the naive model finds, each once, also when the numbers of searches are used up.
func TestFindAgreesWithModelAcrossTheWrap(t *testing.T) {
	m := newMembership(nil)
	var all []*Socket
	rooms := []string{"a", "b", "c", "s0", "s1", "s2"}
	in := map[*Socket]map[string]bool{}
	next := 0
	m.round = math.MaxUint32 - 200
	for step := range 4000 {
		switch r := rand.IntN(10); {
		case r == 0 || len(all) < 3:
			s := &Socket{ID: fmt.Sprintf("s%d", next), Principal: []string{"", "p", "q"}[rand.IntN(3)]}
			if next++; next > 12 {
				next = 0
			}
			if m.sockets[s.ID] != nil {
				continue
			}
			m.add(s)
			all = append(all, s)
			in[s] = map[string]bool{s.ID: true}
		case r == 1:
			i := rand.IntN(len(all))
			m.remove(all[i])
			if len(all[i].Rooms()) != 1 {
				t.Fatal("rooms are left")
			}
			if all[i].ties != nil && len(all[i].ties.asked) == 0 {
				t.Fatal("ties are left")
			}
			delete(in, all[i])
			all = slices.Delete(all, i, i+1)
		case r < 5:
			s, n := all[rand.IntN(len(all))], rooms[rand.IntN(len(rooms))]
			m.join(s, n)
			in[s][n] = true
		case r < 7:
			s, n := all[rand.IntN(len(all))], rooms[rand.IntN(len(rooms))]
			m.leave(s, n)
			if n != s.ID {
				delete(in[s], n)
			}
		case r == 7:
			s := all[rand.IntN(len(all))]
			id := uint64(rand.IntN(4))
			if rand.IntN(2) == 0 {
				s.await(id, &sink{})
			} else {
				s.Forget(id)
			}
		}
		to := Target{}
		pick := func() (out []string) {
			for range rand.IntN(3) {
				out = append(out, rooms[rand.IntN(len(rooms))])
			}
			return out
		}
		to.Rooms, to.Except = pick(), pick()
		var got, want []string
		for _, s := range m.findSlowly(&to, func() int { return 1 + rand.IntN(9) }, func() {}) {
			got = append(got, s.ID)
		}
		for s, its := range in {
			ok := to.Rooms == nil
			for _, n := range to.Rooms {
				ok = ok || its[n]
			}
			for _, n := range to.Except {
				ok = ok && !its[n]
			}
			if ok {
				want = append(want, s.ID)
			}
		}
		sort.Strings(got)
		sort.Strings(want)
		if !slices.Equal(got, want) {
			t.Fatalf("step %d, round %d: %+v finds %v, want %v", step, m.round, to, got, want)
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
	return base.NewFrame(16, func(dst []byte) []byte { return append(dst, `42["`+text+`"]`...) })
}

// Nobody changes the target that publications share.
func TestSharedTargetStaysAsItIs(t *testing.T) {
	t.Cleanup(func() {
		if !everyoneHere.everySubscriber() || everyoneHere.Volatile {
			t.Errorf("everyoneHere: %+v", *everyoneHere)
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
	for _, to := range []Target{{}, {Socket: s.ID}, {Principal: "p"}, {Rooms: []string{}}, {Except: []string{"x"}}, {Volatile: true}} {
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
