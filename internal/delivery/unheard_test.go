package delivery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/streamweir/weir/internal/delivery"
)

// What nobody hears still has its place in the order, an id, and its limits.
func TestPublishToNobodyKeepsItsPromises(t *testing.T) {
	r := newRig(t, options(2, topic("a", latest()), topic("sure", certain())))
	for _, name := range []string{"a", "sure"} {
		first := r.publishWith(name, delivery.Publication{Payload: []byte("1")})
		second := r.publishWith(name, delivery.Publication{Payload: []byte("2"), ID: "mine", Target: delivery.Target{Socket: "nobody"}})
		again := r.publishWith(name, delivery.Publication{Payload: []byte("3"), ID: "mine"})
		if first.Offset != 1 || first.MessageID == "" || second.Offset != 2 || second.MessageID != "mine" || second.Epoch != first.Epoch {
			t.Errorf("%s: %+v, then %+v", name, first.Placed, second.Placed)
		}
		if !again.Duplicate || again.Offset != 2 {
			t.Errorf("%s: the same id again: %+v", name, again.Placed)
		}
		if got, want := first.Receipt(t.Context()), (delivery.Receipt{Complete: true}); got != want {
			t.Errorf("%s: receipt %+v", name, got)
		}
		large := delivery.Publication{Payload: []byte(`"` + fill(1<<20) + `"`)}
		if _, err := r.Publish(t.Context(), r.ns, name, &large, false); !errors.Is(err, delivery.ErrTooLarge) {
			t.Errorf("%s: a message too large for every lane: %v", name, err)
		}
		c := r.connect(0)
		c.join(name)
		if p := r.publishWith(name, delivery.Publication{Payload: []byte("4")}); p.Offset != 3 || p.Epoch != first.Epoch {
			t.Errorf("%s: the first that is heard: %+v", name, p.Placed)
		}
		if d := r.ns.Declared(name); d.Published.Load() != 3 || d.Refused[delivery.RefusedTooLarge].Load() != 1 {
			t.Errorf("%s: %d published", name, d.Published.Load())
		}
		r.settle()
		if texts := c.texts(); len(texts) != 1 {
			t.Errorf("%s: read %q", name, texts)
		}
	}
}

// A publisher may use its bytes again: nothing of them is kept, by a lane, an observer
// or another form. A line of a batch would keep the batch.
func TestPayloadIsNotKept(t *testing.T) {
	r := newRig(t, options(1, topic("a", latest())))
	c := r.connect(0)
	c.join("a")
	tap := r.Tap("/feed", "a")
	defer tap.Close()
	payload := []byte(`{"n":1}`)
	r.publishWith("a", delivery.Publication{Payload: payload})
	clear(payload)
	r.settle()
	wantTexts(t, c.texts(), `2/feed,["a",{"n":1}]`)
	select {
	case m := <-tap.C:
		if string(m.Payload) != `{"n":1}` {
			t.Errorf("observed %q", m.Payload)
		}
	default:
		t.Error("not observed")
	}
}

// BenchmarkPublishUnheard is a publish that nobody has subscribed to.
func BenchmarkPublishUnheard(b *testing.B) {
	r := newRig(b, options(1, topic("ticks", latest())))
	p := &delivery.Publication{Payload: []byte(fill(128))}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Publish(context.Background(), r.ns, "ticks", p, false); err != nil {
			b.Fatal(err)
		}
	}
}

// An observer that takes nothing holds so much and no more, which is counted, misses the
// rest, and leaves nothing.
func TestObserverThatTakesNothingIsBounded(t *testing.T) {
	r := newRig(t, options(1, topic("a", latest())))
	tap := r.Tap("/feed", "a")
	before := r.account()
	for range 100 {
		r.publish("a", fill(200_000))
	}
	if held := r.account() - before; held < 3<<20 || held > 5<<20 {
		t.Errorf("%d bytes held", held)
	}
	if n := tap.Missed.Load(); n == 0 || int(n)+len(tap.C) != 100 {
		t.Errorf("%d missed, %d wait", n, len(tap.C))
	}
	for len(tap.C) > 1 {
		tap.Took(<-tap.C)
	}
	tap.Close()
	tap.Close()
	if held := r.account() - before; held != 0 {
		t.Errorf("%d bytes held when it is closed", held)
	}
}
