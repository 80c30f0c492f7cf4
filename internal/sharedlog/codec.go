package sharedlog

import (
	"encoding/binary"
	"errors"

	"github.com/streamweir/weir/internal/topiclog"
)

// The form of an entry: version, kind, flags, who has appended it, and the record's fields, each with its length. Namespace and
// topic are the log's.
const (
	version = 1

	kindRecord = 1
	kindMark   = 2 // begins a log; it is no record

	flagBinary = 1
)

// origin says whose append an entry is, and which of them.
type origin struct {
	log    string // of one opening of a log
	number uint64
}

// errForm says that an entry is not what a node of this version writes.
var errForm = errors.New("an entry of the topic's log has another form")

// appendEntry encodes an entry; nil is a mark.
func appendEntry(b []byte, o origin, r *topiclog.Record) []byte {
	if r == nil {
		return appendText(append(b, version, kindMark, 0), o.log)
	}
	flags := byte(0)
	if r.Binary {
		flags = flagBinary
	}
	b = appendText(append(b, version, kindRecord, flags), o.log)
	b = binary.AppendUvarint(b, o.number)
	b = binary.AppendVarint(b, r.At)
	b = binary.AppendVarint(b, r.Expires)
	for _, s := range []string{r.ID, r.Key, r.To.Socket, r.To.Principal, r.To.Room} {
		b = appendText(b, s)
	}
	return append(b, r.Payload...)
}

// AppendRecord encodes a record that goes to other nodes without a log, as they would find it in one; from says who sends it.
func AppendRecord(b []byte, from string, r *topiclog.Record) []byte {
	return appendEntry(b, origin{log: from}, r)
}

// ParseRecord decodes one. Namespace and topic are not told; the payload is a view into b.
func ParseRecord(b []byte) (from string, r *topiclog.Record, err error) {
	o, r, err := parseEntry(b)
	if err == nil && r == nil {
		err = errForm
	}
	return o.log, r, err
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseEntry decodes one. The payload is a view into b. A mark has no record.
func parseEntry(b []byte) (o origin, r *topiclog.Record, err error) {
	p := parser{rest: b}
	v, kind, flags := p.octet(), p.octet(), p.octet()
	if v != version || (kind != kindRecord && kind != kindMark) || flags > flagBinary {
		return o, nil, errForm
	}
	o.log = p.text()
	if kind == kindMark {
		if p.bad || len(p.rest) > 0 || flags != 0 {
			return o, nil, errForm
		}
		return o, nil, nil
	}
	o.number = p.unsigned()
	r = &topiclog.Record{At: p.signed(), Expires: p.signed(), Binary: flags == flagBinary}
	for _, to := range []*string{&r.ID, &r.Key, &r.To.Socket, &r.To.Principal, &r.To.Room} {
		*to = p.text()
	}
	if p.bad {
		return o, nil, errForm
	}
	r.Payload = p.rest
	return o, r, nil
}

// parser reads fields.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) octet() byte {
	if len(p.rest) == 0 {
		p.bad = true
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

func (p *parser) unsigned() uint64 {
	n, size := binary.Uvarint(p.rest)
	return n * p.skip(size)
}

func (p *parser) signed() int64 {
	n, size := binary.Varint(p.rest)
	return n * int64(p.skip(size)) //nolint:gosec // 0 or 1
}

// skip passes over a number of that size, and is 1; 0 where there is none.
func (p *parser) skip(size int) uint64 {
	if p.bad = p.bad || size <= 0; p.bad {
		return 0
	}
	p.rest = p.rest[size:]
	return 1
}

func (p *parser) text() string {
	n := p.unsigned()
	if p.bad = p.bad || n > uint64(len(p.rest)); p.bad {
		return ""
	}
	s := string(p.rest[:n])
	p.rest = p.rest[n:]
	return s
}
