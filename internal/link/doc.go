// Package link is the joint of the two halves of the server, and of the server with its clients: a Client is the host
// of a session to the protocol half and the peer of a connection to the delivery half; a Door lets clients in.
//
//	transport ── engineio ──┐                          ┌── delivery ── outbox
//	                        ├── link: Door, Client ────┤
//	              socketio ─┘            │             └── (the way out is the session itself)
//	                                     └── Socket, Reception, House: the root's namespaces and sockets
//
// What the embedder sees, handlers, and what a client asks for are the root's. An event goes from socketio straight to the
// root's socket: nothing of this package is in between.
package link
