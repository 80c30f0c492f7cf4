package hook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// How backends are reached.
const (
	maxHead  = 16 << 10         // bytes of an answer's header
	keepIdle = 30 * time.Second // a connection between two calls
)

// errLate ends a call that takes too long.
var errLate = errors.New("no answer in time")

func newClient(o *Options) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}, ForceAttemptHTTP2: true,
			// What becomes a connection goes on when the call it is made for has ended, and has a place among
			// MaxConnsPerHost for as long; one of HTTP/2 is kept though its calls end late. So each has an end of its own:
			// else a few that hang shut the hook.
			DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext, TLSHandshakeTimeout: o.Timeout,
			HTTP2: &http.HTTP2Config{SendPingTimeout: o.Timeout, PingTimeout: o.Timeout},
			// As many connections as calls, so that none is made anew for each; no compression, so that an answer is as long
			// as it says.
			MaxConnsPerHost: o.Max, MaxIdleConns: o.Max, MaxIdleConnsPerHost: o.Max, IdleConnTimeout: keepIdle,
			DisableCompression: true, MaxResponseHeaderBytes: maxHead,
		},
		// No redirects: a question has what its client trusts the configured backend with.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post makes a request of a call and reads its answer; nil: the call has it.
func (c *Caller) post(p *pending, now time.Time) *Failure {
	ctx, cancel := context.WithTimeoutCause(p.ctx, c.o.Timeout, errLate)
	defer cancel()
	defer context.AfterFunc(c.ending, cancel)()
	var connected atomic.Bool // to the request's latest connection, if it is written again to another
	request, err := c.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), p.Body, now)
	if err != nil {
		return &Failure{Unreachable, err}
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return c.failure(ctx, p, err, connected.Load())
	}
	defer func() { _ = answer.Body.Close() }()
	switch {
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return &Failure{Redirect, fmt.Errorf("it answers %s, and redirects are not followed", answer.Status)}
	case answer.StatusCode != http.StatusOK:
		return &Failure{Status, statusError(answer.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(c.o.MaxAnswer)+1))
	if err != nil {
		return c.failure(ctx, p, err, true)
	}
	if len(body) > c.o.MaxAnswer {
		return &Failure{TooLarge, fmt.Errorf("its answer has more than %d bytes", c.o.MaxAnswer)}
	}
	if err := p.Read(body); err != nil {
		return &Failure{Garbage, err}
	}
	return nil
}

func (c *Caller) request(ctx context.Context, body []byte, now time.Time) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.o.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "weir-hook/"+c.o.Name)
	// Not sent: it says that the request may be written to another connection where the backend has closed the one it was
	// meant for.
	h["X-Idempotency-Key"] = nil
	sign(h, *c.secrets.Load(), newID(), now, body)
	return request, nil
}

// newID is that of a request: 120 random bits, as it is shown.
func newID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return "msg_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// brokenOff is behind a failure of a call that had a connection.
type brokenOff struct{ error }

func (b brokenOff) Unwrap() error { return b.error }

// failure says why there is no answer; connected: to a call that had a connection.
func (c *Caller) failure(ctx context.Context, p *pending, err error, connected bool) *Failure {
	switch {
	case p.ctx.Err() != nil:
		return &Failure{Left, p.ctx.Err()}
	case c.ending.Err() != nil:
		return &Failure{Result: Ended}
	case errors.Is(context.Cause(ctx), errLate):
		return &Failure{Late, fmt.Errorf("%w: %v", errLate, c.o.Timeout)}
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which may hold a secret
	}
	if connected {
		err = brokenOff{err}
	}
	return &Failure{Unreachable, err}
}

// statusError is an answer with another status than 200.
type statusError int

func (s statusError) Error() string {
	return fmt.Sprintf("it answers %d %s, and 200 is wanted", int(s), http.StatusText(int(s)))
}

// verdict is what a call's end says of the backend. What a client may bring about by what it sends does not count against it, or
// one client could have all others refused: an answer that makes no sense, a status 400, 429 or 500, a connection that somebody
// breaks off who has read what it sent.
func (f *Failure) verdict() verdict {
	if f == nil {
		return there
	}
	switch f.Result {
	case Late:
		return away
	case Unreachable:
		if _, ok := errors.AsType[brokenOff](f.Cause); !ok {
			return away
		}
		return there
	case Status:
		if s, ok := errors.AsType[statusError](f.Cause); ok {
			switch int(s) {
			case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
				return away
			}
		}
		return there
	case Left, Ended:
		return unknown
	default: // it has answered
		return there
	}
}
