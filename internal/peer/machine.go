package peer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// Handler is whoever owns a Machine's connection. Slices are valid during the call only. An error ends the Machine and
// is returned by Receive as it is.
type Handler interface {
	// Send is to send one frame, masked; ws.AppendMasked makes it.
	Send(op ws.Opcode, payload []byte) error
	// Ready is called once, when the client is in the namespace. data is the JSON of the server's CONNECT, {"sid":…}.
	Ready(data []byte) error
	// Packet is called with the text of each Socket.IO packet after that, without Engine.IO's '4', which [sio.Parse]
	// reads: events and acks. It is not checked yet.
	Packet(text []byte) error
}

// Machine is the protocol of one client without I/O: opening handshake, open packet, CONNECT, heartbeat, close. Begin
// starts it, Receive feeds it, End says that nothing more comes. It holds a buffer only while a message or the answer
// to the handshake is incomplete. One goroutine at a time.
//
//	answering --101--> opening --0{…}--> joining --40/ns,{…}--> ready
//	    |                                                         |
//	    +------------- any error: a refusal, a close, ------------+---> over
type Machine struct {
	script  *Script
	handler Handler // during Receive only
	frames  ws.Decoder
	head    []byte // the answer to the handshake as far as it has come; nil outside of answering
	key     uint64 // see appendKey
	skipped uint32
	phase   phase
}

type phase uint8

const (
	answering phase = iota
	opening
	joining
	ready
	over
)

// NewMachine returns a Machine that waits for Begin.
func NewMachine(s *Script) Machine { return Machine{script: s, phase: over} }

// Begin starts the protocol, for the first time or again on a new connection, and appends the opening handshake to dst.
func (m *Machine) Begin(dst []byte) []byte {
	*m = Machine{script: m.script, frames: ws.NewDecoder(m.script.maxMessage, ws.Client), key: keyCount.Add(1)}
	dst = append(dst, m.script.opening...)
	dst = appendKey(dst, m.key)
	return append(dst, "\r\n\r\n"...)
}

// Ready reports whether the client is in its namespace.
func (m *Machine) Ready() bool { return m.phase == ready }

// Skipped is how many events and acks with binary attachments came, which no Handler sees.
func (m *Machine) Skipped() uint32 { return m.skipped }

// Held is the memory in bytes that an incomplete message or answer occupies.
func (m *Machine) Held() int { return m.frames.Held() + cap(m.head) }

// Receive takes the next bytes of the connection, however they are cut, and calls h for what they complete. It may
// write to b and does not keep it. The error is the end of the connection, and the caller is to close it: a
// *[StatusError], *[ConnectError], *[CloseError], [ErrDisconnected] or [ErrClosePacket] is the server's word; a
// *[ws.Error] or *[sio.Error] its mistake; anything else is the Handler's own. After that it is ErrOver.
func (m *Machine) Receive(b []byte, h Handler) error {
	if m.phase == over {
		return ErrOver
	}
	m.handler = h
	err := m.receive(b)
	m.handler = nil
	if err != nil {
		m.head, m.frames, m.phase = nil, ws.Decoder{}, over
	}
	return err
}

func (m *Machine) receive(b []byte) error {
	if m.phase == answering {
		rest, err := m.answer(b)
		if err != nil || m.phase == answering {
			return err
		}
		b = rest
	}
	return m.frames.Decode(b, (*frames)(m))
}

// End says that the server sends no more, and returns what that means: io.EOF for a client in its namespace,
// io.ErrUnexpectedEOF before, or the *[StatusError] whose body was being read.
func (m *Machine) End() error {
	before, head := m.phase, m.head
	m.head, m.frames, m.phase = nil, ws.Decoder{}, over
	switch before {
	case over:
		return ErrOver
	case ready:
		return io.EOF
	case answering:
		if refusal := parseRefusal(head, ended); refusal != nil {
			return refusal
		}
	case opening, joining:
	}
	return io.ErrUnexpectedEOF
}

// frames is a Machine as the handler of its frames.
type frames Machine

// Control implements ws.Handler.
func (f *frames) Control(op ws.Opcode, payload []byte) error {
	switch op {
	case ws.Ping:
		return f.handler.Send(ws.Pong, payload)
	case ws.Close:
		code, reason, fault := ws.ParseClose(payload)
		if fault != nil {
			return fault
		}
		closed := &CloseError{Code: code, Reason: reason}
		if err := f.handler.Send(ws.Close, payload[:min(len(payload), 2)]); err != nil {
			return fmt.Errorf("%w; answer it: %w", closed, err)
		}
		return closed
	default: // a pong; others are no control frames
		return nil
	}
}

var pong = []byte{byte(eio.Pong)}

// Message implements ws.Handler: one Engine.IO packet (1.3), or an attachment.
func (f *frames) Message(op ws.Opcode, payload []byte) error {
	if op == ws.Binary {
		return nil // its event was counted
	}
	if len(payload) == 0 {
		return &eio.ParseError{Reason: "empty packet"}
	}
	switch kind := eio.PacketType(payload[0]); kind {
	case eio.Message:
		return f.packet(payload[1:])
	case eio.Ping:
		return f.handler.Send(ws.Text, pong)
	case eio.Open:
		if f.phase != opening {
			return nil
		}
		f.phase = joining
		return f.handler.Send(ws.Text, f.script.connect)
	case eio.Close:
		return ErrClosePacket
	case eio.Noop, eio.Pong, eio.Upgrade, base64Mark:
		return nil
	default:
		return &eio.ParseError{Reason: fmt.Sprintf("unknown packet type %q", payload[0])}
	}
}

// base64Mark begins an attachment in text (1.4).
const base64Mark = eio.PacketType('b')

func (f *frames) packet(text []byte) error {
	if len(text) == 0 {
		return &sio.Error{Reason: "empty packet"}
	}
	switch sio.Type(text[0]) {
	case sio.BinaryEvent, sio.BinaryAck:
		f.skipped++
		return nil
	case sio.Connect, sio.ConnectError, sio.Disconnect:
		return f.membership(text)
	case sio.Event, sio.Ack:
	}
	if f.phase != ready {
		return nil // not for a client that is not in: of a namespace it did not ask for
	}
	return f.handler.Packet(text)
}

// membership is a packet about being in a namespace (2.1, 2.2).
func (f *frames) membership(text []byte) error {
	p, err := sio.Parse(text)
	if err != nil {
		return err
	}
	if string(p.Namespace) != f.script.namespace {
		return nil
	}
	switch {
	case p.Type == sio.Disconnect:
		return ErrDisconnected
	case p.Type == sio.ConnectError:
		return parseConnectError(p.Data)
	case f.phase == joining:
		f.phase = ready
		return f.handler.Ready(p.Data)
	}
	return nil
}

// parseConnectError reads an object with a message, or the plain string that old servers send.
func parseConnectError(data []byte) error {
	var e struct {
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if json.Unmarshal(data, &e) == nil && e.Message != "" {
		return &ConnectError{Message: e.Message, Data: e.Data}
	}
	return &ConnectError{Message: string(bytes.Trim(data, `"`))}
}
