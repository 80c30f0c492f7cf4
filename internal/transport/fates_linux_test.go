package transport_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/ws"
)

// greeter tells its client who it is at once, and echoes.
type greeter struct {
	socket *transport.WebSocket
	live   *atomic.Int64
}

func (g *greeter) Message(data []byte, _ bool) error {
	_, err := g.socket.Write(ws.AppendFrame(nil, ws.Text, data))
	return err
}
func (*greeter) Writable()                  {}
func (g *greeter) Closed(base.Cause, error) { g.live.Add(-1) }

// claim is what a request says of itself, wherever it says it; an error if two places disagree.
func claim(r *http.Request) (string, error) {
	id := r.URL.Query().Get("id")
	if got := r.Header["X-Id"]; len(got) != 1 || got[0] != id {
		return id, fmt.Errorf("%s: X-Id is %q", id, got)
	}
	if got := r.Header.Get("Origin"); got != "http://"+id {
		return id, fmt.Errorf("%s: Origin is %q", id, got)
	}
	cookies := r.Cookies()
	for _, c := range cookies {
		if c.Value != id {
			return id, fmt.Errorf("%s: cookies %v", id, cookies)
		}
	}
	if got := r.Host; got != id+".weir" {
		return id, fmt.Errorf("%s: Host is %q", id, got)
	}
	if !strings.Contains(r.RequestURI, "id="+id) || r.URL.Path != "/p"+id+"/" {
		return id, fmt.Errorf("%s: URI %q, path %q", id, r.RequestURI, r.URL.Path)
	}
	var want int
	if _, err := fmt.Sscan(r.URL.Query().Get("n"), &want); err != nil || len(r.Header["X-Many"]) != want || len(cookies) != want {
		return id, fmt.Errorf("%s: want %d of X-Many, cookies: %v %v: %w", id, want, r.Header["X-Many"], cookies, err)
	}
	for _, v := range r.Header["X-Many"] {
		if v != id {
			return id, fmt.Errorf("%s: X-Many %q", id, r.Header["X-Many"])
		}
	}
	return id, nil
}

// what a client asks for.
var fates = []string{"socket", "greeted", "refuse", "pass", "web", "long", "move", "movegreeted", "moverefuse", "movepass", "reset", "half"}

func (m *mixture) request(id, fate string) string {
	n := rand.IntN(20)
	var b strings.Builder
	query := fmt.Sprintf("?id=%s&fate=%s&n=%d", id, fate, n)
	fmt.Fprintf(&b, "GET /p%s/%s HTTP/1.1\r\nHost: %s.weir\r\nX-Id: %s\r\nOrigin: http://%s\r\n", id, query, id, id, id)
	if fate != "web" {
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	}
	for range n {
		fmt.Fprintf(&b, "X-Many: %s\r\nCookie: c=%s\r\n", id, id)
	}
	if fate == "long" {
		b.WriteString("X-Long: " + strings.Repeat("x", 17<<10) + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

type mixture struct {
	t    *testing.T
	p    *port
	live atomic.Int64
}

// arrive does what the request asks for.
func (m *mixture) arrive(a *transport.Arrival) {
	id, err := claim(a.Request)
	if err != nil {
		m.t.Error(err)
	}
	if remote, err := netip.ParseAddrPort(a.Request.RemoteAddr); err != nil || !remote.Addr().IsLoopback() {
		m.t.Errorf("remote address %q", a.Request.RemoteAddr)
	}
	if len(a.Header()) > 0 {
		m.t.Errorf("%s: an answer begins with %v", id, a.Header())
	}
	fate := a.Request.URL.Query().Get("fate")
	if rest, ok := strings.CutPrefix(fate, "move"); ok {
		a.Header().Set("X-Of", id)
		to := (a.Loop() + 1) % len(m.p.loops)
		a.Move(to, func(a *transport.Arrival) {
			runtime.Gosched()
			if again, err := claim(a.Request); err != nil || again != id || a.Loop() != to {
				m.t.Errorf("moved %s to loop %d: now %s on %d, %v", id, to, again, a.Loop(), err)
			}
			m.do(a, id, rest)
		})
		return
	}
	m.do(a, id, fate)
}

func (m *mixture) do(a *transport.Arrival, id, fate string) {
	loop := m.p.loops[a.Loop()]
	switch fate {
	case "refuse":
		a.Header().Set("X-Of", id)
		a.Header().Set("X-Of-"+id, id)
		if rand.IntN(2) == 0 {
			a.WriteHeader(http.StatusTeapot)
		}
		_, _ = fmt.Fprintf(a, "refused %s", id)
		a.Refuse()
	case "pass":
		a.PassOn()
	default:
		o := &transport.WebSocketOptions{Loop: loop, Now: m.p.clock.Load, Limit: testLimit}
		g := &greeter{live: &m.live}
		m.live.Add(1)
		if fate == "greeted" || rand.IntN(2) == 0 {
			g.socket = a.Greeted(o)
		} else {
			g.socket = a.WebSocket(o)
		}
		g.socket.Start(g)
		frame := ws.AppendFrame(nil, ws.Text, []byte("hello "+id+strings.Repeat(".", rand.IntN(3)*3000)))
		if _, err := g.socket.Write(frame); err != nil && fate != "reset" {
			m.t.Logf("%s: %v", id, err)
		}
	}
}

// client comes once and checks that what it gets is meant for it.
func (m *mixture) client(id string) error {
	fate := fates[rand.IntN(len(fates))]
	text := m.request(id, fate)
	conn, err := net.Dial("tcp", m.p.intake.Addr().String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var ahead []byte
	if rand.IntN(2) == 0 && fate != "web" && fate != "long" && !strings.HasSuffix(fate, "pass") {
		ahead = append(ahead, masked(ws.Text, "early "+id)...)
	}
	whole := append([]byte(text), ahead...)
	if fate == "half" {
		whole = whole[:rand.IntN(len(text)-1)]
	}
	for len(whole) > 0 {
		n := len(whole)
		if rand.IntN(2) == 0 {
			n = 1 + rand.IntN(n)
		}
		if _, err := conn.Write(whole[:n]); err != nil {
			return nil // refused before all was sent
		}
		whole = whole[n:]
		for range rand.IntN(3) {
			runtime.Gosched()
		}
	}
	if fate == "half" || fate == "reset" {
		if rand.IntN(2) == 0 {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		return nil
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil) //nolint:bodyclose // the connection is
	if err != nil {
		if strings.HasSuffix(fate, "refuse") && len(ahead) > 0 {
			return nil // may be reset
		}
		return fmt.Errorf("%s %s: %w", id, fate, err)
	}
	switch {
	case strings.HasSuffix(fate, "refuse"):
		body, _ := io.ReadAll(res.Body)
		if string(body) != "refused "+id || res.Header.Get("X-Of") != id || len(res.Header) != 4 {
			return fmt.Errorf("%s %s: %d %v %q", id, fate, res.StatusCode, res.Header, body)
		}
	case fate == "web" || fate == "long" || strings.HasSuffix(fate, "pass"):
		body, _ := io.ReadAll(res.Body)
		if string(body) != "web "+id {
			return fmt.Errorf("%s %s: %d %q", id, fate, res.StatusCode, body)
		}
	default:
		return m.talk(conn, in, id, len(ahead) > 0)
	}
	return nil
}

func (m *mixture) talk(conn net.Conn, in *bufio.Reader, id string, early bool) error {
	rest, _ := in.Peek(in.Buffered())
	r := newReader(spliced{conn, io.MultiReader(bytes.NewReader(bytes.Clone(rest)), conn)})
	want := func(want string) error {
		got, err := r.next()
		if strings.TrimRight(got, ".") != want {
			return fmt.Errorf("%s: got %.50q, want %q: %w", id, got, want, err)
		}
		return nil
	}
	if err := want("text:hello " + id); err != nil {
		return err
	}
	if early {
		if err := want("text:early " + id); err != nil {
			return err
		}
	}
	for i := range rand.IntN(3) {
		s := fmt.Sprint("more ", i, " ", id)
		if _, err := conn.Write(masked(ws.Text, s)); err != nil {
			return err
		}
		if err := want("text:" + s); err != nil {
			return err
		}
	}
	return nil
}

type spliced struct {
	net.Conn
	in io.Reader
}

func (s spliced) Read(b []byte) (int, error) { return s.in.Read(b) }

// Requests of every fate come to three loops at random; each sees its own bytes only.
func TestEveryRequestIsItsOwn(t *testing.T) {
	for name, keep := range map[string]func() bool{"kept": nil, "not kept": func() bool { return false }, "now and then": func() bool { return rand.IntN(2) == 0 }} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			m := &mixture{t: t}
			newPort(t, "[::]:0", 3, func(p *port, o *transport.IntakeOptions) {
				m.p = p
				o.Arrive, o.Keep = m.arrive, keep
			})
			web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id, err := claim(r)
				if err != nil {
					t.Error(err)
				}
				w.Header().Set("Connection", "close")
				_, _ = fmt.Fprintf(w, "web %s", id)
			})}
			go func() { _ = web.Serve(m.p.intake) }()
			var clients sync.WaitGroup
			for c := range 16 {
				clients.Go(func() {
					for i := range 150 {
						if err := m.client(fmt.Sprintf("c%dx%d", c, i)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			clients.Wait()
			m.p.turn(headTimeout + 1)
			for m.live.Load() > 0 {
				m.p.settle()
			}
			_ = web.Close()
			_ = m.p.intake.Close()
			for _, l := range m.p.loops {
				l.Stop()
			}
			if n := m.p.intake.Failed.Load(); n > 0 {
				t.Logf("%d failed", n)
			}
			wantNoMoreDescriptors(t, before)
		})
	}
}
