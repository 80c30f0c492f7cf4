package eio

import (
	"encoding/base64"
	"fmt"
)

// The meanings of a byte in base64, as real clients write it: a value below 64, or one of these.
const (
	blank   = 0x40 + iota // line breaks every 76 characters and at the end, spaces
	padding               // at the end, or left out
	foreign               // anything else
)

// sextets maps the characters of both alphabets of RFC 4648 to their values.
var sextets = func() (table [256]byte) {
	for c := range table {
		table[c] = foreign
	}
	for _, alphabet := range [...]string{"+/", "-_"} {
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		for i, c := range []byte(letters + alphabet) {
			table[c] = byte(i)
		}
	}
	for _, c := range []byte(" \t\r\n") {
		table[c] = blank
	}
	table['='] = padding
	return table
}()

// decodeBase64 reads base64 as the clients in the field write it: in either alphabet, with or without padding, with blanks
// anywhere (the Java client breaks lines), whatever the bits that do not make a byte. It refuses what no encoder writes:
// other characters, anything but blanks after padding, a character too few or too much padding. Positions of its errors
// are those in the packet.
func decodeBase64(text []byte) ([]byte, *ParseError) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)+3))
	if n, err := base64.StdEncoding.Decode(data, text); err == nil { // nearly everybody, and faster
		return data[:n], nil
	}
	return decodeLoosely(data[:0], text)
}

// decodeLoosely appends what text stands for to data, which has room for it.
func decodeLoosely(data, text []byte) ([]byte, *ParseError) {
	bits, digits, pads := uint32(0), 0, 0
	for i, c := range text {
		switch v := sextets[c]; {
		case v == blank:
		case v == padding && digits >= 2 && digits+pads < 4:
			pads++
		case v < 64 && pads == 0:
			bits = bits<<6 | uint32(v)
			if digits++; digits == 4 {
				data = append(data, byte(bits>>16), byte(bits>>8), byte(bits))
				digits = 0
			}
		default:
			return nil, &ParseError{Reason: fmt.Sprintf("%q in base64", c), Pos: i + 1}
		}
	}
	switch digits {
	case 1:
		return nil, &ParseError{Reason: "base64 ends within a byte", Pos: len(text) + 1}
	case 2:
		data = append(data, byte(bits>>4))
	case 3:
		data = append(data, byte(bits>>10), byte(bits>>2))
	}
	return data, nil
}
