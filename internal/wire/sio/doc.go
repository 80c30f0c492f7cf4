// Package sio is the codec of Socket.IO v5 with its default (JSON) parser; section numbers refer to protocol.md.
//
// It is pure: no I/O, clock or goroutine. A packet is the text of one Engine.IO message, that is without the leading
// '4' of Engine.IO: decoders expect it removed, encoders leave it to the caller. Arguments are never decoded: they
// travel as raw JSON, byte for byte as the client wrote them.
//
// A packet with binary arguments is a text followed by its attachments. The text holds placeholders, and an [Assembler]
// gathers the parts; [Inline] turns them into JSON that encoding/json can decode.
package sio
