// Package weir is a real-time delivery server for Socket.IO clients: unmodified
// clients connect, and the application declares, per topic, how delivery must
// behave when a client is slow.
//
// # A server in ten lines
//
//	srv, err := weir.New(weir.Options{
//		Addr: "127.0.0.1:3000",
//		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{
//			{Name: "prices*", Overflow: weir.Coalesce, Key: "/symbol"},
//			{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew},
//		}}},
//	})
//	if err := srv.Listen(); err != nil { … } // "address already in use"
//	go srv.Run(ctx)
//	srv.Publish(ctx, "/feed", "prices.AAPL", tick)
//
// New reports every problem of the options at once and starts nothing. Run serves
// until its context ends, then drains and closes. The library opens a port only
// where an address is configured; without one, mount the server:
//
//	mux.Handle("/socket.io/", srv)
//
// # Lanes
//
// For each client and topic there is one lane: a queue bounded in messages and
// bytes, and the only place where messages wait. The kernel is given no more than
// a few KiB that it has not sent (Options.NotSentLowat), so the lane's policy acts on
// everything a slow client has not got. Weir's books say what became of every
// message offered to a lane: written or acknowledged, coalesced, or dropped for
// one of a fixed set of reasons. See docs/promises.md.
//
// # A Socket.IO server
//
// Namespaces have handlers as in Socket.IO for Node: Use, OnConnect, On, Handle,
// To, Except, Join, Ask. Handlers run on bounded workers, one after another for
// each socket; what a handler sends arrives in the order it was sent. docs/guide
// has the calls of Socket.IO side by side with those of this package.
//
// # Concurrency
//
// Everything exported may be called from any goroutine, unless it says otherwise.
// Handlers may block, and so may callbacks in Events and the log's handler, which
// have a goroutine each. All goroutines the server starts have ended when Run
// returns, but for one in a callback of Events or a log's handler that has blocked
// for more than 5 s or 1 s then.
package weir
