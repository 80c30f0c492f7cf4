package engineio

import (
	"fmt"
	"net/http"
	"time"
)

// Cookie is set on the handshake response of polling; its value is the session
// id. The server never reads it: it is for sticky load balancers (protocol.md
// 1.9).
type Cookie struct {
	Name        string        // "io"
	Path        string        // "/"
	Domain      string        // "": not sent
	MaxAge      time.Duration // 0: not sent
	SameSite    http.SameSite // Lax
	Secure      bool
	Partitioned bool
	Script      bool // readable by scripts: HttpOnly is left out
}

func (c *Cookie) check() error {
	if c == nil {
		return nil
	}
	if err := c.with("x").Valid(); err != nil {
		return fmt.Errorf("cookie: %w", err)
	}
	return nil
}

func (c *Cookie) with(sid string) *http.Cookie {
	return &http.Cookie{
		Name:        orDefault(c.Name, "io"),
		Value:       sid,
		Path:        orDefault(c.Path, "/"),
		Domain:      c.Domain,
		MaxAge:      int(c.MaxAge / time.Second),
		SameSite:    orDefault(c.SameSite, http.SameSiteLaxMode),
		Secure:      c.Secure,
		Partitioned: c.Partitioned,
		HttpOnly:    !c.Script,
	}
}

func (c *Cookie) set(h http.Header, sid string) { h.Add("Set-Cookie", c.with(sid).String()) }
