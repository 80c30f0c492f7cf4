package eio

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// separator stands between the packets of a payload (1.4). JSON escapes it, so it occurs in no Socket.IO packet.
const separator = 0x1e

// DecodePayload calls fn for each packet in the body of a POST, or of the response to a GET, in order. It stops at the
// first bad packet, those before it having been delivered (1.4), with a *[ParseError]; or at the first error of fn,
// which it returns as it is. A text packet that is not UTF-8 is bad. Text data is a view of body.
func DecodePayload(body []byte, fn func(Packet) error) error {
	for d := NewPayload(body); d.More(); {
		p, err := d.Next()
		if err != nil {
			return err
		}
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

// Payload is the body of a POST, taken packet by packet: DecodePayload for who stops in between.
type Payload struct {
	body         []byte
	index, start int
	large        []prepared // in their order, those not taken
}

// prepared is a packet that has been read ahead of its turn.
type prepared struct {
	start, size int // of its text in the body
	packet      Packet
	err         *ParseError
}

// largePacket is how many bytes of text a packet has that Prepare reads: the time they take would be felt.
const largePacket = 64 << 10

// Prepare reads the large packets ahead, so that Next costs little whatever the body holds. What is large but not most of
// the body is copied, so that it does not keep the whole. It is called before Next, where there is time, and returns how
// many bytes are held beside the body.
func (d *Payload) Prepare() (bytesHeld int) {
	for start := 0; start <= len(d.body); {
		size := textLen(d.body[start:])
		if text := d.body[start : start+size : start+size]; size > largePacket {
			copied := 2*size < len(d.body)
			if copied {
				text = bytes.Clone(text)
			}
			p, err := parseText(text)
			if d.large = append(d.large, prepared{start, size, p, err}); copied || p.Binary {
				bytesHeld += len(p.Data)
			}
		}
		start += size + 1
	}
	return bytesHeld
}

// textLen is the length of the text of the packet that b begins with.
func textLen(b []byte) int {
	if end := bytes.IndexByte(b, separator); end >= 0 {
		return end
	}
	return len(b)
}

// NewPayload returns all packets of body.
func NewPayload(body []byte) Payload { return Payload{body: body} }

// More reports whether Next has anything; an empty body has one packet, which is bad.
func (d *Payload) More() bool { return d.start <= len(d.body) }

// Left is how many bytes are not taken.
func (d *Payload) Left() int { return max(0, len(d.body)-d.start) }

// Next takes a packet. A bad one is a *[ParseError], and the last.
func (d *Payload) Next() (Packet, error) {
	p, size, err := d.read()
	if err != nil {
		err.Packet = d.index
		err.Pos += d.start
		d.start = len(d.body) + 1
		return Packet{}, err
	}
	d.start += size + 1
	d.index++
	return p, nil
}

func (d *Payload) read() (p Packet, size int, err *ParseError) {
	if len(d.large) > 0 && d.large[0].start == d.start {
		l := d.large[0]
		d.large[0] = prepared{}
		d.large = d.large[1:]
		return l.packet, l.size, l.err
	}
	size = textLen(d.body[d.start:])
	p, err = parseText(d.body[d.start : d.start+size : d.start+size])
	return p, size, err
}

func parseText(text []byte) (Packet, *ParseError) {
	p, err := parsePacket(text)
	if err != nil {
		return Packet{}, err
	}
	if !utf8.Valid(text) {
		return Packet{}, &ParseError{Reason: "text is not UTF-8", Pos: invalidUTF8(text)}
	}
	return p, nil
}

// invalidUTF8 is the position of the first byte of b that is not UTF-8.
func invalidUTF8(b []byte) int {
	i := 0
	for i < len(b) {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	return i
}

// AppendText appends a packet's text, type included, to a payload; first is true for the first packet of the payload,
// before which no separator stands. The text must not hold the byte 0x1e.
func AppendText(dst []byte, first bool, packet []byte) []byte {
	return append(appendSeparator(dst, first), packet...)
}

// AppendBinary appends a binary message to a payload; see AppendText for first.
func AppendBinary(dst []byte, first bool, data []byte) []byte {
	dst = append(appendSeparator(dst, first), binaryMark)
	return base64.StdEncoding.AppendEncode(dst, data)
}

func appendSeparator(dst []byte, first bool) []byte {
	if first {
		return dst
	}
	return append(dst, separator)
}

// EncodedTextLen is the number of bytes AppendText appends for a packet of n bytes.
func EncodedTextLen(first bool, n int) int { return separatorLen(first) + n }

// EncodedBinaryLen is the number of bytes AppendBinary appends for n bytes of data.
func EncodedBinaryLen(first bool, n int) int {
	return separatorLen(first) + 1 + base64.StdEncoding.EncodedLen(n)
}

func separatorLen(first bool) int {
	if first {
		return 0
	}
	return 1
}
