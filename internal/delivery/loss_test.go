package delivery_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

const lostThree = `2/feed,["weir:lost",{"topic":"ticks","count":3,"reason":"overflow"}]`

// losing is a client that has lost the first three of five messages.
func losing(t *testing.T, o delivery.SubscribeOptions) *client {
	t.Helper()
	p := latest()
	p.MaxMessages = 2
	r := newRig(t, options(1, topic("ticks", p)))
	c := r.stalled(0)
	c.subscribe(c.join(), "ticks", o)
	for i := range 5 {
		r.publish("ticks", fmt.Sprint(i))
	}
	r.settle()
	return c
}

func TestLossIsToldBeforeTheNextDelivery(t *testing.T) {
	c := losing(t, delivery.SubscribeOptions{Tell: true})
	c.open(wide)
	wantTexts(t, c.texts(), lostThree, `2/feed,["ticks",3]`, `2/feed,["ticks",4]`)
}

func TestLossIsToldOnRequestOnly(t *testing.T) {
	c := losing(t, delivery.SubscribeOptions{})
	c.open(wide)
	wantTexts(t, c.texts(), `2/feed,["ticks",3]`, `2/feed,["ticks",4]`)
}

// However the notice is cut or put back, the client reads it once and whole.
func TestLossNoticeSurvivesAnyCut(t *testing.T) {
	whole := losing(t, delivery.SubscribeOptions{Tell: true})
	whole.open(wide)
	length := len(whole.wire)
	for cut := range length + 1 {
		for _, window := range []int{1, 50, len(lostThree) + 3, wide} {
			c := losing(t, delivery.SubscribeOptions{Tell: true})
			c.do(func() { c.take = func(int) int { c.take = nil; return cut } })
			c.open(window)
			c.open(window)
			c.open(wide)
			wantTexts(t, c.texts(), lostThree, `2/feed,["ticks",3]`, `2/feed,["ticks",4]`)
			if t.Failed() {
				t.Fatalf("cut after %d bytes, window %d", cut, window)
			}
		}
	}
}

// A loss between the notice put back and the next try is counted in.
func TestLossNoticePutBackCountsOn(t *testing.T) {
	c := losing(t, delivery.SubscribeOptions{Tell: true})
	c.do(func() { c.take = func(int) int { return 0 } })
	c.open(wide)
	c.rig.publish("ticks", "5")
	c.rig.settle()
	c.do(func() { c.take = nil })
	c.open(wide)
	wantTexts(t, c.texts(), `2/feed,["weir:lost",{"topic":"ticks","count":4,"reason":"overflow"}]`,
		`2/feed,["ticks",4]`, `2/feed,["ticks",5]`)
}

// What was refused by a full reliable lane is told too, asked for or not.
func TestRejectionIsTold(t *testing.T) {
	p := certain()
	p.MaxMessages = 2
	r := newRig(t, options(1, topic("orders", p)))
	c := r.stalled(0)
	c.join("orders")
	var last delivery.Receipt
	for i := range 3 {
		last = r.publish("orders", fmt.Sprint(i)).Receipt(t.Context())
	}
	if last.Rejected != 1 || last.Subscribers != 1 || !last.Complete {
		t.Errorf("receipt %+v", last)
	}
	c.open(wide)
	got := c.received()
	if len(got) != 3 || got[0].text != `2/feed,["weir:lost",{"topic":"orders","count":1,"reason":"rejected"}]` {
		t.Errorf("client read %q", c.texts())
	}
	if got := r.totals("orders").Dropped[base.ReasonRejected]; got != 1 {
		t.Errorf("%d booked as rejected", got)
	}
}
