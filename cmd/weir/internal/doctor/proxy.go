package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// Proxy says how to try what stands in front of the server: with requests of a client.
type Proxy struct {
	URL     string        // http, https, ws or wss; a path of its own replaces that of the configuration
	Patient bool          // stay connected, silent, until the server's first ping
	Timeout time.Duration // of each request; 0: 10 s
}

// maxAnswer bounds what is read of an answer in bytes.
const maxAnswer = 64 << 10

// front is a proxy under examination.
type front struct {
	url     url.URL // up to the query
	origin  string  // of a page that is served at the same address
	client  *http.Client
	timeout time.Duration
	needs   Needs
}

// answer is what came back for one request.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	err    error
}

// examine tries the proxy. One that cannot be reached is one finding.
func (p Proxy) examine(ctx context.Context, n Needs) []Finding {
	f, err := p.front(n)
	if err != nil {
		return []Finding{{Name: "proxy", Level: Fail, Found: err.Error(), Wanted: "a URL such as https://feed.example.com", Why: "It names what to try."}}
	}
	defer f.client.CloseIdleConnections()
	f.follow(ctx)
	up, conn := f.upgrade(ctx)
	if conn != nil {
		defer conn.close()
	}
	if up.err != nil && up.status == 0 {
		return []Finding{{
			Name: "proxy", Level: Fail, Found: up.err.Error(), Wanted: "an answer from " + f.url.Host,
			Why: "Nothing else of it can be tried.", Fix: "start the proxy, and the server behind it; then run doctor again",
		}}
	}
	findings := []Finding{judgeUpgrade(up, f.url.Host), judgePolling(f.poll(ctx)), judgeOrigin(f.page(ctx), f.origin, n.Origins)}
	if p.Patient {
		return append(findings, f.stay(ctx, conn))
	}
	return append(findings, judgeHeaders(up.header, f.interval(conn)))
}

func (p Proxy) front(n Needs) (*front, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the URL of a proxy", p.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = n.Path
	}
	u.Path = "/" + strings.Trim(u.Path, "/") + "/" // as it is served
	u.Path = strings.ReplaceAll(u.Path, "//", "/")
	f := &front{url: *u, origin: u.Scheme + "://" + u.Host, timeout: p.Timeout, needs: n}
	if f.timeout == 0 {
		f.timeout = 10 * time.Second
	}
	f.client = &http.Client{
		Transport:     &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}, // HTTP/1.1, as for websockets
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f, nil
}

// follow goes where the proxy sends who asks, if that is another path of its own.
func (f *front) follow(ctx context.Context) {
	for range maxRedirects {
		a := f.do(ctx, http.MethodGet, "transport=none", "")
		to, err := url.Parse(a.header.Get("Location"))
		if a.status < 300 || a.status > 399 || err != nil || to.Path == "" {
			return
		}
		if to = f.url.ResolveReference(to); to.Host != f.url.Host || to.Scheme != f.url.Scheme {
			return // a finding, not a path
		}
		f.url.Path = to.Path
	}
}

// maxRedirects is how often follow does.
const maxRedirects = 3

// page opens a session as a page does that is served at the same address.
func (f *front) page(ctx context.Context) answer {
	a := f.do(ctx, http.MethodGet, "transport=polling", "", "Origin", f.origin)
	if unserved(a) {
		return f.do(ctx, http.MethodGet, "transport=websocket", "", "Origin", f.origin) // an answer to its origin comes first
	}
	if h, err := openPacket(a.body); a.status == http.StatusOK && err == nil {
		f.do(ctx, http.MethodPost, "transport=polling&sid="+url.QueryEscape(h.SID), string(rune(eio.Close)))
	}
	return a
}

// request makes a request of Engine.IO 4.
func (f *front) request(ctx context.Context, method, query, body string) (*http.Request, error) {
	u := f.url
	u.RawQuery = "EIO=4&" + query
	return http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
}

// do sends a request with headers, names and values, and reads its answer, both within the time-out.
func (f *front) do(ctx context.Context, method, query, body string, headers ...string) answer {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	start := time.Now()
	r, err := f.request(ctx, method, query, body)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := f.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()                               //nolint:errcheck // read only
	if res.StatusCode == http.StatusSwitchingProtocols { // no end, and the context does not bound it
		return answer{status: res.StatusCode, header: res.Header, took: time.Since(start)}
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return answer{res.StatusCode, res.Header, string(text), time.Since(start), err}
}

// upgrade opens a websocket and waits for the open packet. The connection is nil unless that came.
func (f *front) upgrade(ctx context.Context) (answer, *conversation) {
	start := time.Now()
	// The context bounds only the request: the connection that comes of it is bounded in each wait.
	asking, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	r, err := f.request(asking, http.MethodGet, "transport=websocket", "")
	if err != nil {
		return answer{err: err}, nil
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r.Body, r.ContentLength = nil, 0
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {key},
	}
	res, err := f.client.Do(r)
	if err != nil {
		return answer{err: err}, nil
	}
	a := answer{status: res.StatusCode, header: res.Header}
	pipe, twoWays := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != http.StatusSwitchingProtocols || !twoWays {
		defer res.Body.Close() //nolint:errcheck // read only
		text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		a.body, a.err = string(text), err
		return a, nil
	}
	conn := &conversation{pipe: pipe, in: ws.NewDecoder(maxAnswer, ws.Client)}
	if res.Header.Get("Sec-WebSocket-Accept") != ws.Accept(key) {
		conn.close()
		a.err = errors.New("the Sec-WebSocket-Accept is not the answer to our key")
		return a, nil
	}
	text, err := conn.next(ctx, f.timeout)
	if err == nil {
		conn.open, err = openPacket(text)
	}
	a.took, a.err = time.Since(start), err
	if err != nil {
		conn.close()
		return a, nil
	}
	return a, conn
}

func openPacket(text string) (eio.OpenPacket, error) {
	p, err := eio.ParsePacket([]byte(text))
	if err == nil && p.Type != eio.Open {
		err = fmt.Errorf("want an open packet, got %.100q", text)
	}
	if err != nil {
		return eio.OpenPacket{}, err
	}
	return eio.ParseOpen(p.Data)
}

// polled is what happened to a session over long-polling.
type polled struct {
	open, wait, post answer
}

// poll opens a session, lets a GET wait, and posts what the server answers on it.
func (f *front) poll(ctx context.Context) (p polled) {
	p.open = f.do(ctx, http.MethodGet, "transport=polling", "")
	if p.open.err != nil || p.open.status != http.StatusOK {
		return p
	}
	h, err := openPacket(p.open.body)
	if err != nil {
		p.open.err = err
		return p
	}
	query := "transport=polling&sid=" + url.QueryEscape(h.SID)
	var waiting sync.WaitGroup
	waiting.Go(func() { f.wait(ctx, query, &p.wait) })
	p.post = f.do(ctx, http.MethodPost, query, f.connect())
	waiting.Wait()
	f.do(ctx, http.MethodPost, query, string(rune(eio.Close))) // courtesy; without it the session times out
	return p
}

// wait ends with the answer or the time-out.
func (f *front) wait(ctx context.Context, query string, into *answer) {
	*into = f.do(ctx, http.MethodGet, query, "")
}

// connect asks for the namespace, as the first message of a session. A refusal is an answer too.
func (f *front) connect() string {
	return string(rune(eio.Message)) + string(sio.AppendConnect(nil, f.needs.Namespace, "", ""))
}

// interval is how long the connection is silent between two pings.
func (f *front) interval(conn *conversation) time.Duration {
	if conn != nil {
		return conn.open.PingInterval
	}
	return f.needs.PingInterval
}

// stay is silent on the connection until the server's first ping.
func (f *front) stay(ctx context.Context, conn *conversation) Finding {
	if conn == nil {
		return judgeIdle(0, errors.New("there is no websocket to try it with"), false)
	}
	start := time.Now()
	err := conn.say(f.connect())
	joined := false
	for err == nil {
		var text string
		text, err = conn.next(ctx, conn.open.PingInterval+conn.open.PingTimeout+f.timeout)
		joined = joined || strings.HasPrefix(text, "40")
		if strings.HasPrefix(text, string(rune(eio.Ping))) {
			return judgeIdle(conn.open.PingInterval, conn.say(string(rune(eio.Pong))), true)
		}
	}
	return judgeIdle(conn.open.PingInterval, fmt.Errorf("closed after %.1f s: %w", time.Since(start).Seconds(), err), joined)
}

// conversation is a websocket of ours. One goroutine.
type conversation struct {
	pipe     io.ReadWriteCloser
	in       ws.Decoder
	open     eio.OpenPacket
	messages []string
}

// next waits for a text message.
func (c *conversation) next(ctx context.Context, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, c.close) // ends the read
	defer stop()
	buf := make([]byte, 4<<10)
	for len(c.messages) == 0 {
		n, err := c.pipe.Read(buf)
		if decodeErr := c.in.Decode(buf[:n], c); decodeErr != nil {
			return "", decodeErr
		}
		if err == nil || len(c.messages) > 0 {
			continue
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("nothing came within %v", patience)
		}
		return "", err
	}
	text := c.messages[0]
	c.messages = c.messages[1:]
	return text, nil
}

// Message is called by the decoder.
func (c *conversation) Message(_ ws.Opcode, payload []byte) error {
	c.messages = append(c.messages, string(bytes.Clone(payload)))
	return nil
}

// Control is called by the decoder.
func (c *conversation) Control(op ws.Opcode, payload []byte) error {
	if op != ws.Close {
		return nil // Engine.IO has pings of its own
	}
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		return err
	}
	return fmt.Errorf("closed with %d %s", code, reason)
}

func (c *conversation) say(text string) error {
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	_, err := c.pipe.Write(ws.AppendMasked(nil, ws.Text, key, []byte(text)))
	return err
}

func (c *conversation) close() { _ = c.pipe.Close() } // what it carried was seen
