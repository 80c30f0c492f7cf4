package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sort"

	"github.com/streamweir/weir/internal/topiclog"
)

// blockBytes is about how many bytes of a segment are read together.
const blockBytes = 64 << 10

// blockRecipients is how many recipients a block knows apart. One with more is read by every reader.
const blockRecipients = 64

// bloomBytes is how large the filter of a block with more recipients is: with 400 of them one block in a hundred is
// read for nothing.
const bloomBytes = 512

// segment is what is known of one file. It is the log's, and changes under Log.mu.
type segment struct {
	name     string
	base     uint64
	previous uint64 // the header's
	mark     uint32
	index

	output     *output // what it was written with; nil: an earlier process has written it
	beside     int64   // bytes of its index file
	distrusted bool    // something in it was not what had been written when it was read, and that was said
}

// bytes are those of its files.
func (s *segment) bytes() int64 { return s.end + s.beside }

// index says where the records of a segment are. It is made when the file is written or read. Blocks never change once they
// are in a segment that readers see, but for the last one, which another takes the place of.
type index struct {
	end     int64 // readers look no further
	records int
	size    int // the sum of Record.Size
	firstAt int64
	lastAt  int64
	blocks  []block
	held    int // what it takes in memory, in bytes
}

// block is a part of a segment, whole records, none missing between them.
type block struct {
	from, to    int64
	first, last uint64
	previous    uint64 // of the first
	everybody   bool   // it may have records for all
	recipients  []uint32
	bloom       *bloom // of more recipients than that; nil: of none
}

// bloom says of a hash that it is not there, or may be.
type bloom [bloomBytes]byte

// first is the offset of the oldest record; 0: there is none.
func (s *segment) first() uint64 {
	if len(s.blocks) == 0 {
		return 0
	}
	return s.blocks[0].first
}

// last is the offset of the newest record; what came before the segment if it has none.
func (s *segment) last() uint64 {
	if len(s.blocks) == 0 {
		return s.previous
	}
	return s.blocks[len(s.blocks)-1].last
}

// blockHeld is what a block takes in memory, without its recipients.
const blockHeld = 80

// held is what its recipients take.
func (b *block) held() int {
	if b.bloom != nil {
		return bloomBytes
	}
	return 4 * len(b.recipients)
}

// add puts a record of n bytes, at that place of the file, into the index.
func (x *index) add(e *topiclog.Placement, size int, at int64, n int) {
	if x.records == 0 {
		x.firstAt, x.lastAt = e.At, e.At
	}
	x.records++
	x.size += size
	x.lastAt = max(x.lastAt, e.At)
	if k := len(x.blocks); k == 0 || x.blocks[k-1].to-x.blocks[k-1].from >= blockBytes || x.blocks[k-1].to != at || x.blocks[k-1].last != e.Previous {
		x.blocks = append(x.blocks, block{from: at, first: e.Offset, previous: e.Previous})
		x.held += blockHeld
	}
	b := &x.blocks[len(x.blocks)-1]
	b.to, b.last = at+int64(n), e.Offset
	if !b.everybody {
		x.held -= b.held()
		b.addRecipient(&e.To)
		x.held += b.held()
	}
	x.end = b.to
}

// draft begins an index that goes on where x ends: it has x's figures, and of its blocks the last one, to be changed.
func (x *index) draft(blocks []block) index {
	d := *x
	d.blocks = blocks[:0]
	if k := len(x.blocks); k > 0 {
		b := x.blocks[k-1]
		if b.bloom != nil {
			own := *b.bloom
			b.bloom = &own
		}
		d.blocks = append(d.blocks, b)
	}
	return d
}

// adopt makes x what a draft of it has become.
func (x *index) adopt(d *index) {
	blocks := x.blocks
	if k := len(blocks); k > 0 {
		blocks = blocks[:k-1]
	}
	blocks = append(blocks, d.blocks...)
	*x = *d
	x.blocks = blocks
}

func (b *block) addRecipient(to *topiclog.Recipient) {
	h, one := recipient(to)
	switch {
	case !one:
		b.everybody, b.recipients, b.bloom = true, nil, nil
	case b.bloom != nil:
		b.bloom.add(h)
	case slices.Contains(b.recipients, h):
	case len(b.recipients) < blockRecipients:
		b.recipients = append(b.recipients, h)
	default:
		b.bloom = &bloom{}
		for _, h := range b.recipients {
			b.bloom.add(h)
		}
		b.bloom.add(h)
		b.recipients = nil
	}
}

// mayHave reports whether a block may have a record for one of those that are hashed.
func (b *block) mayHave(reader []uint32) bool {
	return b.everybody || slices.ContainsFunc(reader, func(h uint32) bool {
		return slices.Contains(b.recipients, h) || (b.bloom != nil && b.bloom.mayHave(h))
	})
}

// bits are the places of a hash in a filter.
func (*bloom) bits(h uint32) [4]uint16 {
	x := uint64(h) * 0x9E3779B97F4A7C15
	x ^= x >> 32
	return [4]uint16{uint16(x) % (8 * bloomBytes), uint16(x>>12) % (8 * bloomBytes), uint16(x>>24) % (8 * bloomBytes), uint16(x>>36) % (8 * bloomBytes)} //nolint:gosec // the bits
}

func (f *bloom) add(h uint32) {
	for _, at := range f.bits(h) {
		f[at/8] |= 1 << (at % 8)
	}
}

func (f *bloom) mayHave(h uint32) bool {
	for _, at := range f.bits(h) {
		if f[at/8]&(1<<(at%8)) == 0 {
			return false
		}
	}
	return true
}

// recipient is a hash of one of the fields that a reader has to match; one is false if the record is for all.
func recipient(to *topiclog.Recipient) (h uint32, one bool) {
	switch {
	case to.Socket != "":
		return hash('s', to.Socket), true
	case to.Principal != "":
		return hash('p', to.Principal), true
	case to.Room != "":
		return hash('r', to.Room), true
	}
	return 0, false
}

// hashes are what recipient returns for records that a reader may get.
func hashes(r *topiclog.Reader) []uint32 {
	all := []uint32{hash('s', r.Socket), hash('p', r.Principal), hash('r', r.Socket)}
	for _, room := range r.Rooms {
		all = append(all, hash('r', room))
	}
	return all
}

// hash is FNV-1a. Index files have it: it never changes without their version.
func hash(kind byte, s string) uint32 {
	const basis, prime = 2166136261, 16777619
	h := (basis ^ uint32(kind)) * prime
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * prime
	}
	return h
}

// after returns the first block with records behind an offset.
func (s *segment) after(offset uint64) (block, bool) {
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].last > offset })
	if i == len(s.blocks) {
		return block{}, false
	}
	return s.blocks[i], true
}

// span is a part of a file.
type span struct{ from, to int }

// found is what scan has found behind a header.
type found struct {
	sound   []span // whole records, ascending
	damaged bool   // bytes in between or at the end are not what was written
	torn    bool   // the last record was not completed
}

// scan indexes the records in b, the whole file, from there on, and calls add for each. What does not fit the order, or has
// an offset above limit, is not a record. b ends at a torn record; behind a damaged one the next sound one is looked for.
func scan(b []byte, from int, h *header, limit uint64, add func(e topiclog.Placement, at, n int)) found {
	var f found
	last := uint64(0)
	if h.Base > 0 {
		last = h.Base - 1
	}
	for at := from; at < len(b); {
		n, e, err := next(b[at:], h.Mark, last)
		switch {
		case err == nil && e.Offset > limit:
			f.torn = true // a write that failed, and was told so
			return f
		case err == nil:
			e.Namespace, e.Topic, e.Epoch = h.Namespace, h.Topic, h.Epoch
			add(e, at, n)
			f.keep(at, at+n)
			last = e.Offset
			at += n
			continue
		}
		behind := resync(b, at+1, h.Mark, last)
		if behind < 0 && errors.Is(err, errTorn) {
			f.torn = true
			return f
		}
		f.damaged = true
		if behind < 0 {
			return f
		}
		at = behind
	}
	return f
}

// next is the record that b begins with, if it comes behind an offset.
func next(b []byte, mark uint32, last uint64) (int, topiclog.Placement, error) {
	n, err := recordAt(b, mark)
	if err != nil {
		return 0, topiclog.Placement{}, err
	}
	e, err := decodeRecord(b[:n])
	if err == nil && (e.Offset <= last || e.Previous >= e.Offset) {
		err = errDamaged
	}
	return n, e, err
}

// resync is where the next sound record begins, -1 if there is none.
func resync(b []byte, from int, mark uint32, last uint64) int {
	sign := binary.LittleEndian.AppendUint32(nil, mark)
	for from < len(b) {
		i := bytes.Index(b[from:], sign)
		if i < 0 {
			return -1
		}
		from += i
		if _, _, err := next(b[from:], mark, last); err == nil {
			return from
		}
		from++
	}
	return -1
}

// keep adds a sound part.
func (f *found) keep(from, to int) {
	if n := len(f.sound); n > 0 && f.sound[n-1].to == from {
		f.sound[n-1].to = to
		return
	}
	f.sound = append(f.sound, span{from, to})
}
