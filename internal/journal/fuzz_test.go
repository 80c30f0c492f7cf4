package journal

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// Whatever bytes are read, a decoder returns; and what it accepts is encoded to the same bytes again.
func FuzzRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := recordAt(b, testMark)
		if err != nil {
			return
		}
		e, err := decodeRecord(b[:size])
		if err != nil {
			return
		}
		if again := appendRecord(nil, testMark, &waiting{Placement: e}); len(again) > size {
			t.Errorf("%d bytes became %d", size, len(again)) // a longer form of a number becomes shorter
		} else if len(again) == size && !bytes.Equal(again, b[:size]) {
			t.Errorf("%x became %x", b[:size], again)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, size, err := decodeHeader(b); err == nil {
			if again := h.encode(); !bytes.Equal(again, b[:size]) {
				t.Errorf("%x became %x", b[:size], again)
			}
		}
	})
}

func FuzzState(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, damaged, err := decodeState(b); err == nil && !damaged {
			if again := s.encode(); len(again) != len(b) {
				t.Errorf("%x became %x", b, again)
			}
		}
	})
}

// Whatever is in a file, a scan ends, keeps the order, and finds the same again in what it calls sound.
func FuzzSegment(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, size, err := decodeHeader(b)
		if err != nil {
			return
		}
		again := bytes.Clone(b[:size])
		var offsets []uint64
		found := scan(b, size, &h, math.MaxUint64, func(e topiclog.Placement, at, n int) {
			offsets = append(offsets, e.Offset)
			again = append(again, b[at:at+n]...)
		})
		if !slices.IsSorted(offsets) {
			t.Errorf("offsets %d", offsets)
		}
		n := 0
		second := scan(again, size, &h, math.MaxUint64, func(topiclog.Placement, int, int) { n++ })
		if n != len(offsets) || second.damaged || second.torn {
			t.Errorf("%d records, then %d, %+v after %+v", len(offsets), n, second, found)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h := header{Mark: testMark, Base: 1}
		if x, err := decodeIndex(b, &h); err == nil {
			if again := x.encode(h.Base, h.Previous, h.Mark); !bytes.Equal(again, b) {
				t.Errorf("%x became %x", b, again)
			}
		}
	})
}
