package transport

import (
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// pollWindow is the most that one response takes unless a single packet is
// longer: 48 KiB of frames are at most 64 KiB of payload, as base64 (architecture.md D1).
const pollWindow = 48 << 10

// Polling is HTTP long-polling as a transport: at most one GET that waits, one
// response under way and one POST (protocol.md 1.4).
//
//	GET waits --Write--> response under way --Done--> (next GET)
//
// A GET that comes before the response to the last one is reported done waits
// without opening the window, so a client that does not read holds one response.
//
//weir:loop
type Polling struct {
	get      *Exchange
	response *Exchange
	size     int // of response, in bytes
	post     *Exchange
	given    int64 // bytes of responses that were reported done
}

// Get takes a GET. It returns false, and the exchange is not taken, if another
// waits already.
func (p *Polling) Get(x *Exchange) bool {
	if p.get != nil {
		return false
	}
	p.get = x
	return true
}

// BeginPost takes a POST whose body is about to be read. It returns false, and
// the exchange is not taken, if another is being read or handled.
func (p *Polling) BeginPost(x *Exchange) bool {
	if p.post != nil {
		return false
	}
	p.post = x
	x.Answer(Continue)
	return true
}

// EndPost answers x if it is the POST in progress, and reports whether it is.
func (p *Polling) EndPost(x *Exchange, a Answer) bool {
	if p.post != x {
		return false
	}
	p.post = nil
	x.Answer(a)
	return true
}

// Window is how many bytes of frames Write takes now: 48 KiB while a GET waits
// and no response is under way, else 0.
func (p *Polling) Window() int {
	if p.get == nil || p.response != nil {
		return 0
	}
	return pollWindow
}

// Write answers the waiting GET with frames as one payload, compressed if how
// allows it. Whole plain frames made for a server to send are expected, and all
// are taken.
func (p *Polling) Write(frames []byte, how base.Packing) (int, error) {
	if p.Window() == 0 || len(frames) == 0 {
		return 0, nil
	}
	p.respond(Payload(frames), how)
	return len(frames), nil
}

// Payload encodes whole plain frames made for a server to send as the payload of one response.
func Payload(frames []byte) []byte {
	size, first := 0, true
	for op, data := range base.Parts(frames) {
		if op == ws.Binary {
			size += eio.EncodedBinaryLen(first, len(data))
		} else {
			size += eio.EncodedTextLen(first, len(data))
		}
		first = false
	}
	body := make([]byte, 0, size)
	for op, data := range base.Parts(frames) {
		if op == ws.Binary {
			body = eio.AppendBinary(body, len(body) == 0, data)
		} else {
			body = eio.AppendText(body, len(body) == 0, data)
		}
	}
	return body
}

// EndGet answers the waiting GET, if there is one, with a packet of one type,
// and reports whether there was.
func (p *Polling) EndGet(packet eio.PacketType) bool {
	return p.EndGetWith(nil, packet)
}

// EndGetWith is EndGet behind a payload that was kept for it, which may be empty.
func (p *Polling) EndGetWith(payload []byte, packet eio.PacketType) bool {
	if p.get == nil {
		return false
	}
	body := eio.AppendText(payload, len(payload) == 0, packet.Text())
	if p.response != nil { // the earlier response is what counts: see Done
		p.get.Answer(packets(body, base.Packable))
		p.get = nil
		return true
	}
	p.respond(body, base.Packable)
	return true
}

// RefuseGet gives the waiting GET, if there is one, an answer without packets.
func (p *Polling) RefuseGet(a Answer) {
	if p.get != nil {
		p.get.Answer(a)
		p.get = nil
	}
}

func (p *Polling) respond(body []byte, how base.Packing) {
	p.get.Answer(packets(body, how))
	p.response, p.get, p.size = p.get, nil, len(body)
}

// Done takes the report that a GET is over: its response was written, or err
// says what became of it or of the wait for it. It reports whether packets may
// have been lost, or the client has given the session up.
func (p *Polling) Done(x *Exchange, err error) (lost bool) {
	switch x {
	case p.get:
		p.get = nil
		return true
	case p.response:
		p.response = nil
		p.given += int64(p.size)
		return err != nil
	}
	return false
}

// Waiting reports whether a GET waits.
func (p *Polling) Waiting() bool { return p.get != nil }

// Reading reports whether x is the POST in progress.
func (p *Polling) Reading(x *Exchange) bool { return p.post == x }

// Busy reports whether a request or response of the session is under way.
func (p *Polling) Busy() bool { return p.get != nil || p.post != nil || p.response != nil }

// Writing reports whether a response is under way.
func (p *Polling) Writing() bool { return p.response != nil }

// Unsent is how many bytes of the response under way the connection has not
// taken.
func (p *Polling) Unsent() int {
	if p.response == nil {
		return 0
	}
	return max(0, p.size-int(p.response.written.Load()))
}

// Progress is how far the responses have come. What a connection has taken
// counts as sent and acknowledged.
func (p *Polling) Progress() Progress {
	given := p.given
	if p.response != nil {
		given += int64(p.size)
	}
	taken := given - int64(p.Unsent())
	return Progress{Given: given, Left: taken, Taken: taken}
}
