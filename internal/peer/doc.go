// Package peer is the client's side of Socket.IO v5 over a websocket, for whatever of Weir has to be a client: the load
// tool, slow readers, tests and examples. Applications use socket.io-client.
//
// A [Target] is a namespace of a server. A [Script] is what every client of a target says, prepared once. A [Machine]
// is the protocol of one client without I/O, small enough to be held a hundred thousand times. A [Conn] is a blocking
// client on a Machine. None of them knows that there is a server in this module: they speak to any.
//
// Section numbers refer to protocol.md. Only the websocket transport is spoken; binary events are skipped and counted.
package peer
