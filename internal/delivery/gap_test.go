package delivery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// gaps are the deliveries of a client that say how many messages are gone before them, as "payload gap".
func gaps(c *client, topic string) (all []string) {
	for _, text := range c.texts() {
		_, gap, found := strings.Cut(text, `"gap":`)
		if !found || !strings.Contains(text, `["`+topic+`"`) {
			continue
		}
		payload := ""
		if _, after, envelope := strings.Cut(text, `"payload":`); envelope {
			payload = strings.TrimRight(after, "}]")
		} else {
			payload, _, _ = strings.Cut(strings.SplitN(text, ",", 3)[2], ",")
		}
		gap, _, _ = strings.Cut(gap, ",")
		all = append(all, payload+" "+strings.TrimRight(gap, "}]"))
	}
	return all
}

// Whoever has metadata is told with the first message that is left how many were lost before it, and with no other; a
// repeat says it too. Others near by, who miss nothing or something else, are told nothing of it.
func TestGapIsToldWithTheNextMessage(t *testing.T) {
	envelope := delivery.SubscribeOptions{Shape: base.ShapeEnvelope, Tell: true}
	envelope.Given.Shape = true
	for _, k := range []struct {
		name string
		with delivery.SubscribeOptions
		spec delivery.TopicSpec
		want []string
	}{
		{"an envelope", envelope, spilling("ticks", narrow(2), 20), []string{"81 78"}},
		{"at least once", delivery.SubscribeOptions{}, spilling("ticks", strict(4), 20), []string{"81 76"}},
		{"best effort, shape js", delivery.SubscribeOptions{Tell: true}, spilling("ticks", narrow(2), 20), nil},
	} {
		t.Run(k.name, func(t *testing.T) {
			r := newRig(t, options(1, k.spec))
			reads := func() *reader {
				c := r.stalled(0)
				return &reader{client: c, socket: c.join()}
			}
			c, near := reads(), reads()
			c.subscribe(c.socket, "ticks", k.with)
			r.numbered("ticks", 1, 80)
			near.subscribe(near.socket, "ticks", k.with)
			r.numbered("ticks", 81, 100)
			c.open(wide)
			near.open(wide)
			reliable := k.name == "at least once"
			r.wait(func() bool {
				if reliable {
					c.acknowledge("ticks", func(int) bool { return true })
					near.acknowledge("ticks", func(int) bool { return true })
				}
				return r.totals("ticks").Behind == 0
			})
			if got := gaps(c.client, "ticks"); !slices.Equal(got, k.want) {
				t.Errorf("it is told %q, want %q", got, k.want)
			}
			if got := gaps(near.client, "ticks"); got != nil {
				t.Errorf("who has missed nothing is told %q", got)
			}
			if !slices.ContainsFunc(c.texts(), func(s string) bool { return strings.Contains(s, `"weir:lost"`) }) {
				t.Error("no weir:lost")
			}
			if r.Unbalanced.Load() != 0 {
				t.Errorf("%d unbalanced", r.Unbalanced.Load())
			}
		})
	}
}

// A subscription that begins at a cursor whose records are too old is told how many are gone: in the metadata, by
// weir:lost, and in the books.
func TestGapBehindACursorIsTold(t *testing.T) {
	r, _ := gatedRig(t, options(1, spilling("ticks", narrow(50), 0)), 20)
	r.numbered("ticks", 1, 100)
	c := r.connect(0)
	s := c.join()
	from := cursorAt("ticks", "e", 30)
	with := delivery.SubscribeOptions{Shape: base.ShapeEnvelope, Tell: true, From: &from}
	with.Given.Shape = true
	c.subscribe(s, "ticks", with)
	r.caughtUp(c, "ticks")
	if got := gaps(c, "ticks"); !slices.Equal(got, []string{"81 50"}) {
		t.Errorf("it is told %q", got)
	}
	if want := fmt.Sprintf(`2/feed,["weir:lost",{"topic":"ticks","count":50,"reason":%q}]`, base.ReasonRetention); !slices.Contains(c.texts(), want) {
		t.Errorf("no %s in %q", want, c.texts())
	}
	if n := r.totals("ticks"); n.Dropped[base.ReasonRetention] != 50 || n.Offered != 70 || n.Written != 20 || r.Unbalanced.Load() != 0 {
		t.Errorf("%+v, %d unbalanced", n, r.Unbalanced.Load())
	}
}
