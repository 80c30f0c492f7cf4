// Package weir is a real-time delivery server for Socket.IO clients: unmodified
// clients connect, and the application declares, per topic, how delivery must
// behave when a client is slow.
//
// # A server
//
//	srv, err := weir.New(weir.Options{
//		Addr: "127.0.0.1:3000",
//		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{
//			{Name: "prices*", Overflow: weir.Coalesce, Key: "/symbol"},
//			{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew},
//		}}},
//	})
//	if err := srv.Listen(); err != nil { … } // "address already in use"
//	go func() { ended <- srv.Run(ctx) }()     // its error: a journal or a broker that fails
//	if err := srv.Ready(ctx); err != nil { … }
//	srv.Publish(ctx, "/feed", "prices.AAPL", tick)
//
// New reports every problem of the options at once and starts nothing. Run serves
// until its context ends, then drains and closes; Ready waits until it serves, and Close
// ends it at once. The library opens a port only where an address is configured; without
// one, mount the server:
//
//	mux.Handle("/socket.io/", srv)
//
// # Lanes
//
// For each client and topic there is one lane: a queue bounded in messages and
// bytes, and the only place where messages wait. On Linux the kernel is
// given at most some tens of KiB that it has not sent (ServerOptions.NotSentLowat), so the lane's
// policy acts on nearly everything that a slow client has not got. Weir's books say what became of every
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
// # Waiting
//
// Whatever can wait takes a context first. Emit, Reply, Join, Leave, Rooms and Disconnect
// wait for room or for an event loop, 5 s where the context has no deadline; Ask for
// clients, 30 s; Publish, and a Broadcast's Sockets, Join, Leave and Disconnect, as long as
// the context allows. A context that ends first ends the wait, not what was begun.
//
// # Errors
//
// Methods return an *Error with a Code of docs/errors.md, and say which; branch on it with
// errors.Is(err, weir.ErrBusy). Only the text of an *Error ever reaches a client. What has
// no code (New, Validate, Listen, Run, Drain, StaticTokens) is for people to read.
//
// # Options
//
// The zero value of every option is its default. Off, which is -1, switches off what can
// be; any other negative number, and what is beyond an option's range, New refuses.
//
// # Nodes
//
// A Server is one node, alone unless Options.Cluster names a broker that joins it to others. Publishes, and the Emit, Join,
// Leave, Disconnect and CloseConnections of a Broadcast, then reach all nodes, but for what Broadcast.Local narrows to this
// one; Ask and Fetch wait for what they say. What tells of "this node" (Clients, Sockets, Receipt, Events) stays on it.
// docs/guide/cluster.md says which of them are sent at most once.
//
// # Concurrency
//
// Everything exported may be called from any goroutine, unless it says otherwise.
// Handlers may block, and so may callbacks in Events and the log's handler, which
// have a goroutine each. All goroutines the server starts have ended when Run
// returns, but for one in a callback of Events or a log's handler that has blocked
// for more than 5 s or 1 s then.
package weir
