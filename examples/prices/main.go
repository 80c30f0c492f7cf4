// Command prices is a web application with a live price feed inside: Weir is
// mounted beside the application's own routes, and publishes with COALESCE. A
// client that reads slowly gets fewer prices, but never an old one while a newer
// one of the same symbol waits.
//
//	go run ./examples/prices
//
// Clients use socket.io-client unchanged:
//
//	const feed = io("http://127.0.0.1:3000/feed");
//	feed.on("connect", () => feed.emit("subscribe", { topic: "prices" }));
//	feed.on("prices", ({ symbol, price, at }) => …);
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamweir/weir"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := listen(ctx, *addr)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func listen(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf("clients: http://%s/feed", ln.Addr())
	return run(ctx, ln)
}

// run serves on ln until ctx ends.
func run(ctx context.Context, ln net.Listener) error {
	srv, err := weir.New(weir.Options{
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{{
			Name: "prices", Overflow: weir.Coalesce, Key: "/symbol", Max: weir.Limits{Messages: len(symbols)},
		}}}},
		Drain:  weir.DrainOptions{Timeout: 10 * time.Second},
		Events: weir.Events{Cut: func(e weir.CutEvent) { log.Printf("cut for %s: %d clients", e.Cause, len(e.Clients)) }},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "the application's own page")
	})
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	ended := make(chan error, 3)
	go func() { ended <- srv.Run(ctx) }()
	go func() { ended <- publish(ctx, srv) }()
	go func() { ended <- serve(web, ln) }()
	<-ctx.Done()
	// Run drains when ctx ends. The HTTP server is closed after that: it must answer
	// polling clients until they have left, and does not see websockets at all.
	err = errors.Join(<-ended, <-ended)
	return errors.Join(err, web.Close(), <-ended)
}

func serve(web *http.Server, ln net.Listener) error {
	if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

var symbols = []string{"AAPL", "AMZN", "GOOG", "MSFT", "NVDA"}

// tick is one price. Its symbol is the coalescing key: see Key above.
type tick struct {
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
	At     int64   `json:"at"` // ms since 1970
}

// publish sends ten ticks a second of each symbol until ctx ends.
func publish(ctx context.Context, srv *weir.Server) error {
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	price := make(map[string]float64)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-every.C:
			for _, s := range symbols {
				price[s] = max(price[s], 100) * (1 + (rand.Float64()-0.5)/1000)
				_, err := srv.Publish(ctx, "/feed", "prices", tick{s, price[s], now.UnixMilli()})
				if err := orBusy(err); err != nil && ctx.Err() == nil {
					return fmt.Errorf("publish %s: %w", s, err)
				}
			}
		}
	}
}

// orBusy passes over a price that came at a bad moment: the next one is near.
func orBusy(err error) error {
	if errors.Is(err, weir.ErrBusy) {
		return nil
	}
	return err
}
