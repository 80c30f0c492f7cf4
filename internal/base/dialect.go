package base

import "fmt"

// Parser is how a client spells Socket.IO packets: the parser its application is built with. Nothing of it is negotiated; a
// server has one.
type Parser uint8

// JSON is socket.io-parser: text, and each binary part as an attachment behind it.
const JSON Parser = 0

// Protocol is the version of Engine.IO that a client speaks, named in its handshake.
type Protocol uint8

// EIO4 is Engine.IO 4, the protocol of Socket.IO 3 and 4.
const EIO4 Protocol = 0

// Dialect is what a session speaks, from its handshake to its end: a Protocol and a Parser. The zero Dialect is JSON over
// Engine.IO 4, the first dialect, in which every packet can be made; frames in others are made from that (package packet).
// A namespace's option "dialect" is something else: the Shape of its deliveries.
type Dialect uint8

const (
	protocols = 4 // at most
	parsers   = 8 // at most

	// Dialects bounds the values of a Dialect.
	Dialects = protocols * parsers
)

// NewDialect returns the dialect of a parser and a protocol, which are below 8 and 4.
func NewDialect(p Parser, v Protocol) Dialect { return Dialect(p)*protocols + Dialect(v) }

// Parser is how packets are spelled.
func (d Dialect) Parser() Parser { return Parser(d / protocols) }

// Protocol is the version of Engine.IO.
func (d Dialect) Protocol() Protocol { return Protocol(d % protocols) }

// String is for failures: parser 1, protocol 0.
func (d Dialect) String() string {
	return fmt.Sprintf("parser %d, protocol %d", d.Parser(), d.Protocol())
}
