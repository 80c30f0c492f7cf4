package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// OriginVerdict is what Origins says of a request. The zero value refuses.
type OriginVerdict uint8

// The verdicts of Origins.Check.
const (
	OriginForeign   OriginVerdict = iota // from a page that is not allowed: 403
	OriginAllowed                        // not from a page, from our own, or from a listed one
	OriginMalformed                      // bytes no header may hold: Engine.IO code 3 (protocol.md 1.1)
)

// BrowserRequest is what a browser says of where a request comes from and goes to.
type BrowserRequest struct {
	Origin string // the Origin header; empty when there is none
	Host   string // the Host header
	TLS    bool   // TLS ends here, not at a proxy in front
}

// Origins decides which web pages may open a connection (configuration.md). Neither CORS nor the same-origin policy covers
// websockets: without this check any page a user visits could connect with the user's cookies. The zero value allows
// the server's own origin only. It is immutable.
type Origins struct {
	any   bool
	null  bool
	exact map[webOrigin]struct{}
	under []webOrigin // host is ".example.com"
}

// webOrigin is an origin in normal form: lower case, the port always written.
type webOrigin struct {
	scheme, host string
	port         uint16 // 0: none written and none known for the scheme
}

// NewOrigins reads the origins allowed besides the server's own. An entry is `https://host[:port]`, a wildcard for all
// subdomains at any depth `https://*.example.com[:port]`, `null` (sandboxed pages and files), or `*` for every page.
// Schemes are free (`capacitor://localhost`, Cordova's `file://`, Electron's `app://.`). A slash at the end, which some
// clients write, changes nothing. The error names each bad entry with its index.
func NewOrigins(list []string) (Origins, error) {
	o := Origins{exact: make(map[webOrigin]struct{}, len(list))}
	var errs []error
	for i, entry := range list {
		if err := o.add(entry); err != nil {
			errs = append(errs, fmt.Errorf("origins[%d] %q: %w", i, entry, err))
		}
	}
	if len(errs) > 0 {
		return Origins{}, errors.Join(errs...)
	}
	return o, nil
}

func (o *Origins) add(entry string) error {
	switch entry {
	case "*":
		o.any = true
		return nil
	case "null":
		o.null = true
		return nil
	}
	scheme, rest, _ := strings.Cut(entry, "://")
	domain, wildcard := strings.CutPrefix(rest, "*.")
	if wildcard {
		entry = scheme + "://" + domain
	}
	w, ok := parseOrigin(entry)
	if !ok {
		return errors.New(`want scheme://host[:port], scheme://*.domain[:port], file://, null or *; no path, and names in ASCII (punycode)`)
	}
	if !wildcard {
		o.exact[w] = struct{}{}
		return nil
	}
	if _, err := netip.ParseAddr(strings.Trim(w.host, "[]")); err == nil {
		return errors.New("an address has no subdomains")
	}
	w.host = "." + w.host
	o.under = append(o.under, w)
	return nil
}

// Check judges a request. One without an Origin does not come from a page and is allowed. The server's own origin is
// recognised by host and port alone, since a proxy may have ended TLS and the scheme cannot be known; where TLS ends
// here, a page loaded without it does not pass for the server's own.
func (o Origins) Check(r BrowserRequest) OriginVerdict {
	if r.Origin == "" {
		return OriginAllowed
	}
	if !validHeaderValue(r.Origin) {
		return OriginMalformed
	}
	if o.any || o.null && r.Origin == "null" {
		return OriginAllowed
	}
	w, ok := parseOrigin(r.Origin)
	if ok && (o.lists(w) || w.serves(r)) {
		return OriginAllowed
	}
	return OriginForeign
}

func (o Origins) lists(w webOrigin) bool {
	if _, ok := o.exact[w]; ok {
		return true
	}
	for _, u := range o.under {
		if u.scheme == w.scheme && u.port == w.port && strings.HasSuffix(w.host, u.host) {
			return true
		}
	}
	return false
}

// serves says whether the page was loaded from the host it now connects to. A Host without a port means the default
// one: of https where TLS ends here, of the page's own scheme otherwise.
func (w webOrigin) serves(r BrowserRequest) bool {
	host, port, ok := splitHostPort(r.Host)
	if !ok || host != w.host {
		return false
	}
	if r.TLS && w.scheme != "https" {
		return false
	}
	if port == 0 {
		port = defaultPort(w.scheme)
	}
	return port != 0 && port == w.port
}

// parseOrigin reads the serialization of RFC 6454 6.2: scheme "://" host [":" port], and nothing else but a slash at the
// end. Outside the web the host may be anything made of dots and names, or nothing.
func parseOrigin(s string) (w webOrigin, ok bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !validScheme(scheme) {
		return webOrigin{}, false
	}
	w.scheme = strings.ToLower(scheme)
	rest = strings.TrimSuffix(rest, "/")
	if defaultPort(w.scheme) == 0 && strings.Trim(rest, ".") == "" {
		w.host = rest
		return w, true
	}
	if w.host, w.port, ok = splitHostPort(rest); !ok {
		return webOrigin{}, false
	}
	if w.port == 0 {
		w.port = defaultPort(w.scheme)
	}
	return w, true
}

// splitHostPort splits host[:port] and lowers the host; port is 0 when not written. Brackets of an IPv6 address stay.
func splitHostPort(s string) (host string, port uint16, ok bool) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		host, port = s[:i], uint16(n)
	}
	if inner, v6 := strings.CutPrefix(host, "["); v6 {
		inner, v6 = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !v6 || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", 0, false
		}
		return "[" + addr.String() + "]", port, true
	}
	if !validName(host) {
		return "", 0, false
	}
	return strings.ToLower(host), port, true
}

func defaultPort(scheme string) uint16 {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	}
	return 0
}

// validScheme is RFC 3986 3.1.
func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(s[i]))) {
			return false
		}
	}
	return s != ""
}

// validName accepts what a browser writes for a host: letters, digits, hyphens, underscores, single dots between.
func validName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			c := label[i]
			lower := c | 0x20
			if ('a' > lower || lower > 'z') && ('0' > c || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// validHeaderValue is the check of Engine.IO: tab, printable ASCII and everything above.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
