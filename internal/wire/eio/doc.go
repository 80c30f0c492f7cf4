// Package eio is the codec of Engine.IO v4: packets, the payloads of HTTP long-polling, the handshake, the query of a
// request and the table of errors. Section numbers refer to protocol.md.
//
// It is pure: no I/O, clock or goroutine. Functions may be called concurrently on different buffers.
package eio
