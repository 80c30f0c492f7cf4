package ws

import (
	"bytes"
	"compress/flate"
	"strconv"
	"strings"
	"sync"
)

// Compressed messages (RFC 7692). Each message is compressed for itself, in both directions ("no context takeover"): a
// compressed frame is the same for every client and can be shared, and an idle connection holds no window.

// DeflateFrom is the size in bytes from which a payload is compressed (protocol.md 1.5).
const DeflateFrom = 1024

// deflateExtension is the name of the extension, and what is answered to an offer of it.
const (
	deflateExtension = "permessage-deflate"
	deflateAgreed    = deflateExtension + "; server_no_context_takeover; client_no_context_takeover"
)

// AcceptDeflate looks through the values of Sec-WebSocket-Extensions for an offer of permessage-deflate this package can
// keep, and returns the value to answer; ok is false if there is none (RFC 7692 5 and 7.1).
func AcceptDeflate(offers []string) (answer string, ok bool) {
	for _, list := range offers {
		for offer := range strings.SplitSeq(list, ",") {
			if acceptable(offer) {
				return deflateAgreed, true
			}
		}
	}
	return "", false
}

// acceptable reports whether one offer is permessage-deflate with parameters that can be kept. A server window of less
// than 32 KiB cannot be; the client's own limit is its affair.
func acceptable(offer string) bool {
	name, params, _ := strings.Cut(offer, ";")
	if strings.TrimSpace(name) != deflateExtension {
		return false
	}
	seen := make(map[string]bool)
	for param := range strings.SplitSeq(params, ";") {
		key, value, valued := strings.Cut(strings.TrimSpace(param), "=")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"`)
		if key == "" && params == "" {
			return true
		}
		if seen[key] {
			return false
		}
		seen[key] = true
		switch key {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return false
			}
		case "client_max_window_bits":
			if valued && !windowBits(value, 8) {
				return false
			}
		case "server_max_window_bits":
			if !windowBits(value, 15) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// windowBits reports whether value is a window size between least and 15 bits (RFC 7692 7.1.2).
func windowBits(value string, least int) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n >= least && n <= 15 && value[0] != '0'
}

// deflateTail ends a compressed message and is not sent (RFC 7692 7.2.1). inflateTail is what a reader adds instead: the
// same, and an empty final block, so that the end shows.
const (
	deflateTail = "\x00\x00\xff\xff"
	inflateTail = deflateTail + "\x01\x00\x00\xff\xff"
)

// Writers are 0.6 MB each, readers 40 KB.
var (
	deflaters = sync.Pool{New: func() any {
		w, err := flate.NewWriter(nil, flate.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

// AppendDeflated appends payload as one final, unmasked, compressed frame (RSV1 set); where compression would not make it
// shorter, or payload is shorter than DeflateFrom, as a plain one.
func AppendDeflated(dst []byte, op Opcode, payload []byte) []byte {
	if len(payload) < DeflateFrom {
		return AppendFrame(dst, op, payload)
	}
	packed := deflate(payload)
	if len(packed) >= len(payload) {
		return AppendFrame(dst, op, payload)
	}
	start := len(dst)
	dst = AppendFrame(dst, op, packed)
	dst[start] |= rsv1Bit
	return dst
}

func deflate(payload []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	out.Grow(len(payload)/2 + len(deflateTail))
	w.Reset(&out)
	_, _ = w.Write(payload) // a bytes.Buffer does not fail
	_ = w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte(deflateTail))
}
