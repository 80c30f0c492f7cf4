// Package transport brings bytes to and from clients: websocket connections
// and the requests of HTTP long-polling. It knows frames and payloads, not
// sessions (that is package engineio).
//
// A connection belongs to one loop (architecture.md D3). Methods marked
// //weir:loop are called on it only and never wait; goroutines of this package and
// HTTP handlers reach the loop by posting tasks. Window and Write are the door
// through which lanes are drained (architecture.md D1): nothing is buffered here except
// the one batch that is under way.
//
// The goroutine driver has one parked goroutine per connection that reads. On
// Linux a TCP connection is written from the loop without blocking, in the clear
// or over the TLS of a Secure, and holds no buffer while idle; other connections
// (the application's own TLS, other systems) hand each batch to a goroutine that
// lives as long as the write.
package transport
