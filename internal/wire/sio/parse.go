package sio

import "math"

// root is the default namespace. Packets share it: it is never written to.
var root = []byte("/")

// Parse decodes a packet text by the grammar of 2.1 and refuses what that section says to refuse, with an *[Error]. The
// text has to be UTF-8, as the transports guarantee. It is stricter than the JavaScript parser in five points no
// official client notices: an ack id has to fit into 64 bits; a count of attachments is written in plain digits without
// leading zeros; no white space precedes the JSON; events and acks have their array; an attachment index is an integer.
// It does not allocate for packets without attachments, unless it fails or the event's name holds escapes.
func Parse(text []byte) (Packet, error) {
	p, i, err := parseHeader(text)
	if err != nil {
		return Packet{}, err
	}
	if err := p.checkData(); err != nil {
		err.Pos += i
		return Packet{}, err
	}
	return p, nil
}

// ParseOwn is [Parse] for the text of a packet that this process has written: its JSON is taken for what it is, unread.
func ParseOwn(text []byte) (Packet, error) {
	p, _, err := parseHeader(text)
	return p, err
}

// parseHeader reads all but the JSON, which begins at i.
func parseHeader(text []byte) (p Packet, i int, _ error) {
	if len(text) == 0 {
		return Packet{}, 0, errorAt(0, "empty packet")
	}
	p = Packet{Type: Type(text[0]), Namespace: root}
	if p.Type < Connect || p.Type > BinaryAck {
		return Packet{}, 0, errorAt(0, "unknown packet type %q", text[0])
	}
	i, err := p.parseAttachments(text, 1)
	if err != nil {
		return Packet{}, 0, err
	}
	i = p.parseNamespace(text, i)
	if i, err = p.parseID(text, i); err != nil {
		return Packet{}, 0, err
	}
	p.Data = text[i:]
	return p, i, nil
}

// parseAttachments reads "<count>-" where the type asks for it.
func (p *Packet) parseAttachments(text []byte, i int) (int, *Error) {
	if !p.Type.HasAttachments() {
		return i, nil
	}
	start, n := i, 0
	for isDigit(at(text, i)) && n <= MaxAttachments {
		n = n*10 + int(text[i]-'0')
		i++
	}
	if n == 0 || n > MaxAttachments || text[start] == '0' || at(text, i) != '-' {
		return 0, errorAt(start, "bad attachment count: want 1 to %d and a '-'", MaxAttachments)
	}
	p.Attachments = n
	return i + 1, nil
}

// parseNamespace reads "/name," or "/name" at the end of the text.
func (p *Packet) parseNamespace(text []byte, i int) int {
	if at(text, i) != '/' {
		return i
	}
	end := i
	for end < len(text) && text[end] != ',' {
		end++
	}
	p.Namespace = text[i:end:end]
	return min(end+1, len(text))
}

func (p *Packet) parseID(text []byte, i int) (int, *Error) {
	for start := i; isDigit(at(text, i)); i++ {
		digit := uint64(text[i] - '0')
		if p.ID > (math.MaxUint64-digit)/10 {
			return 0, errorAt(start, "ack id does not fit into 64 bits")
		}
		p.ID = p.ID*10 + digit
		p.HasID = true
	}
	return i, nil
}

// checkData checks the JSON and its shape. Positions of errors are in Data.
func (p *Packet) checkData() *Error {
	first := at(p.Data, 0)
	switch p.Type {
	case Connect:
		if len(p.Data) > 0 && first != '{' {
			return errorAt(0, "CONNECT payload is not an object")
		}
	case Disconnect:
		if len(p.Data) > 0 {
			return errorAt(0, "DISCONNECT with a payload")
		}
	case ConnectError:
		if len(p.Data) > 0 && first != '{' && first != '"' {
			return errorAt(0, "CONNECT_ERROR payload is neither an object nor a string")
		}
	default:
		if first != '[' {
			return errorAt(0, "%v payload is not an array", p.Type)
		}
	}
	if len(p.Data) == 0 {
		return nil
	}
	if err := checkJSON(p.Data); err != nil {
		return err
	}
	if p.Type == Event || p.Type == BinaryEvent {
		if err := checkEventName(p.Data); err != nil {
			return err
		}
	}
	if p.Type.HasAttachments() {
		return checkPlaceholders(p.Data, p.Attachments)
	}
	return nil
}

// maxEventName is the longest JSON of an event's name: it is read, looked up and logged wherever an event comes by.
const maxEventName = 64 << 10

// checkEventName looks at the first element of args, a valid JSON array: it has to be a number, or a string that is not
// reserved (2.4).
func checkEventName(args []byte) *Error {
	i := skipSpace(args, 1)
	switch c := args[i]; {
	case c == ']':
		return errorAt(i, "event without a name")
	case c == '-' || isDigit(c):
		end, err := scanNumber(args, i)
		if err == nil && end-i > maxEventName {
			return errorAt(i, "event name of %d digits, limit %d", end-i, maxEventName)
		}
		return err
	case c != '"':
		return errorAt(i, "event name is neither a string nor a number")
	}
	end, err := scanString(args, i)
	if err != nil {
		return err
	}
	if end-i > maxEventName {
		return errorAt(i, "event name of %d bytes, limit %d", end-i, maxEventName)
	}
	if reservedString(args[i:end]) {
		return errorAt(i, "reserved event name %s", args[i:end])
	}
	return nil
}
