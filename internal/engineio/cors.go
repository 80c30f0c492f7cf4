package engineio

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// CORS is what requests of other origins are told (protocol.md 1.9), the same
// as with Node's cors middleware.
type CORS struct {
	Credentials    bool
	Methods        []string      // nil: GET,POST
	AllowedHeaders []string      // nil: what the preflight asks for
	ExposedHeaders []string      // nil: not sent
	MaxAge         time.Duration // whole seconds; 0: not sent
}

const defaultMethods = "GET,POST" // there are no others

// headers tells the browser the verdict on the origin; it reports whether another
// origin is let in.
func (c *CORS) headers(h http.Header, r *http.Request, origin Origin) bool {
	switch origin {
	case OriginAllowed:
		c.allow(h, r)
	case OriginEveryone:
		c.everyone(h, r)
	case OriginRefused:
		h.Add("Vary", "Origin")
		return false
	default:
		return false
	}
	return true
}

// allow sets the headers of every response to an allowed origin, errors too.
func (c *CORS) allow(h http.Header, r *http.Request) {
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Add("Vary", "Origin")
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.ExposedHeaders) > 0 && !isPreflight(r) {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposedHeaders, ","))
	}
}

// everyone is allow for OriginEveryone.
func (c *CORS) everyone(h http.Header, r *http.Request) {
	open := *c
	open.Credentials = false
	open.allow(h, r)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Del("Vary")
}

// preflight adds what an OPTIONS request is told.
func (c *CORS) preflight(h http.Header, r *http.Request) {
	methods := defaultMethods
	if len(c.Methods) > 0 {
		methods = strings.Join(c.Methods, ",")
	}
	h.Set("Access-Control-Allow-Methods", methods)
	headers := strings.Join(c.AllowedHeaders, ",")
	if len(c.AllowedHeaders) == 0 {
		headers = r.Header.Get("Access-Control-Request-Headers")
		h.Set("Vary", "Origin, Access-Control-Request-Headers")
	}
	if headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	if c.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(c.MaxAge/time.Second)))
	}
}

func isPreflight(r *http.Request) bool { return r.Method == http.MethodOptions }

// validOrigin reports whether an Origin header has only bytes that a header may
// have: tab, visible ASCII and what is above it (protocol.md 1.1, check 3).
func validOrigin(origin string) bool {
	for i := range len(origin) {
		if c := origin[i]; c != '\t' && (c < ' ' || c == 0x7f) {
			return false
		}
	}
	return true
}
