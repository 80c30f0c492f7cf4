package eio

import (
	"net/url"
	"strings"
)

// Request is what Engine.IO reads from the query of a request (1.1). Absent keys are "".
type Request struct {
	EIO       string // "4" is the only protocol of this package
	Transport string
	SID       string // "" asks for a handshake
	JSONP     string // the digits of j
	HasJSONP  bool   // j is present, even without digits
	Base64    bool   // b64 has a value: EIO 3 without binary
}

// Version is the protocol the client asks for: 4, or 3 if EIO is anything else or absent (1.1).
func (r Request) Version() int {
	if r.EIO == "4" {
		return 4
	}
	return 3
}

// ParseQuery reads the raw query of a URL, without the '?'. Of a repeated key the last one counts; unknown keys, which
// belong to the application, are skipped; a percent sign that escapes nothing stands for itself. It does not allocate
// unless a key or value is escaped, and never builds a map.
func ParseQuery(raw string) Request {
	var r Request
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		r.set(unescape(key), value)
	}
	return r
}

// set takes a value that is still escaped, so that those nobody asks for are not unescaped.
func (r *Request) set(key, value string) {
	switch key {
	case "EIO":
		r.EIO = unescape(value)
	case "transport":
		r.Transport = unescape(value)
	case "sid":
		r.SID = unescape(value)
	case "b64":
		r.Base64 = value != ""
	case "j":
		r.JSONP, r.HasJSONP = digits(unescape(value)), true
	}
}

func unescape(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return plain
}

// digits is s without everything that is not a decimal digit: what is echoed into a script must be harmless.
func digits(s string) string {
	isOther := func(r rune) bool { return r < '0' || r > '9' }
	if strings.IndexFunc(s, isOther) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isOther(r) {
			return -1
		}
		return r
	}, s)
}
