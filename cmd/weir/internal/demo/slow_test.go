package demo_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/demo"
	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/ws"
)

const topic = "prices"

// far is the server's end of slow clients' connections, over pipes that hold nothing: what the client does not read
// cannot be written.
type far struct {
	t     *testing.T
	conns chan net.Conn

	mu    sync.Mutex
	dials []time.Time
}

func newFar(t *testing.T) *far { return &far{t: t, conns: make(chan net.Conn, 100)} }

func (p *far) dial(context.Context, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.mu.Lock()
	p.dials = append(p.dials, time.Now())
	p.mu.Unlock()
	p.conns <- server
	return client, nil
}

func (p *far) dialled() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

// run starts a client; stop ends it.
func (p *far) run(pace *demo.Pace) (c *demo.SlowClient, stop func()) {
	target, err := peer.ParseTarget("http://weir.test", "/feed")
	if err != nil {
		p.t.Fatal(err)
	}
	c = demo.NewSlowClient(demo.SlowOptions{
		Target: target, Conn: peer.Options{Dial: p.dial}, Topic: topic, Pace: pace,
		Backoff: demo.Backoff{First: time.Second, Most: 8 * time.Second}, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	return c, func() {
		cancel()
		<-done
	}
}

// link is one accepted connection, past the websocket handshake.
type link struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	dec  ws.Decoder
	got  []string
}

// accept takes the next connection and answers its handshake.
func (p *far) accept() *link {
	p.t.Helper()
	l := &link{t: p.t, conn: <-p.conns, dec: ws.NewDecoder(1<<16, ws.Server)}
	l.in = bufio.NewReader(l.conn)
	r, err := http.ReadRequest(l.in)
	if err != nil {
		p.t.Fatalf("read handshake: %v", err)
	}
	if r.UserAgent() != demo.UserAgent || r.URL.Query().Get("transport") != "websocket" || r.Host != "weir.test" {
		p.t.Errorf("handshake %v %v from %q", r.Host, r.URL, r.UserAgent())
	}
	_, err = fmt.Fprintf(l.conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		ws.Accept(r.Header.Get("Sec-WebSocket-Key")))
	if err != nil {
		p.t.Fatalf("answer handshake: %v", err)
	}
	return l
}

// join answers the way of a client into the namespace up to its subscription.
func (p *far) join(sid string) *link {
	p.t.Helper()
	l := p.accept()
	l.send(`0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	l.expect("40/feed,")
	l.send(`40/feed,{"sid":"` + sid + `"}`)
	l.expect(`42/feed,["weir:subscribe",{"topic":"prices"}]`)
	return l
}

func (l *link) send(text string) {
	l.t.Helper()
	if _, err := l.conn.Write(ws.AppendFrame(nil, ws.Text, []byte(text))); err != nil {
		l.t.Errorf("send %.40s: %v", text, err)
	}
}

// writeOn writes until the connection ends and returns how many frames were taken.
func (l *link) writeOn() (n int) {
	for {
		if _, err := l.conn.Write(ws.AppendFrame(nil, ws.Text, []byte("6"))); err != nil {
			return n
		}
		n++
	}
}

func (l *link) tick(at int64) {
	l.t.Helper()
	l.send(fmt.Sprintf(`42/feed,["prices",{"symbol":"AAPL","price":1.5,"at":%d,"pad":"x"}]`, at))
}

// Message implements ws.Handler.
func (l *link) Message(_ ws.Opcode, payload []byte) error {
	l.got = append(l.got, string(payload))
	return nil
}

// Control implements ws.Handler.
func (l *link) Control(op ws.Opcode, payload []byte) error {
	l.got = append(l.got, fmt.Sprintf("control %x %s", byte(op), payload))
	return nil
}

func (l *link) expect(want string) {
	l.t.Helper()
	b := make([]byte, 1024)
	for len(l.got) == 0 {
		n, err := l.in.Read(b)
		if err != nil {
			l.t.Fatalf("waiting for %s: %v", want, err)
		}
		if err := l.dec.Decode(b[:n], l); err != nil {
			l.t.Fatal(err)
		}
	}
	if l.got[0] != want {
		l.t.Errorf("client sent %s, want %s", l.got[0], want)
	}
	l.got = l.got[1:]
}

func TestSlowClientCountsItsTopicAndKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFar(t)
		c, stop := p.run(demo.NewPace(demo.Setting{}))
		defer stop()
		l := p.join("id-1")
		l.tick(10)
		l.tick(30)
		l.tick(20) // older than what it has
		l.send(`42/feed,["other",{"at":99}]`)
		synctest.Wait()
		v := c.View()
		want := demo.SlowView{Status: demo.Connected, Socket: "id-1", Received: 3, Newest: demo.Tick{Symbol: "AAPL", Price: 1.5, At: 30}}
		if v != want {
			t.Errorf("view %+v, want %+v", v, want)
		}
	})
}

func TestSlowClientAnswersPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFar(t)
		_, stop := p.run(demo.NewPace(demo.Setting{}))
		defer stop()
		l := p.join("id")
		l.send("2")
		l.expect("3")
		if _, err := l.conn.Write(ws.AppendFrame(nil, ws.Ping, []byte("hi"))); err != nil {
			t.Fatal(err)
		}
		l.expect("control a hi")
	})
}

func TestSlowClientStalledNeitherReadsNorNoticesItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFar(t)
		pace := demo.NewPace(demo.Setting{Rate: demo.MaxRate})
		c, stop := p.run(pace)
		defer stop()
		l := p.join("id")
		pace.Set(demo.Setting{Stalled: true})
		reads := make(chan int)
		go func() { reads <- l.writeOn() }()
		time.Sleep(time.Hour)
		_ = l.conn.Close()
		if n := <-reads; n > 1 {
			t.Errorf("a stalled client has read %d times, want at most the read that was under way", n)
		}
		time.Sleep(time.Hour)
		if v := c.View(); v.Status != demo.Connected || len(p.dialled()) != 1 {
			t.Errorf("stalled client: %v after %d dials, want it to notice nothing", v.Status, len(p.dialled()))
		}
		pace.Set(demo.Setting{})
		p.join("id-2")
		synctest.Wait()
		if v := c.View(); v.Socket != "id-2" || v.Status != demo.Connected {
			t.Errorf("after the stall: %+v, want a new connection", v)
		}
	})
}

func TestSlowClientComesBackWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFar(t)
		c, stop := p.run(demo.NewPace(demo.Setting{}))
		defer stop()
		for range 6 {
			_ = (<-p.conns).Close()
		}
		dials := p.dialled()
		for i, bound := range []time.Duration{1, 2, 4, 8, 8} {
			if gap := dials[i+1].Sub(dials[i]); gap > bound*time.Second {
				t.Errorf("gap %d is %v, want at most %d s", i, gap, bound)
			}
		}
		p.join("id").tick(5)
		synctest.Wait()
		if v := c.View(); v.Received != 1 {
			t.Errorf("received %d after coming back, want 1", v.Received)
		}
	})
}

func TestSlowClientHeedsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFar(t)
		c, stop := p.run(demo.NewPace(demo.Setting{}))
		defer stop()
		refuse(t, <-p.conns, "30")
		synctest.Wait()
		if v := c.View(); v.Status != demo.Away || time.Until(v.RetryAt) < 30*time.Second {
			t.Errorf("view %+v, want away for 30 s at least", v)
		}
		_ = p.join("id")
		dials := p.dialled()
		if gap := dials[1].Sub(dials[0]); gap < 30*time.Second || gap > 38*time.Second {
			t.Errorf("came back after %v, want 30 s and at most a quarter more", gap)
		}
	})
}

// refuse answers a handshake as Weir does to a client that was cut for being slow.
func refuse(t *testing.T, conn net.Conn, retryAfter string) {
	t.Helper()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		t.Fatal(err)
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", retryAfter)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}
