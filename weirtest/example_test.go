package weirtest_test

import (
	"encoding/json"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/weirtest"
)

// Tick is what the application publishes.
type Tick struct {
	Symbol string `json:"symbol"`
	Cents  int    `json:"cents"`
}

// slowClientGetsTheNewestPrice is what the body of a TestSlowClientGetsTheNewestPrice would be.
func slowClientGetsTheNewestPrice(t *testing.T) {
	srv := weirtest.NewServer(t, weir.Options{Namespaces: []weir.NamespaceOptions{{
		Path:   "/feed",
		Topics: []weir.TopicOptions{{Name: "prices", Overflow: weir.Coalesce, Key: "/symbol"}},
	}}})
	slow := weirtest.Dial(t, srv.URL(), "/feed", weirtest.Slow(weirtest.Stalled))
	slow.Subscribe("prices")

	// Publish until prices wait in the lane, where a newer one replaces an older one of the same symbol.
	last := Tick{Symbol: "AAPL"}
	for replaced := 0; replaced < 10; last.Cents++ {
		receipt, err := srv.Weir().Publish(t.Context(), "/feed", "prices", last, weir.WithReceipt())
		if err != nil {
			t.Fatal(err)
		}
		replaced += receipt.Coalesced
	}
	last.Cents-- // the one that was published

	slow.Resume()
	var got Tick
	for got != last { // Next fails the test if it never comes
		if err := json.Unmarshal(slow.Next("prices")[0], &got); err != nil {
			t.Fatal(err)
		}
	}
	if n := slow.Received("prices"); n > last.Cents {
		t.Errorf("the slow client got %d prices of %d: nothing was replaced", n, last.Cents+1)
	}
}

func Example() {
	var t *testing.T // the test's own
	slowClientGetsTheNewestPrice(t)
}
