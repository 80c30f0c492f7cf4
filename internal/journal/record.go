package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"
	"slices"
	"sync"

	"github.com/streamweir/weir/internal/topiclog"
)

// The head of a record, little endian (docs/formats.md).
const (
	atMark     = 0
	atSize     = 4
	atOffset   = 8
	atPrevious = 16
	atTime     = 24
	atExpires  = 32
	atFlags    = 40
	atBodySum  = 44
	atHeadSum  = 48
	headSize   = 52
)

const flagBinary = 1

// maxBody ends the body of a record: no length that was read makes anybody allocate more.
const maxBody = 1 << 30

// What a decoder finds instead of a record.
var (
	// errTorn says that the bytes end before the record does, as after a crash.
	errTorn = errors.New("the record is not complete")

	// errDamaged says that the bytes are not those that were written.
	errDamaged = errors.New("the record is damaged")

	// errTooLarge says that no record has that many bytes.
	errTooLarge = errors.New("the record is too large for a journal")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// encodedSize is how many bytes appendRecord appends. It is never more than Record.Size.
func encodedSize(r *topiclog.Record) int {
	return headSize + len(r.Payload) + textSize(r.ID) + textSize(r.Key) + textSize(r.To.Socket) + textSize(r.To.Principal) + textSize(r.To.Room)
}

// textSize is how many bytes putText puts.
func textSize(s string) int {
	if len(s) < 0x80 { // as most are
		return 1 + len(s)
	}
	return (bits.Len(uint(len(s)))+6)/7 + len(s)
}

// texts are the fields of a body in front of the payload.
func texts(r *topiclog.Record) [5]*string {
	return [5]*string{&r.ID, &r.Key, &r.To.Socket, &r.To.Principal, &r.To.Room}
}

// appendRecord appends a record at its place to b. Namespace and topic are the log's.
func appendRecord(b []byte, mark uint32, w *waiting) []byte {
	r := w.Record
	from, size := len(b), encodedSize(r)
	b = slices.Grow(b, size)[:from+size]
	p := b[from:]
	copy(p[putTexts(p, headSize, r):], r.Payload)
	head, body := p[:headSize], p[headSize:]
	s := w.bodySum.sum
	if !w.bodySum.known {
		s = sum(body)
	}
	le := binary.LittleEndian
	le.PutUint32(head[atMark:], mark)
	le.PutUint32(head[atSize:], uint32(len(body))) //nolint:gosec // Append refuses what is larger than maxBody
	le.PutUint64(head[atOffset:], w.Offset)
	le.PutUint64(head[atPrevious:], w.Previous)
	le.PutUint64(head[atTime:], uint64(r.At))         //nolint:gosec // the bits
	le.PutUint64(head[atExpires:], uint64(r.Expires)) //nolint:gosec // the bits
	flags := uint32(0)
	if r.Binary {
		flags = flagBinary
	}
	le.PutUint32(head[atFlags:], flags)
	le.PutUint32(head[atBodySum:], s)
	le.PutUint32(head[atHeadSum:], sum(head[:atHeadSum]))
	return b
}

// bodySum is the sum of a record's body, which Append has made where that takes it no time worth mentioning: the writer has less to
// do for each. It is called under the lock of the order.
type bodySum struct {
	sum   uint32
	known bool
}

const (
	summedTexts   = 128      // the most that a record's texts have, encoded, that Append sums
	summedPayload = 16 << 10 // and its payload
)

// summer makes sums, one at a time.
type summer struct {
	mu    sync.Mutex
	texts [summedTexts]byte
}

func (m *summer) sum(r *topiclog.Record) bodySum {
	n := encodedSize(r) - headSize - len(r.Payload)
	if n > summedTexts || len(r.Payload) > summedPayload || r.Volatile {
		return bodySum{}
	}
	m.mu.Lock()
	putTexts(m.texts[:], 0, r)
	first := sum(m.texts[:n])
	m.mu.Unlock()
	return bodySum{crc32.Update(first, castagnoli, r.Payload), true}
}

// putTexts puts the fields of a body in front of the payload.
func putTexts(p []byte, at int, r *topiclog.Record) int {
	at = putText(p, at, r.ID)
	at = putText(p, at, r.Key)
	at = putText(p, at, r.To.Socket)
	at = putText(p, at, r.To.Principal)
	return putText(p, at, r.To.Room)
}

// putText puts a field of a body at a place of p, and returns the place behind it.
func putText(p []byte, at int, s string) int {
	if len(s) == 0 { // as most are
		p[at] = 0
		return at + 1
	}
	at += binary.PutUvarint(p[at:], uint64(len(s)))
	return at + copy(p[at:], s)
}

// recordAt checks the record that b begins with, and returns how many bytes it has. errTorn: b ends before it does;
// the zeros that some file systems leave at the end of a file after a crash count as such.
func recordAt(b []byte, mark uint32) (size int, err error) {
	if len(b) < headSize {
		return 0, errTorn
	}
	le := binary.LittleEndian
	if le.Uint32(b[atMark:]) != mark || sum(b[:atHeadSum]) != le.Uint32(b[atHeadSum:]) || le.Uint32(b[atSize:]) > maxBody {
		if allZero(b) {
			return 0, errTorn
		}
		return 0, errDamaged
	}
	size = headSize + int(le.Uint32(b[atSize:]))
	switch {
	case len(b) < size:
		return 0, errTorn
	case sum(b[headSize:size]) != le.Uint32(b[atBodySum:]):
		return 0, errDamaged
	}
	return size, nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// place is offset and predecessor of a record that recordAt has checked.
func placeOf(b []byte) (offset, previous uint64) {
	return binary.LittleEndian.Uint64(b[atOffset:]), binary.LittleEndian.Uint64(b[atPrevious:])
}

// decodeRecord returns the record in b, all of which recordAt has checked. Its payload is a part of b.
func decodeRecord(b []byte) (topiclog.Placement, error) {
	le := binary.LittleEndian
	r := &topiclog.Record{
		At:      int64(le.Uint64(b[atTime:])),    //nolint:gosec // the bits
		Expires: int64(le.Uint64(b[atExpires:])), //nolint:gosec // the bits
		Binary:  le.Uint32(b[atFlags:])&flagBinary != 0,
	}
	e := topiclog.Placement{Record: r}
	e.Offset, e.Previous = placeOf(b)
	if le.Uint32(b[atFlags:])&^flagBinary != 0 {
		return e, errDamaged // of a version that this one does not know
	}
	body := b[headSize:]
	for _, s := range texts(r) {
		n, used := binary.Uvarint(body)
		if used <= 0 || n > uint64(len(body)-used) {
			return e, errDamaged
		}
		*s, body = string(body[used:used+int(n)]), body[used+int(n):] //nolint:gosec // not above the length
	}
	r.Payload = body[:len(body):len(body)]
	return e, nil
}
