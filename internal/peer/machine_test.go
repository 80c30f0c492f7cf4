package peer_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wire/ws"
)

// journal is a Handler that writes down what it is called with.
type journal struct {
	lines  []string
	refuse error // of the next Packet
}

func (j *journal) Send(op ws.Opcode, payload []byte) error {
	j.lines = append(j.lines, fmt.Sprintf("send %x %q", byte(op), payload))
	return nil
}

func (j *journal) Ready(data []byte) error {
	j.lines = append(j.lines, fmt.Sprintf("ready %s", data))
	return nil
}

func (j *journal) Packet(text []byte) error {
	j.lines = append(j.lines, fmt.Sprintf("packet %s", text))
	return j.refuse
}

// begin returns a Machine that has begun in a namespace, and what a server answers to its handshake.
func begin(t testing.TB, namespace string) (m *peer.Machine, accepted []byte) {
	t.Helper()
	target, err := peer.ParseTarget("http://127.0.0.1:3000", namespace)
	if err != nil {
		t.Fatal(err)
	}
	target.Auth = []byte(`{"token":"x"}`)
	script, err := target.Script(0)
	if err != nil {
		t.Fatal(err)
	}
	machine := peer.NewMachine(script)
	return &machine, accept(t, machine.Begin(nil))
}

func accept(t testing.TB, opening []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"sec-websocket-accept:  %s \r\n\r\n", ws.Accept(keyOf(t, string(opening))))
}

// frames are text messages as a server sends them.
func frames(texts ...string) (b []byte) {
	for _, text := range texts {
		b = ws.AppendFrame(b, ws.Text, []byte(text))
	}
	return b
}

// feed gives the bytes to the machine in pieces of a size each.
func feed(m *peer.Machine, h peer.Handler, b []byte, size int) error {
	for piece := range slices.Chunk(slices.Clone(b), size) {
		if err := m.Receive(piece, h); err != nil {
			return err
		}
	}
	return nil
}

const openPacket = `0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`

func TestMachineJoinsHoweverItsBytesAreCut(t *testing.T) {
	long := `42/feed,["long","` + strings.Repeat("ü", 40_000) + `"]`
	session := frames(openPacket, "6", `40/other,{"sid":"no"}`, `42/other,["early"]`, `40/feed,{"sid":"s1"}`, "2",
		`42/feed,["a",1]`, `43/feed,7[{"ok":true}]`, `451-["b",{"_placeholder":true,"num":0}]`)
	session = ws.AppendFrame(session, ws.Binary, []byte{1, 2})
	session = append(session, frames(`451-["b",{"_placeholder":true,"num":0}]`, "bAQI=")...)
	session = ws.AppendFrame(session, ws.Ping, []byte("hi"))
	session = append(session, frames(long, `41/other,`)...)
	session = ws.AppendClose(session, ws.GoingAway, "restart")
	want := []string{
		`send 1 "40/feed,{\"token\":\"x\"}"`, `ready {"sid":"s1"}`, `send 1 "3"`, `packet 2/feed,["a",1]`,
		`packet 3/feed,7[{"ok":true}]`, `send a "hi"`, "packet " + long[1:], `send 8 "\x03\xe9"`,
	}
	for _, size := range []int{1, 2, 3, 5, 64, 1000, 1 << 20} {
		m, accepted := begin(t, "/feed")
		var j journal
		err := feed(m, &j, append(accepted, session...), size)
		if !slices.Equal(j.lines, want) {
			t.Fatalf("in pieces of %d: %.300q, want %.300q", size, j.lines, want)
		}
		var closed *peer.CloseError
		if !errors.As(err, &closed) || closed.Code != ws.GoingAway || closed.Reason != "restart" {
			t.Fatalf("in pieces of %d: ends with %v", size, err)
		}
		if m.Skipped() != 2 || m.Held() != 0 {
			t.Fatalf("in pieces of %d: %d skipped, %d bytes held", size, m.Skipped(), m.Held())
		}
		if err := m.Receive([]byte("x"), &j); !errors.Is(err, peer.ErrOver) {
			t.Fatalf("in pieces of %d: after the end: %v", size, err)
		}
	}
}

func TestMachineInTheRootNamespace(t *testing.T) {
	m, accepted := begin(t, "")
	var j journal
	if err := feed(m, &j, append(accepted, frames(openPacket, `40{"sid":"s"}`, `42["a"]`)...), 1<<20); err != nil {
		t.Fatal(err)
	}
	want := []string{`send 1 "40{\"token\":\"x\"}"`, `ready {"sid":"s"}`, `packet 2["a"]`}
	if !slices.Equal(j.lines, want) || !m.Ready() {
		t.Errorf("%q, want %q", j.lines, want)
	}
}

func TestMachineTellsRefusalsApart(t *testing.T) {
	body := strings.Repeat("b", 1000)
	for name, c := range map[string]struct {
		answer string
		want   peer.StatusError
		atEnd  bool // known only when the connection ends
	}{
		"with a length": {
			"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 8\r\n\r\ndraining",
			peer.StatusError{Status: 503, RetryAfter: 7 * time.Second, Body: "draining"}, false,
		},
		"empty": {"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", peer.StatusError{Status: 429}, false},
		"long":  {"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\n" + body, peer.StatusError{Status: 400, Body: body[:200]}, false},
		"chunked": {
			"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
			peer.StatusError{Status: 403, Body: "abcde"}, false,
		},
		"until the end": {"HTTP/1.0 502 Bad Gateway\r\n\r\nno backend", peer.StatusError{Status: 502, Body: "no backend"}, true},
		"a date":        {"HTTP/1.1 503 x\r\nRetry-After: Fri, 07 Aug 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n", peer.StatusError{Status: 503}, false},
		"cut short":     {"HTTP/1.1 503 x\r\nContent-Length: 100\r\n\r\nhalf", peer.StatusError{Status: 503, Body: "half"}, true},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			m, _ := begin(t, "/feed")
			err := feed(m, &journal{}, []byte(c.answer), size)
			if c.atEnd {
				if err != nil {
					t.Errorf("%s in pieces of %d: %v before the end", name, size, err)
				}
				err = m.End()
			}
			var got *peer.StatusError
			if !errors.As(err, &got) || *got != c.want {
				t.Errorf("%s in pieces of %d: %v, want %v", name, size, err, &c.want)
			}
			if m.Held() != 0 {
				t.Errorf("%s: %d bytes held", name, m.Held())
			}
		}
	}
}

func TestMachineRefusesAnswersThatAreNone(t *testing.T) {
	for name, answer := range map[string]string{
		"wrong accept":    "HTTP/1.1 101 x\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
		"no accept":       "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
		"not HTTP":        "SSH-2.0-OpenSSH_9.6\r\n",
		"endless header":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20_000),
		"endless 101":     "HTTP/1.1 101 OK\r\nX: " + strings.Repeat("x", 20_000),
		"no status":       "HTTP/1.1 abc\r\n\r\n",
		"unmasked or not": string(frames(openPacket)),
	} {
		for _, size := range []int{1, 1 << 20} {
			m, _ := begin(t, "/feed")
			err := feed(m, &journal{}, []byte(answer), size)
			var status *peer.StatusError
			if err == nil || errors.As(err, &status) {
				t.Errorf("%s in pieces of %d: %v", name, size, err)
			}
		}
	}
}

func TestMachineEndsAsTheServerSays(t *testing.T) {
	var connect *peer.ConnectError
	for name, c := range map[string]struct {
		texts []string
		is    func(error) bool
	}{
		"CONNECT_ERROR": {[]string{openPacket, `44/feed,{"message":"Not authorized","data":{"code":7}}`}, func(err error) bool {
			return errors.As(err, &connect) && connect.Message == "Not authorized" && string(connect.Data) == `{"code":7}`
		}},
		"CONNECT_ERROR of old": {[]string{openPacket, `44/feed,"no"`}, func(err error) bool {
			return errors.As(err, &connect) && connect.Message == "no"
		}},
		"DISCONNECT":     {[]string{openPacket, `40/feed,{"sid":"s"}`, "41/feed,"}, isError(peer.ErrDisconnected)},
		"close packet":   {[]string{openPacket, "1"}, isError(peer.ErrClosePacket)},
		"empty packet":   {[]string{openPacket, ""}, isNotNil},
		"unknown packet": {[]string{"9"}, isNotNil},
		"empty message":  {[]string{openPacket, "4"}, isNotNil},
		"bad CONNECT":    {[]string{openPacket, "40/feed,["}, isNotNil},
	} {
		m, accepted := begin(t, "/feed")
		if err := feed(m, &journal{}, append(accepted, frames(c.texts...)...), 1<<20); !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func isError(want error) func(error) bool {
	return func(err error) bool { return errors.Is(err, want) }
}

func isNotNil(err error) bool { return err != nil }

func TestMachineEndOfStream(t *testing.T) {
	m, accepted := begin(t, "/feed")
	if err := feed(m, &journal{}, accepted, 10); err != nil {
		t.Fatal(err)
	}
	if err := m.End(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("before it was ready: %v", err)
	}
	accepted = accept(t, m.Begin(nil)) // and once more, on another connection
	if err := feed(m, &journal{}, append(accepted, frames(openPacket, `40/feed,{"sid":"s"}`)...), 10); err != nil {
		t.Fatal(err)
	}
	if err := m.End(); !errors.Is(err, io.EOF) {
		t.Errorf("after it was ready: %v", err)
	}
	if err := m.End(); !errors.Is(err, peer.ErrOver) {
		t.Errorf("twice: %v", err)
	}
}

func TestMachineBoundsMessages(t *testing.T) {
	m, accepted := begin(t, "/feed")
	var fault *ws.Error
	b := ws.AppendHeader(append(accepted, frames(openPacket)...), ws.Text, peer.DefaultMaxMessage+1)
	if err := m.Receive(b, &journal{}); !errors.As(err, &fault) || fault.Code != ws.TooBig {
		t.Errorf("a message of a byte too many: %v", err)
	}
}

func TestMachineStopsAtTheHandlersError(t *testing.T) {
	m, accepted := begin(t, "/feed")
	j := journal{refuse: errors.New("enough")}
	err := m.Receive(append(accepted, frames(openPacket, `40/feed,{"sid":"s"}`, `42/feed,["a"]`, `42/feed,["b"]`)...), &j)
	if !errors.Is(err, j.refuse) || j.lines[len(j.lines)-1] != `packet 2/feed,["a"]` {
		t.Errorf("%v after %q", err, j.lines)
	}
}

func TestIdleMachineIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(peer.Machine{}); size > 136 {
		t.Errorf("a Machine is %d bytes", size)
	}
}

func BenchmarkReceive(b *testing.B) {
	m, accepted := begin(b, "/feed")
	h := &counter{}
	if err := m.Receive(append(accepted, frames(openPacket, `40/feed,{"sid":"s"}`)...), h); err != nil {
		b.Fatal(err)
	}
	text := `42/feed,["load",{"n":123456,"t":123456789012,"pad":"` + strings.Repeat("x", 80) + `"}]`
	batch := frames(slices.Repeat([]string{text}, 100)...)
	b.ReportAllocs()
	b.SetBytes(int64(len(batch) * 100))
	for b.Loop() {
		for range 100 {
			if err := m.Receive(batch, h); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(h.packets)/b.Elapsed().Seconds(), "packets/s")
}

type counter struct{ packets int }

func (c *counter) Send(ws.Opcode, []byte) error { return nil }
func (c *counter) Ready([]byte) error           { return nil }
func (c *counter) Packet([]byte) error          { c.packets++; return nil }
