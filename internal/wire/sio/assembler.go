package sio

import "bytes"

// Assembler gathers a BINARY_EVENT or BINARY_ACK and its attachments (2.1, Binary). One per connection, one goroutine
// at a time. It holds copies, and only while attachments are missing; between packets it is one word. The zero value is
// ready.
//
// Nothing may come between a header and its attachments: before any other text is parsed, ask Pending, and treat true
// as a fault of the client. Start does so by itself. After an error the connection is to be closed.
type Assembler struct {
	part *partial // nil between packets
}

// partial is a packet whose attachments are not all there. held counts the bytes of the text's parts and attachments.
type partial struct {
	packet      Packet
	attachments [][]byte
	held, limit int
}

// Pending reports whether attachments are missing.
func (a *Assembler) Pending() bool {
	return a.part != nil && len(a.part.attachments) < a.part.packet.Attachments
}

// Held is the number of payload bytes the assembler keeps.
func (a *Assembler) Held() int {
	if a.part == nil {
		return 0
	}
	return a.part.held
}

// Start takes the header of a packet with attachments, as Parse returned it, and copies it. The packet may have limit
// bytes, namespace, JSON and attachments together.
func (a *Assembler) Start(p Packet, limit int) error {
	if a.part != nil {
		a.Reset()
		return errorAt(-1, "text while attachments are missing")
	}
	if !p.Type.HasAttachments() || p.Attachments < 1 || p.Attachments > MaxAttachments {
		return errorAt(-1, "%v with %d attachments cannot be assembled", p.Type, p.Attachments)
	}
	held := len(p.Namespace) + len(p.Data)
	if held > limit {
		return errorAt(-1, "packet with attachments of at least %d bytes, limit %d", held, limit)
	}
	p.Namespace, p.Data = bytes.Clone(p.Namespace), bytes.Clone(p.Data)
	a.part = &partial{packet: p, attachments: make([][]byte, 0, p.Attachments), held: held, limit: limit}
	return nil
}

// Add takes a copy of the next binary message and reports whether it was the last one missing: then Take returns the
// packet.
func (a *Assembler) Add(b []byte) (complete bool, err error) {
	if !a.Pending() {
		return false, errorAt(-1, "binary message of %d bytes without a header", len(b))
	}
	if part := a.part; len(b) > part.limit-part.held {
		a.Reset()
		return false, errorAt(-1, "packet with attachments of at least %d bytes, limit %d", part.held+len(b), part.limit)
	}
	a.part.attachments = append(a.part.attachments, append([]byte{}, b...))
	a.part.held += len(b)
	return !a.Pending(), nil
}

// Take returns the complete packet and its attachments, which are the caller's from now on, and forgets them. It
// panics unless Add has reported completion.
func (a *Assembler) Take() (Packet, [][]byte) {
	if a.part == nil || a.Pending() {
		panic("sio: Take of an incomplete packet")
	}
	part := a.part
	a.part = nil
	return part.packet, part.attachments
}

// Reset forgets a packet in progress.
func (a *Assembler) Reset() { a.part = nil }
