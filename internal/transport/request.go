package transport

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/streamweir/weir/internal/wire/ws"
)

// headEnd ends a request's header.
var headEnd = []byte("\r\n\r\n")

// parseUpgrade reads a request that plainly asks to become a websocket from the head of b, its header complete up to and
// with the empty line, and returns it. Everything else is nil, and for net/http: other requests, and whatever is unusual
// or wrong in any way, which net/http knows how to answer. What is returned is therefore the strict part of RFC 9112: one
// space between the parts of the request line, no folded or odd field names, no body. Its header is that of into.
func parseUpgrade(head []byte, remote netip.AddrPort, into *fields) *http.Request {
	line, rest, ok := strings.Cut(string(head), "\r\n") // one allocation, which all of the request shares
	if !ok {
		return nil
	}
	uri, ok := strings.CutPrefix(line, "GET ")
	if !ok {
		return nil
	}
	uri, ok = strings.CutSuffix(uri, " HTTP/1.1")
	if !ok || !strings.HasPrefix(uri, "/") || strings.ContainsAny(uri, " \t") {
		return nil
	}
	h := into.header
	if !into.parse(rest) || !ws.HeaderHasToken(h["Connection"], "upgrade") || !ws.HeaderHasToken(h["Upgrade"], "websocket") {
		return nil
	}
	host := h["Host"]
	if len(host) != 1 || !isHost(host[0]) || h["Content-Length"] != nil || h["Transfer-Encoding"] != nil || h["Expect"] != nil {
		return nil
	}
	delete(h, "Host") // net/http leaves it in Host alone
	if p := h["Pragma"]; len(p) > 0 && p[0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"} // so does net/http (RFC 7234 5.4)
	}
	u := into.parseURL(uri)
	if u == nil {
		return nil
	}
	into.request = http.Request{
		Method: http.MethodGet, URL: u, RequestURI: uri, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Host: host[0], Body: http.NoBody, RemoteAddr: remote.String(),
	}
	return &into.request
}

// fields are what a request is parsed into. Reused, they save each connection more than a kilobyte of garbage.
type fields struct {
	request http.Request
	url     url.URL
	header  http.Header
	values  []string // what the header's slices point into
}

func newFields() *fields {
	return &fields{header: make(http.Header, 16), values: make([]string, 0, 16)}
}

// reset makes them empty. Nobody may hold the request any more.
func (f *fields) reset() {
	clear(f.header)
	clear(f.values)
	*f = fields{header: f.header, values: f.values[:0]}
}

// parseURL is url.ParseRequestURI for a path; nil if that is no plain one.
func (f *fields) parseURL(uri string) *url.URL {
	if strings.HasPrefix(uri, "//") {
		return nil
	}
	path, query, _ := strings.Cut(uri, "?")
	if query != "" && isPlainPath(path) && isPrintable(query) {
		f.url = url.URL{Path: path, RawQuery: query}
		return &f.url
	}
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil
	}
	return u
}

// isPlainPath reports whether a path means itself however it is looked at: nothing in it is escaped, or might be.
func isPlainPath(path string) bool {
	for i := range len(path) {
		c := path[i]
		plain := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !plain && strings.IndexByte("/-._~", c) < 0 {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F {
			return false
		}
	}
	return true
}

// parse reads header fields up to the empty line; false if any is not plain.
func (f *fields) parse(text string) bool {
	for {
		line, rest, ok := strings.Cut(text, "\r\n")
		if !ok {
			return false
		}
		if line == "" {
			return true
		}
		text = rest
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || !isToken(name) {
			return false
		}
		value = strings.Trim(value, " \t")
		if !isFieldValue(value) {
			return false
		}
		f.add(canonical(name), value)
	}
}

// canonical is textproto.CanonicalMIMEHeaderKey, without its garbage for the fields every client sends in the RFC's
// spelling.
func canonical(name string) string {
	switch name {
	case "Sec-WebSocket-Key":
		return "Sec-Websocket-Key"
	case "Sec-WebSocket-Version":
		return "Sec-Websocket-Version"
	case "Sec-WebSocket-Extensions":
		return "Sec-Websocket-Extensions"
	case "Sec-WebSocket-Protocol":
		return "Sec-Websocket-Protocol"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

func (f *fields) add(name, value string) {
	if others := f.header[name]; others != nil {
		f.header[name] = append(others, value)
		return
	}
	f.values = append(f.values, value)
	n := len(f.values)
	f.header[name] = f.values[n-1 : n : n]
}

// isToken reports whether s is a field name (RFC 9110 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return true
}

// isTokenByte reports whether c may stand in a token: a field or method name.
func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7F && strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) < 0
}

// isHost reports whether s is made of what may stand in a Host field (RFC 3986 3.2.2), as net/http has it.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		plain := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !plain && strings.IndexByte("!$%&'()*+,-.:;=[]_~", c) < 0 {
			return false
		}
	}
	return true
}

// isFieldValue reports whether s holds no control characters (RFC 9110 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}
