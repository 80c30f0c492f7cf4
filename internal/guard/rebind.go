package guard

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// The refusals of CheckLocal.
var (
	ErrForeignHost = errors.New("not a name of this machine")
	ErrCrossSite   = errors.New("sent by a page of another site")
	ErrNotJSON     = errors.New("want application/json or application/x-ndjson")
)

// CheckLocal guards a management API that listens on loopback without keys (operating.md). Every web page the operator
// has open can reach such a port: by a form, by fetch, or under a name of its own that it lets point to 127.0.0.1 (DNS
// rebinding), which makes it the same origin. So it refuses, for every method,
//
//   - a Host other than localhost, 127.0.0.1, [::1] or the address the connection came in on, with any port, since
//     port forwarding changes it (ErrForeignHost);
//   - an Origin that is not the Host's, and a Sec-Fetch-Site other than same-origin or none (ErrCrossSite);
//
// and for a method that may write, a body not declared as JSON or NDJSON, which no form can send and no script of
// another site without a preflight (ErrNotJSON).
func CheckLocal(r *http.Request) error {
	if !localHost(r) {
		return fmt.Errorf("host %q: %w", r.Host, ErrForeignHost)
	}
	for _, origin := range r.Header.Values("Origin") {
		// An empty Origin is not "none sent": no client writes one.
		verdict := Origins{}.Check(BrowserRequest{Origin: origin, Host: r.Host, TLS: r.TLS != nil})
		if origin == "" || verdict != OriginAllowed {
			return fmt.Errorf("origin %q: %w", origin, ErrCrossSite)
		}
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return fmt.Errorf("sec-fetch-site %q: %w", site, ErrCrossSite)
		}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if declared := r.Header.Get("Content-Type"); !jsonType(declared) {
		return fmt.Errorf("content type %q: %w", declared, ErrNotJSON)
	}
	return nil
}

func localHost(r *http.Request) bool {
	host, _, ok := splitHostPort(r.Host)
	if !ok {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	if addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback() {
		return true
	}
	came, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return came != nil && addr == came.AddrPort().Addr().Unmap().WithZone("")
}

func jsonType(declared string) bool {
	media, _, err := mime.ParseMediaType(declared)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/x-ndjson", "application/ndjson":
		return true
	}
	return false
}
