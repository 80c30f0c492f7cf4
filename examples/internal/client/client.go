// Package client is as much of a Socket.IO client as the tests of the examples
// need: one namespace over one websocket, JSON only. Applications use
// socket.io-client.
package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// maxMessage is the longest message accepted, in bytes.
const maxMessage = 1 << 20

// maskKey is what frames are masked with. A browser's key is random, so that
// pages cannot choose the bytes on the wire; a test has nothing to hide.
var maskKey = [4]byte{1, 2, 3, 4}

// Client is a socket in a namespace. One goroutine at a time may use it; Close
// may be called by any.
type Client struct {
	conn      net.Conn
	in        *bufio.Reader
	decoder   ws.Decoder
	namespace string
	lastID    uint64
	messages  []string // received, not looked at yet
	events    []Event  // received while Ask waited for its answer
}

// Event is an event of the server.
type Event struct {
	Name string
	Args []json.RawMessage
	asks bool
	id   uint64
}

// Dial connects to a server at host:port and joins a namespace. auth is what
// socket.io-client takes as its auth option; nil is none.
func Dial(ctx context.Context, address, namespace string, auth any) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, in: bufio.NewReader(conn), decoder: ws.NewDecoder(maxMessage, ws.Client), namespace: namespace}
	if err := c.enter(ctx, address, auth); err != nil {
		c.Close()
		return nil, fmt.Errorf("join %s at %s: %w", namespace, address, err)
	}
	return c, nil
}

func (c *Client) enter(ctx context.Context, address string, auth any) error {
	if err := c.upgrade(address); err != nil {
		return err
	}
	return c.join(ctx, auth)
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() } // closed already: nothing to do

func (c *Client) upgrade(host string) error {
	_, err := fmt.Fprintf(c.conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // there is none
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upgrade answered %s", resp.Status)
	}
	return nil
}

func (c *Client) join(ctx context.Context, auth any) error {
	if _, err := c.receive(ctx); err != nil { // the open packet
		return err
	}
	text := sio.AppendHeader([]byte("4"), sio.Connect, sio.EventHeader{Namespace: c.namespace})
	if auth != nil {
		b, err := json.Marshal(auth)
		if err != nil {
			return err
		}
		text = append(text, b...)
	}
	if err := c.send(text); err != nil {
		return err
	}
	answer, err := c.receive(ctx)
	if err != nil {
		return err
	}
	if len(answer) < 2 || answer[:2] != "40" {
		return fmt.Errorf("refused: %s", answer)
	}
	return nil
}

// Emit sends an event.
func (c *Client) Emit(name string, args ...any) error {
	return c.emit(sio.EventHeader{Namespace: c.namespace}, name, args)
}

// Ask sends an event and returns the arguments of the server's answer.
func (c *Client) Ask(ctx context.Context, name string, args ...any) ([]json.RawMessage, error) {
	c.lastID++
	id := c.lastID
	if err := c.emit(sio.EventHeader{Namespace: c.namespace, ID: id, HasID: true}, name, args); err != nil {
		return nil, err
	}
	for {
		p, err := c.packet(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case p.typ == sio.Ack && p.event.id == id:
			return p.event.Args, nil
		case p.typ == sio.Event:
			c.events = append(c.events, p.event)
		}
	}
}

// Next returns the next event.
func (c *Client) Next(ctx context.Context) (Event, error) {
	if len(c.events) > 0 {
		e := c.events[0]
		c.events = c.events[1:]
		return e, nil
	}
	for {
		p, err := c.packet(ctx)
		if err != nil || p.typ == sio.Event {
			return p.event, err
		}
	}
}

// Answer answers an event that asks.
func (c *Client) Answer(e Event, args ...any) error {
	if !e.asks {
		return fmt.Errorf("the event %s asks for no answer", e.Name)
	}
	raw, err := encode(args)
	if err != nil {
		return err
	}
	return c.send(sio.AppendAck([]byte("4"), sio.EventHeader{Namespace: c.namespace, ID: e.id, HasID: true}, raw...))
}

func (c *Client) emit(h sio.EventHeader, name string, args []any) error {
	raw, err := encode(append([]any{name}, args...))
	if err != nil {
		return err
	}
	return c.send(sio.AppendEvent([]byte("4"), h, raw...))
}

func encode(args []any) ([][]byte, error) {
	var raw [][]byte
	for _, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		raw = append(raw, b)
	}
	return raw, nil
}

func (c *Client) send(text []byte) error {
	_, err := c.conn.Write(ws.AppendMasked(nil, ws.Text, maskKey, text))
	return err
}

// packet is an event or an answer.
type packet struct {
	typ   sio.Type
	event Event
}

func (c *Client) packet(ctx context.Context) (packet, error) {
	text, err := c.receive(ctx)
	if err != nil {
		return packet{}, err
	}
	if text == "" || text[0] != '4' {
		return packet{}, fmt.Errorf("not a message: %q", text)
	}
	raw, err := sio.Parse([]byte(text[1:]))
	if err != nil {
		return packet{}, fmt.Errorf("packet %q: %w", text, err)
	}
	p := packet{typ: raw.Type, event: Event{id: raw.ID, asks: raw.HasID}}
	for i, arg := range sio.SplitArgs(raw.Data, nil) {
		if i == 0 && raw.Type == sio.Event {
			if p.event.Name, err = sio.EventName(arg); err != nil {
				return packet{}, err
			}
			continue
		}
		p.event.Args = append(p.event.Args, arg)
	}
	return p, nil
}

// receive returns the next Engine.IO packet that is not a ping, which it answers.
func (c *Client) receive(ctx context.Context) (string, error) {
	interrupted := context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer interrupted()
	buf := make([]byte, 4<<10)
	for {
		for len(c.messages) > 0 {
			m := c.messages[0]
			c.messages = c.messages[1:]
			if m != "2" {
				return m, nil
			}
			if err := c.send([]byte("3")); err != nil {
				return "", err
			}
		}
		n, err := c.in.Read(buf)
		if n > 0 {
			if err := c.decoder.Decode(buf[:n], c); err != nil {
				return "", err
			}
			continue // an error that came with bytes comes again
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", err
		}
	}
}

// Message implements ws.Handler.
func (c *Client) Message(_ ws.Opcode, payload []byte) error {
	c.messages = append(c.messages, string(payload))
	return nil
}

// Control implements ws.Handler.
func (c *Client) Control(op ws.Opcode, _ []byte) error {
	if op == ws.Close {
		return io.EOF
	}
	return nil
}
