// Command orders confirms orders to the customers who placed them, with
// AT_LEAST_ONCE: a confirmation is repeated until the customer's client has
// acknowledged it, for as long as that client stays connected. What it cannot
// survive yet is the client's reconnect or the server's restart: keep orders in
// a database, and let clients ask for what they missed when they connect.
//
//	go run ./examples/orders
//	curl -X POST 'http://127.0.0.1:3000/orders?customer=alice&id=1001'
//
// Clients use socket.io-client unchanged:
//
//	const shop = io("http://127.0.0.1:3000/shop", { auth: { token: "alice-token" } });
//	shop.on("connect", () => shop.emit("subscribe", { topic: "order-confirmed" }));
//	shop.on("order-confirmed", (order, { messageId, redelivered }) => {
//	  // redelivered: seen before, perhaps; deal with an order only once.
//	  shop.emit("ack", { topic: "order-confirmed", messageId });
//	});
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamweir/weir"
)

// ackTimeout is how long a client has to acknowledge before the first repeat.
const ackTimeout = 5 * time.Second

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
	log.Printf("clients: http://%s/shop; orders: POST http://%s/orders", ln.Addr(), ln.Addr())
	return run(ctx, ln, ackTimeout)
}

// run serves on ln until ctx ends.
func run(ctx context.Context, ln net.Listener, ackTimeout time.Duration) error {
	srv, err := newServer(ackTimeout)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.Handle("POST /orders", orders{srv})
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	ended := make(chan error, 2)
	go func() { ended <- serve(web, ln) }()
	err = srv.Run(ctx) // until ctx ends; then it drains
	err = errors.Join(err, web.Close())
	return errors.Join(err, <-ended)
}

func serve(web *http.Server, ln net.Listener) error {
	if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newServer(ackTimeout time.Duration) (*weir.Server, error) {
	tokens, err := weir.StaticTokens(map[string]string{"alice": "alice-token", "bob": "bob-token"})
	if err != nil {
		return nil, err
	}
	return weir.New(weir.Options{
		Authenticate: tokens,
		Servers: []weir.ServerOptions{{
			Auth: true,
			Namespaces: []weir.NamespaceOptions{{
				Path: "/shop", AuthRequired: true,
				Topics: []weir.TopicOptions{{
					Name: "order-confirmed", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, AckTimeout: ackTimeout,
				}},
			}},
		}},
		Drain: weir.DrainOptions{Timeout: 10 * time.Second},
	})
}

// orders takes orders and confirms them.
type orders struct{ srv *weir.Server }

type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
}

// confirmation is the answer to POST /orders.
type confirmation struct {
	MessageID string `json:"messageId"`
	Reached   int    `json:"reached"` // clients of the customer whose lanes have it
}

// ServeHTTP places an order. Asking again with the same id, within five minutes,
// confirms nothing twice: the order's id is the message's.
func (h orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := order{ID: r.FormValue("id"), Customer: r.FormValue("customer")}
	receipt, err := h.srv.Publish(r.Context(), "/shop", "order-confirmed", o,
		weir.ToPrincipal(o.Customer), weir.MessageID("order-"+o.ID), weir.WithReceipt())
	switch {
	case errors.Is(err, weir.ErrBusy), errors.Is(err, weir.ErrDraining):
		w.Header().Set("Retry-After", "1")
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(confirmation{receipt.MessageID, receipt.Queued}) // the caller is gone if this fails
}
