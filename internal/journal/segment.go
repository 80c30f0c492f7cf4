package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"sort"

	"github.com/streamweir/weir/internal/topiclog"
)

// blockBytes is about how many bytes of a segment are read together.
const blockBytes = 64 << 10

// blockRecipients is how many recipients a block knows apart. One with more is read by every reader.
const blockRecipients = 64

// segment is what is known of one file: an index of blocks, made when the file is written or recovered. It is the log's, and
// changes under Log.mu.
type segment struct {
	name     string
	base     uint64
	previous uint64 // the header's
	mark     uint32

	end     int64 // readers look no further
	records int
	size    int // the sum of Record.Size
	firstAt int64
	lastAt  int64
	blocks  []block
}

// block is a part of a segment, whole records, none missing between them.
type block struct {
	from, to    int64
	first, last uint64
	previous    uint64 // of the first
	everybody   bool   // it may have records for all
	recipients  []uint32
}

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

// add puts a record of n bytes, at that place of the file, into the index.
func (s *segment) add(e topiclog.Placement, at int64, n int) {
	if s.records == 0 {
		s.firstAt = e.At
	}
	s.records++
	s.size += e.Size()
	s.lastAt = max(s.lastAt, e.At)
	if k := len(s.blocks); k == 0 || s.blocks[k-1].to-s.blocks[k-1].from >= blockBytes || s.blocks[k-1].to != at || s.blocks[k-1].last != e.Previous {
		s.blocks = append(s.blocks, block{from: at, first: e.Offset, previous: e.Previous})
	}
	b := &s.blocks[len(s.blocks)-1]
	b.to, b.last = at+int64(n), e.Offset
	b.addRecipient(&e.To)
	s.end = b.to
}

func (b *block) addRecipient(to *topiclog.Recipient) {
	h, one := recipient(to)
	switch {
	case b.everybody:
	case !one || len(b.recipients) == blockRecipients && !slices.Contains(b.recipients, h):
		b.everybody, b.recipients = true, nil
	case !slices.Contains(b.recipients, h):
		b.recipients = append(b.recipients, h)
	}
}

// mayHave reports whether a block may have a record for one of those that are hashed.
func (b *block) mayHave(reader []uint32) bool {
	return b.everybody || slices.ContainsFunc(reader, func(h uint32) bool { return slices.Contains(b.recipients, h) })
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

func hash(kind byte, s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte{kind})
	_, _ = h.Write([]byte(s))
	return h.Sum32()
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
