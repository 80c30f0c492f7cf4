package systemtest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// patience bounds every wait of these tests; no test depends on how long one takes.
const patience = 30 * time.Second

// start runs a server on free loopback ports until the test ends, and checks that
// its books added up and that Run returned.
func start(t *testing.T, o weir.Options, setup ...func(*weir.Server)) *weir.Server {
	t.Helper()
	if o.Servers == nil && o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	for i := range o.Servers {
		if o.Servers[i].Addr == "" {
			o.Servers[i].Addr = "127.0.0.1:0"
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Drain == (weir.DrainOptions{}) {
		o.Drain = weir.DrainOptions{ClientsPerSecond: 1 << 20, Timeout: 2 * time.Second}
	}
	srv, err := weir.New(unhurried(withDriver(o)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range setup {
		f(srv)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
		if n := srv.Unbalanced(); n != 0 {
			t.Errorf("%d lanes were closed with books that do not balance", n)
		}
	})
	for i, s := range o.Servers {
		if s.TLS != nil {
			speaksTLS(t, srv.Addr(orName(o.Servers[i].Name)))
		}
	}
	ready, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := srv.Ready(ready); err != nil {
		t.Fatal(err)
	}
	return srv
}

func addr(srv *weir.Server) string { return srv.Addr("default").String() }

// withDriver gives every server that has not chosen a driver the one of
// WEIR_TEST_DRIVER: scripts/race runs this package for each.
func withDriver(o weir.Options) weir.Options {
	if o.Servers == nil {
		o.Servers = []weir.ServerOptions{{Addr: o.Addr, Namespaces: o.Namespaces}}
		o.Addr, o.Namespaces = "", nil
	}
	for i := range o.Servers {
		if s := &o.Servers[i]; s.Driver == weir.DriverAuto {
			s.Driver = weir.Driver(os.Getenv("WEIR_TEST_DRIVER"))
		}
	}
	return o
}

// betweenNodes is for tests that wait for leases of nodes: how connections of clients are held does not matter to those, so they
// are left out where the tests are run for the driver that auto does not choose.
func betweenNodes(t *testing.T) {
	t.Helper()
	t.Parallel() // they wait for leases and times, and compute little
	if weir.Driver(os.Getenv("WEIR_TEST_DRIVER")) == weir.DriverGoroutine {
		t.Skip("what nodes say to each other does not depend on the driver: scripts/race runs this with the other one")
	}
}

// unhurried sets the times that a test has not chosen, so that none runs out while the test does, however busy the machine: a
// client that reads nothing is not taken for dead, one that acknowledges nothing is not sent a message again.
func unhurried(o weir.Options) weir.Options {
	const never = 10 * time.Minute // longer than all tests together
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Management.ReceiptTimeout, patience)
	o.Servers = slices.Clone(o.Servers)
	for i := range o.Servers {
		s := &o.Servers[i]
		if io := &s.SocketIO; io.PingInterval == 0 && io.PingTimeout == 0 && s.Limits.MaxSilence == 0 {
			io.PingInterval, io.PingTimeout = never, never
		}
		set(&s.SocketIO.ConnectTimeout, never)
		set(&s.Limits.HeaderTimeout, never)
		s.Namespaces = slices.Clone(s.Namespaces)
		for j := range s.Namespaces {
			n := &s.Namespaces[j]
			set(&n.SlowPenalty, time.Minute) // the most there is
			n.Topics = slices.Clone(n.Topics)
			for k := range n.Topics {
				if t := &n.Topics[k]; t.Mode == weir.AtLeastOnce {
					set(&t.AckTimeout, never)
				}
			}
		}
	}
	return o
}

func orName(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

// secure are the addresses of the running servers that speak TLS; only speaksTLS changes it.
var secure sync.Map

// speaksTLS has connectTo speak TLS to an address until the test ends: the kernel gives the port to a server of another test
// then, which may speak plain.
func speaksTLS(t testing.TB, a net.Addr) {
	secure.Store(a.String(), true)
	t.Cleanup(func() { secure.Delete(a.String()) })
}

// connectTo dials a server of start, over TLS if it speaks that. receiveBuffer is the socket's, 0 for the kernel's.
func connectTo(address string, receiveBuffer int) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if receiveBuffer > 0 {
		if err := conn.(*net.TCPConn).SetReadBuffer(receiveBuffer); err != nil {
			return nil, err
		}
	}
	if _, tlsPort := secure.Load(address); tlsPort {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil //nolint:gosec // the tests' own certificates
	}
	return conn, nil
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// peer is a Socket.IO client over a real websocket that reads only when asked to.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	dec  ws.Decoder
	got  []string // text messages not taken yet
	end  error    // what came behind them
	bins [][]byte
	mu   sync.Mutex // writes
	sid  string
}

// dialOptions say how a peer's socket is set up.
type dialOptions struct {
	receiveBuffer int // 0 = the kernel's
	query         string
	header        string
}

// dial opens a session over websocket and joins a namespace.
func dial(t testing.TB, address, namespace string, auth any, o dialOptions) *peer {
	t.Helper()
	p := dialRaw(t, address, o)
	p.join(namespace, auth)
	return p
}

func dialRaw(t testing.TB, address string, o dialOptions) *peer {
	t.Helper()
	p, err := tryDial(address, o)
	if err != nil {
		t.Fatal(err)
	}
	p.t = t
	t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

func tryDial(address string, o dialOptions) (*peer, error) {
	conn, err := connectTo(address, o.receiveBuffer)
	if err != nil {
		return nil, err
	}
	return upgrade(conn, address, o)
}

// upgrade opens a session over websocket on a connection; after an error that is closed.
func upgrade(conn net.Conn, address string, o dialOptions) (p *peer, err error) {
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	_, err = fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", o.query, address, o.header)
	if err != nil {
		return nil, err
	}
	p = &peer{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), dec: ws.NewDecoder(64<<20, ws.Client)}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	open, err := p.receive()
	if err != nil || !strings.HasPrefix(open, "0{") {
		return nil, fmt.Errorf("open packet %q: %w", open, err)
	}
	return p, nil
}

func (p *peer) join(namespace string, auth any) {
	p.t.Helper()
	msg := "40"
	if namespace != "/" {
		msg += namespace + ","
	}
	if auth != nil {
		b, err := json.Marshal(auth)
		if err != nil {
			p.t.Fatal(err)
		}
		msg += string(b)
	}
	p.send(msg)
	answer := p.next()
	if !strings.HasPrefix(answer, "40") {
		p.t.Fatalf("CONNECT %s: answered %q", namespace, answer)
	}
	var body struct{ SID string }
	_ = json.Unmarshal([]byte(answer[strings.IndexByte(answer, '{'):]), &body)
	p.sid = body.SID
}

// Message implements ws.Handler.
func (p *peer) Message(op ws.Opcode, payload []byte) error {
	if op == ws.Text {
		p.got = append(p.got, string(payload))
	} else {
		p.bins = append(p.bins, append([]byte(nil), payload...))
		p.got = append(p.got, "<binary>")
	}
	return nil
}

// Control implements ws.Handler.
func (p *peer) Control(op ws.Opcode, _ []byte) error {
	if op == ws.Close {
		return io.EOF
	}
	return nil
}

// receive returns the next text message, answering pings on the way.
func (p *peer) receive() (string, error) {
	buf := make([]byte, 64<<10)
	_ = p.conn.SetReadDeadline(time.Now().Add(patience)) // once: pings do not prolong it
	for {
		for len(p.got) > 0 {
			m := p.got[0]
			p.got = p.got[1:]
			if m == "2" {
				if err := p.write("3"); err != nil {
					return "", err
				}
				continue
			}
			return m, nil
		}
		if p.end != nil {
			return "", p.end
		}
		n, err := p.in.Read(buf)
		if n > 0 {
			p.end = p.dec.Decode(buf[:n], p)
		}
		if err != nil && len(p.got) == 0 {
			return "", err
		}
	}
}

func (p *peer) next() string {
	p.t.Helper()
	m, err := p.receive()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return m
}

// closed waits until the server has closed the connection, passing over messages.
func (p *peer) closed() error {
	for {
		_, err := p.receive()
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return errors.New("the connection stays open")
		}
		if err != nil {
			return nil
		}
	}
}

func (p *peer) write(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.conn.Write(ws.AppendMasked(nil, ws.Text, [4]byte{1, 2, 3, 4}, []byte(text)))
	return err
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.write(text); err != nil {
		p.t.Fatalf("send %q: %v", text, err)
	}
}

// emit sends an event; with id >= 0 it asks for an answer.
func (p *peer) emit(namespace string, id int, name string, args ...any) {
	p.t.Helper()
	all := append([]any{name}, args...)
	b, err := json.Marshal(all)
	if err != nil {
		p.t.Fatal(err)
	}
	msg := "42"
	if namespace != "/" {
		msg += namespace + ","
	}
	if id >= 0 {
		msg += fmt.Sprint(id)
	}
	p.send(msg + string(b))
}

// packet is a decoded Socket.IO packet.
type packet struct {
	typ  sio.Type
	id   uint64
	name string
	args []json.RawMessage // of an event without its name
}

func (p *peer) packet() packet {
	p.t.Helper()
	return decode(p.t, p.next())
}

func decode(t testing.TB, text string) packet {
	t.Helper()
	if text == "" || text[0] != '4' {
		t.Fatalf("not a message: %q", text)
	}
	raw, err := sio.Parse([]byte(text[1:]))
	if err != nil && text[1] != '0' && text[1] != '4' {
		t.Fatalf("packet %q: %v", text, err)
	}
	out := packet{typ: raw.Type, id: raw.ID}
	for i, a := range sio.SplitArgs(raw.Data, nil) {
		if i == 0 && (raw.Type == sio.Event || raw.Type == sio.BinaryEvent) {
			out.name, _ = sio.EventName(a)
			continue
		}
		out.args = append(out.args, append(json.RawMessage(nil), a...))
	}
	return out
}

// subscribe subscribes to a topic and waits for the answer.
func (p *peer) subscribe(namespace, topic string, extra ...map[string]any) map[string]any {
	p.t.Helper()
	req := map[string]any{"topic": topic}
	for _, m := range extra {
		for k, v := range m {
			req[k] = v
		}
	}
	p.emit(namespace, 7, "weir:subscribe", req)
	for {
		pk := p.packet()
		if pk.typ != sio.Ack {
			continue
		}
		var answer map[string]any
		if err := json.Unmarshal(pk.args[0], &answer); err != nil {
			p.t.Fatal(err)
		}
		return answer
	}
}
