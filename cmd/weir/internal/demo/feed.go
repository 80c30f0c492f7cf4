package demo

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/streamweir/weir"
)

// Tick is one price.
type Tick struct {
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
	At     int64   `json:"at"`            // milliseconds since 1970
	N      uint64  `json:"n"`             // number in the feed, from 1: whether one is missing
	Pad    string  `json:"pad,omitempty"` // makes up the size of a real quote
}

const (
	tickEvery = 20 * time.Millisecond
	tickBytes = 400 // of a payload, about
)

// quotes are the instruments of the feed with the prices they start at: as many as a lane holds, so that COALESCE has
// room for every one.
var quotes = [laneMessages]struct {
	symbol string
	price  float64
}{
	{"AAPL", 227.4}, {"AMZN", 186.1}, {"ASML", 694.5}, {"BTC", 67210}, {"EURUSD", 1.0842}, {"GBPUSD", 1.2963},
	{"GOLD", 2738.2}, {"GOOG", 165.3}, {"META", 576.9}, {"MSFT", 416.8}, {"NVDA", 138.1}, {"OIL", 71.6},
	{"SAP", 213.9}, {"SIE", 181.3}, {"TSLA", 218.9}, {"USDJPY", 151.6},
}

// feed makes prices up, one symbol after another.
type feed struct {
	prices [laneMessages]float64
	turn   int
	n      uint64
}

func newFeed() *feed {
	f := &feed{}
	for i, q := range quotes {
		f.prices[i] = q.price
	}
	return f
}

// next moves the next symbol's price by up to a thousandth.
func (f *feed) next(now time.Time) Tick {
	i := f.turn
	f.turn = (f.turn + 1) % len(quotes)
	f.prices[i] *= 1 + (rand.Float64()-0.5)/500
	f.n++
	return Tick{Symbol: quotes[i].symbol, Price: rounded(f.prices[i]), At: now.UnixMilli(), N: f.n}
}

// rounded keeps six digits.
func rounded(price float64) float64 {
	scale := math.Pow(10, 5-math.Floor(math.Log10(price)))
	return math.Round(price*scale) / scale
}

// padding is cut to fill ticks up.
var padding = strings.Repeat("quote ", tickBytes/6)

// encode writes a tick of about tickBytes.
func (t Tick) encode() (json.RawMessage, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	t.Pad = padding[:tickBytes-len(raw)-len(`,"pad":""`)]
	return json.Marshal(t)
}

// run publishes the same ticks to the topic of every action until ctx ends or the server stops.
func (f *feed) run(ctx context.Context, srv *weir.Server, actions []Action, log *slog.Logger) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if err := publish(ctx, srv, actions, f.next(now)); errors.Is(err, weir.ErrDraining) {
				return
			} else if err != nil && ctx.Err() == nil {
				log.Warn("tick not published", "error", err)
			}
		}
	}
}

func publish(ctx context.Context, srv *weir.Server, actions []Action, t Tick) error {
	raw, err := t.encode()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range actions {
		_, err := srv.Publish(ctx, Namespace, a.Topic, raw)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
