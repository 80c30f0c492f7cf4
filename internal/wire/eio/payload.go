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
}

// NewPayload returns all packets of body.
func NewPayload(body []byte) Payload { return Payload{body: body} }

// More reports whether Next has anything; an empty body has one packet, which is bad.
func (d *Payload) More() bool { return d.start <= len(d.body) }

// Left is how many bytes are not taken.
func (d *Payload) Left() int { return max(0, len(d.body)-d.start) }

// Next takes a packet. A bad one is a *[ParseError], and the last.
func (d *Payload) Next() (Packet, error) {
	text := d.body[d.start:]
	if end := bytes.IndexByte(text, separator); end >= 0 {
		text = text[:end:end]
	}
	p, err := parseText(text)
	if err != nil {
		err.Packet = d.index
		err.Pos += d.start
		d.start = len(d.body) + 1
		return Packet{}, err
	}
	d.start += len(text) + 1
	d.index++
	return p, nil
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
