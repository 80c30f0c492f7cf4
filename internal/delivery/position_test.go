package delivery_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/topiclog"
)

// toldOf is what a delivery says of itself.
type toldOf struct {
	MessageID   string
	Offset      *uint64
	Epoch       string
	Redelivered bool
}

// about is the metadata of a delivery, which has none where it has no more arguments than its payload.
func about(t *testing.T, p *packet, shape base.Shape) (m toldOf) {
	t.Helper()
	raw := p.args[len(p.args)-1]
	if shape == base.ShapeEnvelope {
		var e struct{ Metadata json.RawMessage }
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		raw = e.Metadata
	} else if len(p.args) < 3 {
		return m
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return m
}

// Whatever has metadata tells where it stands: the place that its publisher was told, in every form and when it comes
// again. What has none is as it was.
func TestDeliveriesTellTheirPosition(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { tellPositions(t, deflate) })
	}
}

func tellPositions(t *testing.T, deflate bool) {
	sure := certain()
	sure.AckTimeout = time.Minute
	o := options(2, topic("ticks", latest()), topic("sure", sure))
	o.Namespaces[0].Deflate = deflate
	r := newRig(t, o)
	js, envelope := r.connect(0), r.connect(1)
	js.join("ticks", "sure")
	s := envelope.join()
	for _, name := range []string{"ticks", "sure"} {
		envelope.subscribe(s, name, delivery.SubscribeOptions{Shape: base.ShapeEnvelope})
	}
	told := make(map[string]delivery.Placed)
	for n := range 12 {
		name := []string{"ticks", "sure"}[n%2]
		p := delivery.Publication{Payload: []byte(fmt.Sprint(n)), Binary: n%3 == 0}
		if n > 5 {
			p.Payload = []byte(fill(3000))
		}
		sent := r.publishWith(name, p)
		told[sent.MessageID] = sent.Placed
	}
	time.Sleep(time.Minute + time.Second)
	r.settle()
	for c, shape := range map[*client]base.Shape{js: base.ShapeJS, envelope: base.ShapeEnvelope} {
		again := 0
		for _, p := range c.received() {
			m := about(t, &p, shape)
			switch {
			case p.name() == "ticks" && shape == base.ShapeJS:
				if len(p.args) != 2 {
					t.Errorf("a best effort delivery is %q", p.text)
				}
			case m.Offset == nil || *m.Offset != told[m.MessageID].Offset || m.Epoch != told[m.MessageID].Epoch || m.Epoch == "":
				t.Errorf("delivery %q, published %+v", p.text, told[m.MessageID])
			case m.Redelivered:
				again++
			}
		}
		if again != 6 {
			t.Errorf("%d repeats, want 6", again)
		}
	}
}

// Broadcasts of plain events are numbered by the same means as topics, in an order of their own; what is for one socket
// alone and what is done to sockets takes no number.
func TestPlainEventsHaveAnOrderOfTheirOwn(t *testing.T) {
	r := newRig(t, options(2, topic("ticks", latest())))
	c := r.connect(0)
	s := c.join("ticks")
	before := r.ns.LastOf("")
	for n := range 5 {
		r.emitTo(delivery.Target{}, "news", fmt.Sprint(n))
		r.emitTo(delivery.Target{}, "ticks", fmt.Sprint(n)) // takes a place in the topic's
		r.publish("ticks", fmt.Sprint(n))
	}
	if err := s.Emit(t.Context(), "alone", delivery.Emission{Frame: event("alone")}, false); err != nil {
		t.Error(err)
	}
	after, topics := r.ns.LastOf(""), r.ns.LastOf("ticks")
	if before.Offset != 0 || after.Offset != 5 || after.Epoch != before.Epoch || topics.Offset != 10 || topics.Epoch == after.Epoch || after.Epoch == "" {
		t.Errorf("plain events %+v, then %+v; the topic %+v", before, after, topics)
	}
}

// A message is as large as its frame in the usual form would be at any offset: what is accepted fits every lane of that
// form, and what is refused might not. The offset of a message never decides.
func TestTooLargeDoesNotDependOnTheOffset(t *testing.T) {
	for _, name := range []string{"ticks", "sure"} {
		p := latest()
		if name == "sure" {
			p = certain()
		}
		p.MaxBytes = 600
		r := newRig(t, options(1, topic(name, p)))
		r.connect(0).join(name)
		fits := func(n int) bool {
			_, err := r.Publish(t.Context(), r.ns, name, &delivery.Publication{Payload: []byte(`"` + strings.Repeat("x", n) + `"`), ID: fmt.Sprintf("%04d", n)}, false)
			if err != nil && !errors.Is(err, delivery.ErrTooLarge) {
				t.Fatal(err)
			}
			return err == nil
		}
		n := 0
		for fits(n) {
			n++
		}
		c := r.connect(0)
		c.join(name)
		last := r.publishWith(name, delivery.Publication{Payload: []byte(`"` + strings.Repeat("x", n-1) + `"`), ID: "last"})
		spare := 600 // of the limit, by the largest that is accepted: a header of 4 bytes, the type, the text
		for _, p := range c.received() {
			spare -= 4 + 1 + len(p.text)
		}
		if most := map[string]int{"ticks": 0, "sure": 19 - len(fmt.Sprint(last.Offset))}[name]; spare != most {
			t.Errorf("%s: the largest accepted leaves %d bytes of the limit, want %d", name, spare, most)
		}
		if d := r.totals(name).Dropped[base.ReasonTooLarge]; d != 0 {
			t.Errorf("%s: lanes refused %d that had been accepted", name, d)
		}
	}
}

// A topic with memory remembers what was published, with all that a reader needs, whoever listens: payloads of its own,
// recipients, wall-clock times. Emits under its name take a place and leave none.
func TestTopicWithMemoryRemembersRecords(t *testing.T) {
	for _, listened := range []bool{false, true} {
		spec := topic("sure", certain())
		spec.Memory = topiclog.Limits{Records: 4}
		loose := topic("ticks", latest())
		loose.Memory = topiclog.Limits{Records: 4}
		r := newRig(t, options(2, spec, loose))
		if listened {
			c := r.connect(1)
			c.join("sure", "ticks")
		}
		start := time.Now()
		for _, name := range []string{"sure", "ticks"} {
			payload := []byte(`{"n":1}`)
			r.publish(name, `{"n":0}`)
			r.publishWith(name, delivery.Publication{Payload: payload, Key: "k", ID: "one", TTL: time.Hour})
			r.publishWith(name, delivery.Publication{Payload: payload[:3], Binary: true, Target: delivery.Target{Principal: "p", Rooms: []string{"r"}}})
			clear(payload)
			r.publishWith(name, delivery.Publication{Payload: []byte("1"), Target: delivery.Target{Rooms: []string{"r", "s"}}}) // no record can say so
			last := r.publish(name, `{"n":3}`)
			if name == "ticks" {
				r.emitTo(delivery.Target{}, "ticks", "4")
			}
			log := r.ns.LogOf(name)
			log.Read(topiclog.Query{After: 1, Limit: topiclog.Limit{Records: 100, Bytes: 1 << 20}}, func(b topiclog.Batch) {
				if len(b.Placements) != 3 || b.Lost || !b.End() || b.Epoch != last.Epoch {
					t.Errorf("%s: read %+v", name, b)
					return
				}
				one, two := b.Placements[0], b.Placements[1]
				if string(one.Payload) != `{"n":1}` || one.Key != "k" || one.ID != "one" || one.Previous != 1 || one.Namespace != "/feed" || one.Topic != name {
					t.Errorf("%s: %+v", name, one.Record)
				}
				if at := time.Unix(0, one.At); at.Before(start.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) || one.Expires-one.At != int64(time.Hour) {
					t.Errorf("%s: published at %v, expires at %v", name, at, time.Unix(0, one.Expires))
				}
				if !bytes.Equal(two.Payload, []byte(`{"n`)) || !two.Binary || two.To != (topiclog.Recipient{Principal: "p", Room: "r"}) || b.Placements[2].Offset != last.Offset {
					t.Errorf("%s: %+v", name, two.Record)
				}
			})
			if name == "ticks" && (log.Span().Last != 6 || r.ns.LastOf(name).Offset != 6) {
				t.Errorf("after an emit the log has %+v", log.Span())
			}
		}
	}
}

// Messages that are compressed for a position that another has taken are told right, and whole.
func TestCompressedPositionsAreRightThoughManyPublish(t *testing.T) {
	deep := certain()
	deep.MaxMessages, deep.MaxInFlight, deep.MaxBytes = 4000, 4000, 64<<20
	o := deflating(topic("sure", deep))
	r := newRig(t, o)
	packed, plain := r.connect(0), r.connect(0)
	packed.deflates = true
	for _, c := range []*client{packed, plain} {
		c.join("sure")
	}
	var mu sync.Mutex
	told := make(map[string]uint64)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				sent := r.publish("sure", fill(2000))
				mu.Lock()
				told[sent.MessageID] = sent.Offset
				mu.Unlock()
			}
		})
	}
	all.Wait()
	got := plain.received()
	if len(got) != 200 {
		t.Fatalf("%d messages", len(got))
	}
	for i, p := range got {
		if m := about(t, &p, base.ShapeJS); m.Offset == nil || *m.Offset != uint64(i+1) || told[m.MessageID] != *m.Offset || len(p.args[1]) != 2000 {
			t.Fatalf("message %d is %+v, told %d", i, m, told[m.MessageID])
		}
	}
	if n := bytes.Count(packed.wire, []byte{0xC1}); n == 0 {
		t.Error("nothing was compressed")
	}
}
