package systemtest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/wire/ws"
)

// lean is a Socket.IO client over a websocket that keeps little memory and makes
// no garbage while it reads: for tests with many clients, and for those that
// measure what the process holds. It reads only when asked to. One goroutine may
// read while another writes.
type lean struct {
	conn net.Conn
	in   *bufio.Reader
	buf  []byte // of the last message
	sid  string // Socket.IO id
	mu   sync.Mutex
	out  []byte
}

// leanOptions say how a lean client's connection is set up.
type leanOptions struct {
	receiveBuffer int // 0 = the kernel's
	header        string
}

// dialLean opens a session over websocket and joins a namespace.
func dialLean(address, namespace string, o leanOptions) (*lean, error) {
	conn, err := connectTo(address, o.receiveBuffer)
	if err != nil {
		return nil, err
	}
	c := &lean{conn: conn, in: bufio.NewReaderSize(conn, 4<<10)}
	if err := c.handshake(address, namespace, o); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *lean) handshake(address, namespace string, o leanOptions) error {
	_, err := fmt.Fprintf(c.conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", address, o.header)
	if err != nil {
		return err
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // after 101 there is none
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("websocket handshake: %s", resp.Status)
	}
	if m, err := c.text(); err != nil || !strings.HasPrefix(m, "0{") {
		return fmt.Errorf("open packet %q: %w", m, err)
	}
	if err := c.send("40" + namespace + ","); err != nil {
		return err
	}
	m, err := c.text()
	if err != nil || !strings.HasPrefix(m, "40") {
		return fmt.Errorf("CONNECT %s: answered %q: %w", namespace, m, err)
	}
	var body struct{ SID string }
	if err := json.Unmarshal([]byte(m[strings.IndexByte(m, '{'):]), &body); err != nil {
		return err
	}
	c.sid = body.SID
	return nil
}

// newLean dials for a test; the connection closes with it.
func newLean(t testing.TB, address, namespace string, o leanOptions) *lean {
	t.Helper()
	c, err := dialLean(address, namespace, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// message returns the next data message, answering pings on the way. The payload is
// valid until the next call.
func (c *lean) message() (ws.Opcode, []byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, nil, err
	}
	for {
		op, payload, err := c.frame()
		if err != nil {
			return 0, nil, err
		}
		switch {
		case op == ws.Close:
			return 0, nil, io.EOF
		case op == ws.Text && string(payload) == "2":
			if err := c.send("3"); err != nil {
				return 0, nil, err
			}
		default:
			return op, payload, nil
		}
	}
}

// frame reads one unmasked, final frame, as Weir's servers send them, by the deadline
// of the last message.
func (c *lean) frame() (ws.Opcode, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.in, head[:2]); err != nil {
		return 0, nil, err
	}
	op, n := ws.Opcode(head[0]&0x0f), int(head[1])
	if head[0]&0x80 == 0 || n > 127 {
		return 0, nil, fmt.Errorf("frame header % x: want final and unmasked", head[:2])
	}
	if extra := map[int]int{126: 2, 127: 8}[n]; extra > 0 {
		if _, err := io.ReadFull(c.in, head[:extra]); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, b := range head[:extra] {
			n = n<<8 | int(b)
		}
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	_, err := io.ReadFull(c.in, c.buf)
	return op, c.buf, err
}

// text is message for callers that expect text and keep it.
func (c *lean) text() (string, error) {
	op, payload, err := c.message()
	if err == nil && op != ws.Text {
		err = fmt.Errorf("a binary message of %d bytes, want text", len(payload))
	}
	return string(payload), err
}

// number reads deliveries of topic until one is a numbered payload, and returns its
// number.
func (c *lean) number(topic string) (int, error) {
	for {
		_, payload, err := c.message()
		if err != nil {
			return 0, err
		}
		if n, ok := numberOf(payload, topic); ok {
			return n, nil
		}
	}
}

// numbered is a payload of about size bytes that carries a number.
func numbered(n, size int) json.RawMessage {
	b := fmt.Appendf(make([]byte, 0, size+32), `{"n":%d,"pad":"`, n)
	for len(b) < size-2 {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

// numberOf is the number of a numbered payload in a delivery of topic.
func numberOf(text []byte, topic string) (int, bool) {
	i := bytes.Index(text[:min(len(text), 256)], []byte(`["`+topic+`",`))
	if i < 0 {
		return 0, false
	}
	rest := text[i+len(topic)+4:]
	const field = `{"n":`
	if !bytes.HasPrefix(rest, []byte(field)) {
		return 0, false
	}
	rest = rest[len(field):]
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(rest[:end]))
	return n, err == nil
}

func (c *lean) send(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = ws.AppendMasked(c.out[:0], ws.Text, [4]byte{1, 2, 3, 4}, []byte(text))
	_, err := c.conn.Write(c.out)
	return err
}

// subscribe subscribes to a topic and waits for the answer.
func (c *lean) subscribe(namespace, topic string) error {
	if err := c.send(fmt.Sprintf(`42%s,1["weir:subscribe",{"topic":%q}]`, namespace, topic)); err != nil {
		return err
	}
	for {
		m, err := c.text()
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(m, "43"+namespace+",1"); ok {
			if !strings.HasPrefix(rest, `[{"epoch"`) && !strings.Contains(rest, `"ok":true`) {
				return fmt.Errorf("subscribe %s: %s", topic, rest)
			}
			return nil
		}
	}
}

// crowd dials n lean clients of /feed for a test, and subscribes each to topic unless
// that is "".
func crowd(t testing.TB, address, topic string, n int, o leanOptions) []*lean {
	t.Helper()
	clients, err := dialCrowd(address, topic, n, o)
	t.Cleanup(func() { hangUp(clients) })
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// dialCrowd is crowd for those who hang up themselves.
func dialCrowd(address, topic string, n int, o leanOptions) ([]*lean, error) {
	clients := make([]*lean, n)
	err := inParallel(n, func(i int) (err error) {
		if clients[i], err = dialLean(address, "/feed", o); err == nil && topic != "" {
			err = clients[i].subscribe("/feed", topic)
		}
		return err
	})
	return clients, err
}

// inParallel calls f for 0 to n-1, some at a time, and joins their errors.
func inParallel(n int, f func(i int) error) error {
	const abreast = 32
	errs := make([]error, n)
	var wg sync.WaitGroup
	for w := range min(n, abreast) {
		wg.Go(func() {
			for i := w; i < n; i += abreast {
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func hangUp(clients []*lean) {
	for _, c := range clients {
		if c != nil {
			_ = c.conn.Close()
		}
	}
}
