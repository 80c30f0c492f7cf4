// Package engineio is the Engine.IO v4 server: handshake, heartbeat, the
// polling and websocket transports of a session, and the upgrade from one to
// the other (protocol.md 1).
//
// A [Server] is an http.Handler. What belongs to a [Session] belongs to one
// loop (architecture.md D3): requests and connections reach it as tasks, and nothing on
// the loop waits. The delivery side is behind two interfaces, [Acceptor] for
// the door and [Host] for each session; it flushes through Session.Window,
// Control and Write.
//
//	HTTP goroutine                     loop of the session
//	check, Admit, Assign   --open-->   Acceptor.Open, registry
//	GET waits              --poll-->   Host.Writable; Window, Control, Write
//	           <--------payload-----
//	POST body              --body-->   Host.Message
//	reader of a websocket  --batch-->  Host.Message
package engineio
