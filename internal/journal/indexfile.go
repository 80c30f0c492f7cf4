package journal

import "encoding/binary"

// What a block of an index file says of recipients.
const (
	forEverybody = iota
	forListed
	forFiltered
)

// indexHead is how many bytes an index file has before its blocks.
const indexHead = 8 + 4 + 4 + 7*8 + 4

// leastBlock is how many bytes a block has at least in an index file.
const leastBlock = 5*8 + 1

// encode returns the index of a segment as the content of its file.
func (x *index) encode(base, previous uint64, mark uint32) []byte {
	b := make([]byte, 0, indexHead+len(x.blocks)*leastBlock+x.held+4)
	b = append(b, begin(indexMagic)...)
	b = binary.LittleEndian.AppendUint32(b, mark)
	for _, n := range []uint64{base, previous, uint64(x.end), uint64(x.records), uint64(x.size), uint64(x.firstAt), uint64(x.lastAt)} { //nolint:gosec // the bits
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.blocks))) //nolint:gosec // a segment has not so many
	for i := range x.blocks {
		b = x.blocks[i].encode(b)
	}
	return finish(b)
}

func (b *block) encode(to []byte) []byte {
	for _, n := range []uint64{uint64(b.from), uint64(b.to), b.first, b.last, b.previous} { //nolint:gosec // not negative
		to = binary.LittleEndian.AppendUint64(to, n)
	}
	switch {
	case b.everybody:
		return append(to, forEverybody)
	case b.bloom != nil:
		return append(append(to, forFiltered), b.bloom[:]...)
	}
	to = append(to, forListed, byte(len(b.recipients))) //nolint:gosec // at most blockRecipients
	for _, h := range b.recipients {
		to = binary.LittleEndian.AppendUint32(to, h)
	}
	return to
}

// decodeIndex returns what an index file says of the segment with that header, or an error if it is not about it.
func decodeIndex(p []byte, h *header) (index, error) {
	f, size, err := open(p, indexMagic)
	switch {
	case err != nil:
		return index{}, err
	case size != len(p) || f.u32() != h.Mark || f.u64() != h.Base || f.u64() != h.Previous:
		return index{}, errDamaged
	}
	x := index{
		end: int64(f.u64()), records: int(f.u64()), size: int(f.u64()), firstAt: int64(f.u64()), lastAt: int64(f.u64()), //nolint:gosec // the bits
	}
	n := int(f.u32())
	if n > len(f.b)/leastBlock {
		return index{}, errDamaged
	}
	x.blocks = make([]block, n)
	at, last := int64(0), h.Previous
	for i := range x.blocks {
		b := &x.blocks[i]
		b.decode(&f)
		if f.bad || b.from < at || b.to <= b.from || b.to > x.end || b.previous < last || b.first <= b.previous || b.last < b.first {
			return index{}, errDamaged
		}
		at, last = b.to, b.last
		x.held += blockHeld + b.held()
	}
	if f.bad || len(f.b) > 0 || x.records < n || x.size < 0 || (n > 0 && at != x.end) {
		return index{}, errDamaged
	}
	return x, nil
}

func (b *block) decode(f *scanner) {
	b.from, b.to, b.first, b.last, b.previous = int64(f.u64()), int64(f.u64()), f.u64(), f.u64(), f.u64() //nolint:gosec // the bits
	switch f.take(1)[0] {
	case forEverybody:
		b.everybody = true
	case forFiltered:
		b.bloom = (*bloom)(f.take(bloomBytes))
	case forListed:
		b.recipients = make([]uint32, f.take(1)[0])
		for i := range b.recipients {
			b.recipients[i] = f.u32()
		}
	default:
		f.bad = true
	}
}
