package peer

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// DefaultPath is where Socket.IO servers answer (1.1).
const DefaultPath = "/socket.io/"

// Target is a namespace of a server, and what a client brings along to be let in.
type Target struct {
	URL       *url.URL        // scheme http, https, ws or wss; its query is sent with the handshake
	Namespace string          // "" is "/"
	Auth      json.RawMessage // object of the CONNECT packet; nil: none
	Header    http.Header     // of the opening handshake, besides those of the websocket protocol
}

// ParseTarget reads the address of a server: http://host:port, optionally with a path other than /socket.io/ and a
// query. https and wss mean TLS; without a port it is the scheme's.
func ParseTarget(raw, namespace string) (Target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Target{}, fmt.Errorf("target %q: want http://host:port: %w", raw, err)
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return Target{}, fmt.Errorf("target %q: want http://host:port, or https, ws, wss", raw)
	}
	if u.Hostname() == "" {
		return Target{}, fmt.Errorf("target %q names no host", raw)
	}
	if u.Fragment != "" || u.User != nil {
		return Target{}, fmt.Errorf("target %q: neither a fragment nor a user belongs there", u.Redacted())
	}
	switch {
	case u.Path == "" || u.Path == "/":
		u.Path = DefaultPath
	case !strings.HasSuffix(u.Path, "/"):
		u.Path, u.RawPath = u.Path+"/", ""
	}
	t := Target{URL: u, Namespace: namespace}
	return t, t.check()
}

// check finds what cannot be put on the wire.
func (t Target) check() error {
	switch {
	case t.URL == nil:
		return fmt.Errorf("target without a URL")
	case t.Namespace != "" && t.Namespace[0] != '/':
		return fmt.Errorf("namespace %q does not begin with '/'", t.Namespace)
	case strings.ContainsRune(t.Namespace, ','):
		return fmt.Errorf("namespace %q holds a comma, which ends it on the wire (2.1)", t.Namespace)
	case len(t.Auth) > 0 && !isObject(t.Auth):
		return fmt.Errorf("auth %.100q is not a JSON object", t.Auth)
	}
	for name, values := range t.Header {
		for _, v := range values {
			if strings.ContainsAny(name, "\r\n: ") || name == "" || strings.ContainsAny(v, "\r\n") {
				return fmt.Errorf("header %q cannot be sent", name+": "+v)
			}
		}
	}
	return nil
}

func isObject(raw json.RawMessage) bool {
	trimmed := strings.TrimLeft(string(raw), " \t\r\n")
	return json.Valid(raw) && strings.HasPrefix(trimmed, "{")
}

// Secure reports whether the target is spoken to over TLS.
func (t Target) Secure() bool { return t.URL.Scheme == "https" || t.URL.Scheme == "wss" }

// Address is host:port to connect to.
func (t Target) Address() string {
	port := t.URL.Port()
	switch {
	case port != "":
	case t.Secure():
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(t.URL.Hostname(), port)
}
