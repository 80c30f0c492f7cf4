package journal

import (
	"encoding/binary"
	"errors"
)

// version is that of the format. It changes with any change that this version's decoder would not understand.
const version = 1

var (
	segmentMagic = [8]byte{'W', 'E', 'I', 'R', 'S', 'E', 'G', version}
	stateMagic   = [8]byte{'W', 'E', 'I', 'R', 'L', 'O', 'G', version}
	indexMagic   = [8]byte{'W', 'E', 'I', 'R', 'I', 'D', 'X', version}
)

// errVersion says that a file is of a format that this program does not know: it is left as it is.
var errVersion = errors.New("the format is of another version")

// header is the beginning of a segment.
type header struct {
	Mark             uint32 // begins every record of this segment
	Base             uint64 // no record in it has a lower offset
	Previous         uint64 // the offset of the record before the first; see Position
	Epoch            string
	Namespace, Topic string
}

// maxText ends each text of a header or state.
const maxText = 1<<16 - 1

// maxHeader is more than a header or a state has.
const maxHeader = 4*maxText + 100

func appendTexts(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(s))) //nolint:gosec // Topic refuses longer ones
		b = append(b, s...)
	}
	return b
}

// begin is the head that both kinds of file have: magic, and the bytes of the rest, which is filled in by finish.
func begin(magic [8]byte) []byte { return append(magic[:], 0, 0, 0, 0) }

func finish(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)+4)) //nolint:gosec // below 256 KiB
	return binary.LittleEndian.AppendUint32(b, sum(b))
}

// encode returns the header as bytes.
func (h *header) encode() []byte {
	b := begin(segmentMagic)
	b = binary.LittleEndian.AppendUint32(b, h.Mark)
	b = binary.LittleEndian.AppendUint64(b, h.Base)
	b = binary.LittleEndian.AppendUint64(b, h.Previous)
	return finish(appendTexts(b, h.Epoch, h.Namespace, h.Topic))
}

// scanner takes fields from checked bytes.
type scanner struct {
	b   []byte
	bad bool
}

func (s *scanner) take(n int) []byte {
	if n > len(s.b) {
		s.bad = true
		return make([]byte, n)
	}
	p := s.b[:n]
	s.b = s.b[n:]
	return p
}

func (s *scanner) u32() uint32 { return binary.LittleEndian.Uint32(s.take(4)) }
func (s *scanner) u64() uint64 { return binary.LittleEndian.Uint64(s.take(8)) }
func (s *scanner) text() string {
	return string(s.take(int(binary.LittleEndian.Uint16(s.take(2)))))
}

// open checks magic, size and sum of what b begins with, and returns the fields and how many bytes it all has.
func open(b []byte, magic [8]byte) (fields scanner, size int, err error) {
	if len(b) < 16 {
		return scanner{}, 0, errTorn
	}
	if [7]byte(b) != [7]byte(magic[:7]) {
		return scanner{}, 0, errDamaged
	}
	n := binary.LittleEndian.Uint32(b[8:])
	switch {
	case n < 16 || (n > maxHeader && magic != indexMagic):
		return scanner{}, 0, errDamaged
	case uint64(n) > uint64(len(b)):
		return scanner{}, 0, errTorn
	}
	size = int(n)
	if sum(b[:size-4]) != binary.LittleEndian.Uint32(b[size-4:]) {
		return scanner{}, 0, errDamaged
	}
	if b[7] != magic[7] {
		return scanner{}, 0, errVersion
	}
	return scanner{b: b[12 : size-4]}, size, nil
}

// decodeHeader returns the header that b begins with, and how many bytes it has.
func decodeHeader(b []byte) (h header, size int, err error) {
	f, size, err := open(b, segmentMagic)
	if err != nil {
		return header{}, 0, err
	}
	h = header{f.u32(), f.u64(), f.u64(), f.text(), f.text(), f.text()}
	if f.bad || len(f.b) > 0 {
		return header{}, 0, errDamaged
	}
	return h, size, nil
}

// state is what a log knows besides its records. It is written when a block of offsets is reserved and when the log
// is closed.
type state struct {
	Reserved uint64 // no higher offset was given
	Previous uint64 // Clean: the offset of the newest record; else nothing
	Clean    bool   // the log was closed: Reserved was the last offset
	Synced   bool   // no record is delivered before it was synced
	Epoch    string
	Boot     string // the run of the machine

	Namespace, Topic string
}

// The flags of a state.
const (
	flagClean  = 1
	flagSynced = 2
)

// encode returns the state as bytes, twice: a flipped bit leaves one.
func (s *state) encode() []byte {
	b := begin(stateMagic)
	b = binary.LittleEndian.AppendUint64(b, s.Reserved)
	b = binary.LittleEndian.AppendUint64(b, s.Previous)
	flags := uint32(0)
	if s.Clean {
		flags |= flagClean
	}
	if s.Synced {
		flags |= flagSynced
	}
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = finish(appendTexts(b, s.Epoch, s.Boot, s.Namespace, s.Topic))
	return append(b, b...)
}

// decodeState returns the state in b, from either of its copies. damaged says that only one is sound.
func decodeState(b []byte) (s state, damaged bool, err error) {
	s, err = decodeCopy(b[:len(b)/2])
	second, err2 := decodeCopy(b[len(b)/2:])
	switch {
	case err != nil && err2 != nil:
		return state{}, true, err
	case err != nil:
		return second, true, nil
	case err2 != nil:
		return s, true, nil
	}
	return s, s != second, nil
}

func decodeCopy(b []byte) (state, error) {
	f, size, err := open(b, stateMagic)
	if err != nil {
		return state{}, err
	}
	s := state{Reserved: f.u64(), Previous: f.u64()}
	flags := f.u32()
	s.Clean, s.Synced = flags&flagClean != 0, flags&flagSynced != 0
	s.Epoch, s.Boot, s.Namespace, s.Topic = f.text(), f.text(), f.text(), f.text()
	if f.bad || len(f.b) > 0 || size != len(b) {
		return state{}, errDamaged
	}
	return s, nil
}
