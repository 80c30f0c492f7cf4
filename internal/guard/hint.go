package guard

import "strings"

// OriginAdvice says what to do about a page that was refused, by what shows of a proxy in front: forwarded is its
// X-Forwarded-Host, "" if it sent none. It holds nothing a client has sent.
func OriginAdvice(r BrowserRequest, forwarded string) string {
	const (
		pass = "a page of the server's own address was refused: the proxy in front does not pass the Host header on; nginx: proxy_set_header Host $http_host"
		port = "a page of the server's own address was refused: the proxy in front passes Host on without its port; nginx: proxy_set_header Host $http_host"
		list = "a page of another origin was refused: list it in origins, or, if it is the server's own, let the proxy pass the Host header on (nginx: proxy_set_header Host $http_host)"
	)
	w, ok := parseOrigin(r.Origin)
	if !ok {
		return list
	}
	first, _, _ := strings.Cut(forwarded, ",")
	if through := (BrowserRequest{Origin: r.Origin, Host: strings.TrimSpace(first)}); first != "" && w.serves(through) {
		return pass
	}
	if host, _, ok := splitHostPort(r.Host); ok && host == w.host && (!r.TLS || w.scheme == "https") {
		return port
	}
	return list
}
