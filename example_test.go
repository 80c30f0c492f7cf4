package weir_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/streamweir/weir"
	socketio "github.com/streamweir/weir/internal/peer"
)

// New reports every problem of the options at once.
func ExampleNew() {
	_, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{{
		Path: "feed",
		Topics: []weir.TopicOptions{
			{Name: "prices", Overflow: weir.DropOldest, Key: "/symbol"},
			{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.DropOldest},
		},
	}}})
	fmt.Println(err)
	// Output: Servers[0].Namespaces[0].Path "feed": want a path that begins with "/" and has no comma or question mark
	// Servers[0].Namespaces[0].Topics[0] (prices).Key "/symbol": only COALESCE uses a key
	// Servers[0].Namespaces[0].Topics[1] (orders).Overflow DROP_OLDEST: an AT_LEAST_ONCE topic cannot drop messages; want REJECT_NEW, SPILL_TO_DISK or DISCONNECT
}

// A server without an address opens no port: it is mounted in the application's own.
func ExampleServer_ServeHTTP() {
	srv, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	web := httptest.NewServer(mux) // the application's
	defer web.Close()

	handshake := web.URL + "/socket.io/?EIO=4&transport=polling"
	fmt.Println("before Run:", status(handshake))
	ctx, leave := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	if err := srv.Ready(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println("ready:", status(handshake))

	leave()         // Run drains ...
	_ = srv.Close() // ... but nobody has to be waited for
	fmt.Println("ended:", <-ended)
	// Output:
	// before Run: 503 Service Unavailable
	// ready: 200 OK
	// ended: <nil>
}

func status(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Status
}

// What a handler returns answers the client's callback; of its errors clients read the text
// of an *Error only.
func ExampleHandle() {
	type order struct {
		SKU    string `json:"sku"`
		Amount int    `json:"amount"`
	}
	type placed struct {
		ID string `json:"id"`
	}
	srv, err := weir.New(weir.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	weir.Handle(srv.Namespace("/shop"), "order", func(_ context.Context, _ *weir.Socket, in order) (placed, error) {
		switch {
		case in.Amount < 1:
			return placed{}, weir.Errorf(weir.ErrInvalid, "amount %d: want 1 or more", in.Amount)
		case in.SKU != "tea":
			return placed{}, errors.New("no connection to the warehouse at 10.0.0.7")
		}
		return placed{ID: fmt.Sprintf("%s-%d", in.SKU, in.Amount)}, nil
	})

	client, stop := visit(srv, "/shop") // in JavaScript: const client = io("/shop")
	defer stop()
	fmt.Println(client.ask("order", `{"sku":"tea","amount":2}`)) // await client.emitWithAck("order", …)
	fmt.Println(client.ask("order", `{"sku":"tea","amount":0}`))
	fmt.Println(client.ask("order", `{"sku":"cake","amount":1}`))
	// Output:
	// [{"id":"tea-2"}]
	// [{"ok":false,"code":"invalid","reason":"amount 0: want 1 or more","retryable":false}]
	// [{"ok":false,"code":"internal","reason":"the handler failed","retryable":false}]
}

// A publish goes to the subscribers of a topic, through a lane for each of them.
func ExampleServer_Publish() {
	srv, err := weir.New(weir.Options{
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{
			{Name: "prices.*", Overflow: weir.Coalesce, Key: "/symbol"},
		}}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, stop := visit(srv, "/feed")
	defer stop()
	client.ask("weir:subscribe", `{"topic":"prices.tea"}`)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // how long there may be no room
	defer cancel()
	tick := map[string]any{"symbol": "tea", "cents": 250}
	receipt, err := srv.Publish(ctx, "/feed", "prices.tea", tick, weir.TTL(2*time.Second), weir.WithReceipt())
	fmt.Println("subscribers:", receipt.Subscribers, "queued:", receipt.Queued, "error:", err)
	fmt.Println("the client got:", client.next())

	_, err = srv.Publish(ctx, "/feed", "rumours", tick)
	fmt.Println(err, errors.Is(err, weir.ErrUnknown))
	// Output:
	// subscribers: 1 queued: 1 error: <nil>
	// the client got: prices.tea [{"cents":250,"symbol":"tea"}]
	// unknown: unknown topic rumours in /feed true
}

// To chooses the sockets in a room; of a socket, all but that one.
func ExampleNamespace_To() {
	srv, err := weir.New(weir.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	chat := srv.Namespace("/chat")
	chat.OnConnect(func(ctx context.Context, s *weir.Socket) error {
		if err := s.Join(ctx, "lobby"); err != nil {
			return err
		}
		return s.To("lobby").Emit(ctx, "joined") // the others
	})
	chat.On("ready", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx) })

	ann, stop := visit(srv, "/chat")
	defer stop()
	ann.ask("ready", "null") // OnConnect is over
	bob, stop := visit(srv, "/chat")
	defer stop()
	bob.ask("ready", "null")
	if err := chat.To("lobby").Emit(context.Background(), "said", "hello"); err != nil {
		fmt.Println(err)
	}
	fmt.Println("ann:", ann.next())
	fmt.Println("ann:", ann.next())
	fmt.Println("bob:", bob.next())
	// Output:
	// ann: joined []
	// ann: said ["hello"]
	// bob: said ["hello"]
}

// A handler of HTTP passes on what went wrong.
func ExampleErrorf() {
	cause := errors.New("database: timeout")
	err := error(weir.Errorf(weir.ErrUnavailable, "prices of %q: %w", "tea", cause))
	fmt.Println(err)
	fmt.Println(errors.Is(err, weir.ErrUnavailable), errors.Is(err, weir.ErrBusy), errors.Is(err, cause))
	var e *weir.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.Code.Status(), e.Code.Retryable())
	}
	// Output:
	// unavailable: prices of "tea": database: timeout
	// true false true
	// unavailable 503 true
}

// visitor is a Socket.IO client of an example.
type visitor struct {
	conn   *socketio.Conn
	events chan string
}

// visit runs the server, unless it runs already, and joins a namespace of it.
func visit(srv *weir.Server, namespace string) (v *visitor, stop func()) {
	web := httptest.NewServer(srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(context.Background()) }()
	v = &visitor{events: make(chan string, 16)}
	err := srv.Ready(context.Background())
	if err == nil {
		var target socketio.Target
		if target, err = socketio.ParseTarget(web.URL, namespace); err == nil {
			v.conn, err = socketio.Dial(context.Background(), target, socketio.Options{Timeout: time.Minute})
		}
	}
	if err != nil {
		panic(err)
	}
	gone := make(chan struct{})
	v.conn.Start(func(e socketio.Event) error {
		args, err := json.Marshal(e.Arguments())
		v.events <- e.Name + " " + string(args)
		return err
	}, func(error) { close(gone) })
	return v, func() {
		_ = v.conn.Close()
		<-gone
		_, _ = srv.Close(), <-ended // in order
		web.Close()
	}
}

// ask emits an event and returns what the server answers.
func (v *visitor) ask(event, arg string) string {
	answer, err := v.conn.Ask(context.Background(), event, json.RawMessage(arg))
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

// next returns the next event with its arguments.
func (v *visitor) next() string { return <-v.events }
