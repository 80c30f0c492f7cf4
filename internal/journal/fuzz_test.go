package journal

import (
	"bytes"
	"testing"
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
		if again := appendRecord(nil, testMark, e); len(again) > size {
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
