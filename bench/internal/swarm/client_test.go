package swarm_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir/bench/internal/swarm"
	"github.com/streamweir/weir/internal/wire/ws"
)

// script is a server for one client: it answers the handshake and plays a line for each message it gets.
type script struct {
	t       *testing.T
	conn    net.Conn
	dec     ws.Decoder
	answers []string // by message of the client; "" = none
	got     chan string
}

// serve listens on loopback and returns the address and what the client will have sent.
func serve(t *testing.T, answers ...string) (address string, got <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, dec: ws.NewDecoder(1<<16, ws.Server), answers: answers, got: make(chan string, len(answers)+1)}
	ended := make(chan struct{})
	go func() { defer close(ended); s.run(ln) }()
	t.Cleanup(func() { _ = ln.Close(); <-ended })
	return ln.Addr().String(), s.got
}

func (s *script) run(ln net.Listener) {
	defer close(s.got)
	var err error
	if s.conn, err = ln.Accept(); err != nil {
		return
	}
	defer s.conn.Close() //nolint:errcheck // the client has what it waits for, or the test fails
	in := bufio.NewReader(s.conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		s.t.Errorf("handshake: %v", err)
		return
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + ws.Accept(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n"
	// The open packet comes with the answer's last bytes, as it may.
	if _, err := s.conn.Write(ws.AppendFrame([]byte(answer), ws.Text, []byte(`0{"sid":"x"}`))); err != nil {
		return
	}
	for buf := make([]byte, 1<<10); ; {
		n, err := in.Read(buf)
		if err != nil || s.dec.Decode(buf[:n], s) != nil {
			return
		}
	}
}

// Message implements ws.Handler.
func (s *script) Message(_ ws.Opcode, payload []byte) error {
	s.got <- string(payload)
	if len(s.answers) == 0 {
		return nil
	}
	var out []byte
	for line := range strings.Lines(s.answers[0]) {
		out = ws.AppendFrame(out, ws.Text, []byte(strings.TrimSuffix(line, "\n")))
	}
	s.answers = s.answers[1:]
	for _, b := range out { // cut everywhere
		if _, err := s.conn.Write([]byte{b}); err != nil {
			return err
		}
	}
	return nil
}

// Control implements ws.Handler.
func (s *script) Control(ws.Opcode, []byte) error { return io.EOF }

func TestClientJoinsSubscribesReadsAndAnswersPings(t *testing.T) {
	address, got := serve(t, `40/feed,{"sid":"s"}`, "43/feed,7[{\"ok\":true}]\n2\n42/feed,[\"tick\",{\"n\":0,\"t\":5}]")
	c, err := swarm.Dial(address, swarm.Options{ReadBytes: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe("tick"); err != nil {
		t.Fatal(err)
	}
	var text string
	err = c.Read(func(b []byte) error { text = string(b); return io.EOF })
	if !errors.Is(err, io.EOF) || text != `42/feed,["tick",{"n":0,"t":5}]` {
		t.Errorf("read %q, %v", text, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"40/feed,", `42/feed,7["subscribe",{"topic":"tick"}]`, "3"} {
		if m := <-got; m != want {
			t.Errorf("server got %q, want %q", m, want)
		}
	}
}

func TestClientThatIsRefusedATopicSaysSo(t *testing.T) {
	address, _ := serve(t, `40/feed,{"sid":"s"}`, `43/feed,7[{"ok":false,"code":"unknown_topic"}]`)
	_, err := swarm.Gather(address, 1, func(int) swarm.Options { return swarm.Options{} }, tick)
	if err == nil || !strings.Contains(err.Error(), "unknown_topic") {
		t.Errorf("got %v, want the refusal", err)
	}
}
