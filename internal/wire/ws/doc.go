// Package ws is the WebSocket frame codec of RFC 6455, without extensions.
//
// It is pure: bytes in, callbacks or bytes out; no I/O, clock or goroutine. A [Decoder] takes whatever a read returned
// and calls a [Handler] with whole messages; the Append functions build frames in the caller's buffer. The opening
// handshake is left to the HTTP side, which finds the computations it needs in [Accept], [ValidKey] and
// [HeaderHasToken].
//
// Nothing here is safe for concurrent use except the functions without a receiver.
package ws
