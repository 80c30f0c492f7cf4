package demo

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

const (
	readSize     = 4 << 10         // bytes of one read at full rate, as small as the receive buffer
	maxMessage   = 1 << 20         // bytes of a message from the server
	writeTimeout = 5 * time.Second // for the few bytes a slow client sends
)

// session is one connection of a SlowClient: the handshakes of websocket, Engine.IO and Socket.IO, then messages. It
// implements ws.Handler.
type session struct {
	client *SlowClient
	conn   net.Conn
	joined bool
}

// refusedError is an answer to the websocket handshake other than 101.
type refusedError struct {
	status     int
	retryAfter time.Duration // 0 if the server named none
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("handshake answered %d, retry after %v", e.status, e.retryAfter)
}

var (
	errClosed     = errors.New("closed by the server")
	errNotJoined  = errors.New("namespace refused")
	errBadUpgrade = errors.New("handshake answered with a wrong Sec-WebSocket-Accept")
)

// close may be called from any goroutine and more than once.
func (s *session) close() {
	_ = s.conn.Close() // there is nothing left that could be lost
}

// run reads at the client's pace until the connection ends.
func (s *session) run(ctx context.Context) error {
	in := bufio.NewReaderSize(s.client.opts.Pace.Reader(ctx, s.conn), readSize)
	if err := s.upgrade(in); err != nil {
		return err
	}
	d := ws.NewDecoder(maxMessage, ws.Client)
	buf := make([]byte, readSize)
	for {
		n, err := in.Read(buf)
		if err := d.Decode(buf[:n], s); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

// upgrade is the opening handshake (RFC 6455 4.1).
func (s *session) upgrade(in *bufio.Reader) error {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r, err := http.NewRequest(http.MethodGet, "http://"+s.client.opts.Host+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"User-Agent": UserAgent, "Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
	} {
		r.Header.Set(name, value)
	}
	if err := r.Write(s.conn); err != nil {
		return fmt.Errorf("send handshake: %w", err)
	}
	a, err := http.ReadResponse(in, r)
	if err != nil {
		return fmt.Errorf("read handshake: %w", err)
	}
	defer a.Body.Close() //nolint:errcheck // read only; a 101 has none
	if a.StatusCode != http.StatusSwitchingProtocols {
		return &refusedError{status: a.StatusCode, retryAfter: retryAfter(a.Header)}
	}
	if a.Header.Get("Sec-WebSocket-Accept") != ws.Accept(key) {
		return errBadUpgrade
	}
	return nil
}

// retryAfter reads the seconds of a Retry-After (RFC 9110 10.2.3); Weir sends no dates.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Control implements ws.Handler.
func (s *session) Control(op ws.Opcode, payload []byte) error {
	switch op {
	case ws.Ping:
		return s.send(ws.Pong, payload)
	case ws.Close:
		return errClosed
	}
	return nil
}

// Message implements ws.Handler.
func (s *session) Message(op ws.Opcode, payload []byte) error {
	if op != ws.Text {
		return nil // an attachment: the feed sends none
	}
	p, err := eio.ParsePacket(payload)
	if err != nil {
		return err
	}
	switch p.Type {
	case eio.Open:
		return s.text(sio.AppendHeader([]byte{byte(eio.Message)}, sio.Connect, sio.EventHeader{Namespace: s.client.opts.Namespace}))
	case eio.Ping:
		return s.text([]byte{byte(eio.Pong)})
	case eio.Close:
		return errClosed
	case eio.Message:
		return s.packet(p.Data)
	}
	return nil
}

// packet handles a Socket.IO packet.
func (s *session) packet(text []byte) error {
	p, err := sio.Parse(text)
	if err != nil {
		return err
	}
	switch p.Type {
	case sio.Connect:
		return s.join(p.Data)
	case sio.ConnectError:
		return fmt.Errorf("%w: %s", errNotJoined, p.Data)
	case sio.Disconnect:
		return errClosed
	case sio.Event:
		return s.event(p.Data)
	}
	return nil
}

// join remembers the socket's id, by which the management API knows the client, and subscribes.
func (s *session) join(data []byte) error {
	var in struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(data, &in); err != nil || in.SID == "" {
		return fmt.Errorf("%w: no sid in %.100q", errNotJoined, data)
	}
	s.joined = true
	s.client.update(func(v *SlowView) { v.Status, v.Socket = Connected, in.SID })
	topic := sio.AppendString([]byte(`{"topic":`), s.client.opts.Topic)
	h := sio.EventHeader{Namespace: s.client.opts.Namespace}
	return s.text(sio.AppendEvent([]byte{byte(eio.Message)}, h, []byte(`"weir:subscribe"`), append(topic, '}')))
}

func (s *session) event(data []byte) error {
	args := sio.SplitArgs(data, nil)
	name, err := sio.EventName(args[0])
	if err != nil {
		return err
	}
	switch {
	case name == "weir:error":
		return fmt.Errorf("subscribe %s: %s", s.client.opts.Topic, data)
	case name != s.client.opts.Topic || len(args) < 2:
		return nil
	}
	var t Tick
	if err := json.Unmarshal(args[1], &t); err != nil {
		return fmt.Errorf("decode a tick: %w", err)
	}
	s.client.update(func(v *SlowView) {
		v.Received++
		if t.At >= v.Newest.At {
			v.Newest = Tick{Symbol: t.Symbol, Price: t.Price, At: t.At}
		}
	})
	return nil
}

func (s *session) text(payload []byte) error { return s.send(ws.Text, payload) }

// send writes one frame. Only the goroutine of run sends.
func (s *session) send(op ws.Opcode, payload []byte) error {
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(ws.AppendMasked(nil, op, key, payload))
	return err
}
