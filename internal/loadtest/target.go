package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/streamweir/weir/internal/peer"
)

// ErrNotOwned refuses a target off this machine that nobody has said is theirs.
var ErrNotOwned = errors.New("a load test can take a server down and looks like an attack; " +
	"if the server is yours say so with --i-own-this-target")

// Admit returns an error unless the target may be put under load: every address its host has is a loopback address, or
// whoever asks has said that they own it. The error is ErrNotOwned, or that of the look-up.
func (t Target) Admit(ctx context.Context) error {
	if t.Owned {
		return nil
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return fmt.Errorf("URL %q: %w", t.URL, err)
	}
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	if err != nil {
		return fmt.Errorf("look up the target %s: %w", u.Hostname(), err)
	}
	for _, a := range addresses {
		if !a.IP.IsLoopback() {
			return fmt.Errorf("%s has the address %s, which is not this machine: %w", u.Hostname(), a.IP, ErrNotOwned)
		}
	}
	return nil
}

func (t Target) problems() (problems []Problem) {
	u, err := url.Parse(t.URL)
	switch {
	case t.URL == "":
		problems = append(problems, Problem{"url", "want the server's URL, such as http://127.0.0.1:3000"})
	case err != nil || u.Hostname() == "" || !known(u.Scheme):
		problems = append(problems, Problem{"url", fmt.Sprintf("%q: want http://HOST:PORT or ws://HOST:PORT", t.URL)})
	}
	if !strings.HasPrefix(t.Namespace, "/") || strings.Contains(t.Namespace, ",") {
		problems = append(problems, Problem{"namespace", fmt.Sprintf("%q: want a name that begins with / and has no comma", t.Namespace)})
	}
	if t.Timeout <= 0 {
		problems = append(problems, Problem{"timeout", "want more than 0"})
	}
	return problems
}

// secured reports whether the target is spoken to over TLS.
func (t Target) secured() bool {
	u, err := url.Parse(t.URL)
	return err == nil && (u.Scheme == "https" || u.Scheme == "wss")
}

func known(scheme string) bool {
	switch scheme {
	case "http", "https", "ws", "wss":
		return true
	}
	return false
}

// peer is the target as one client sees it.
func (t Target) peer() (peer.Target, error) {
	p, err := peer.ParseTarget(t.URL, t.Namespace)
	if err != nil {
		return p, err
	}
	p.Auth, p.Header = t.Auth, http.Header{}
	for name, content := range t.Header {
		p.Header.Set(name, content)
	}
	return p, nil
}

// dial connects one client; its time-out is the target's.
func (t Target) dial(ctx context.Context, o peer.Options) (*peer.Conn, error) {
	p, err := t.peer()
	if err != nil {
		return nil, err
	}
	o.Timeout = t.Timeout
	return peer.Dial(ctx, p, o)
}

// unreachable says what a first client met and what to look at.
func (t Target) unreachable(err error) error {
	return fmt.Errorf("no client can connect to %s: %w; %s", t.URL, err, t.advice(err))
}

// advice is what to look at after an error of a first client.
func (t Target) advice(err error) string {
	var status *peer.StatusError
	var refused *peer.ConnectError
	var lookup *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &status) && status.Status == http.StatusServiceUnavailable:
		return "the server takes no clients now: is it draining, or full?"
	case errors.As(err, &status) && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden):
		return "the handshake is forbidden: does it need --header?"
	case errors.As(err, &status):
		return "something speaks HTTP there: is the path that of Socket.IO (/socket.io/ unless the URL has one), and websocket allowed?"
	case errors.As(err, &refused):
		return "is --namespace " + t.Namespace + " one that the server has, and does it want --auth?"
	case errors.As(err, &lookup):
		return "is the name right?"
	case strings.Contains(err.Error(), "refused"):
		return "is the server running, and is this its port?"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("something accepts connections there and does not answer as a Socket.IO server within %v (--timeout)", t.Timeout)
	}
	return "is this the address of a Socket.IO server?"
}
