package cursor_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/cursor"
)

// A cursor is the set of offsets that are done, whatever the order in which they were: random operations against a map.
func TestCursorEqualsANaiveSet(t *testing.T) {
	const highest = 100 // it needs no more than half as many spans
	for range 200 {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
		c, done := cursor.Cursor{Topic: "t", Epoch: "e"}, map[uint64]bool{}
		for range rnd.IntN(200) {
			first := rnd.Uint64N(highest) + 1
			switch rnd.IntN(8) {
			case 0:
				last := min(first+rnd.Uint64N(10), highest)
				c.DoneRun(first, last)
				for o := first; o <= last; o++ {
					done[o] = true
				}
			case 1:
				open := rnd.Uint64N(first) + 1
				other := cursor.At("t", "e", first, []uint64{open})
				c.Join(&other)
				for o := uint64(1); o <= first; o++ {
					done[o] = done[o] || o != open
				}
			default:
				c.Done(first)
				done[first] = true
			}
			top := uint64(0)
			for o := uint64(1); o <= highest+1; o++ {
				if c.Has(o) != done[o] {
					t.Fatalf("seed %d: %+v: offset %d is done: %v, want %v", seed, c, o, c.Has(o), done[o])
				}
				if done[o] {
					top = o
				}
			}
			if c.Top() != top || !c.Has(0) {
				t.Fatalf("seed %d: the highest of %+v is %d, want %d", seed, c, c.Top(), top)
			}
			wantWritten(t, &c)
		}
	}
}

// wantWritten checks that a cursor can be written down and read back.
func wantWritten(t *testing.T, c *cursor.Cursor) {
	t.Helper()
	b := c.Append([]byte("before"))[len("before"):]
	d, err := cursor.Decode(b)
	if err != nil || !d.Equal(c) {
		t.Fatalf("%+v is written as %x and read as %+v, %v", c, b, d, err)
	}
	if len(b) > cursor.MaxEncoded {
		t.Fatalf("%d bytes", len(b))
	}
}

// What is given out and open, in any order, and what is done of it.
func TestCursorOfWhatIsOpen(t *testing.T) {
	for _, row := range []struct {
		upto  uint64
		open  []uint64
		floor uint64
		done  []uint64
		not   []uint64
	}{
		{0, nil, 0, nil, []uint64{1}},
		{9, nil, 9, nil, []uint64{10}},
		{9, []uint64{7, 4}, 3, []uint64{5, 6, 8, 9}, []uint64{4, 7, 10}},
		{9, []uint64{1}, 0, []uint64{2, 9}, []uint64{1, 10}},
		{9, []uint64{9, 8, 8}, 7, nil, []uint64{8, 9}},
		{9, []uint64{12}, 9, nil, []uint64{10, 12}}, // it was not given out yet
		{3, []uint64{1, 2, 3}, 0, nil, []uint64{1, 2, 3}},
	} {
		c := cursor.At("t", "e", row.upto, row.open)
		if c.Floor != row.floor {
			t.Errorf("%+v: floor %d", row, c.Floor)
		}
		for _, o := range row.done {
			if !c.Has(o) {
				t.Errorf("%+v: %d is not done", row, o)
			}
		}
		for _, o := range row.not {
			if c.Has(o) {
				t.Errorf("%+v: %d is done", row, o)
			}
		}
	}
}

// With more holes than it remembers a cursor forgets the newest, and never says too much; it stays small.
func TestCursorIsBounded(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
	for _, apart := range []uint64{2, 1000, 1 << 40} {
		c, done := cursor.Cursor{Topic: "user:12345678", Epoch: "abcdefghij12", Floor: 1 << 30}, map[uint64]bool{}
		for range 5000 {
			o := c.Floor + 1 + rnd.Uint64N(1000)*apart
			c.Done(o)
			done[o] = true
			if b := c.Append(nil); len(b) > 60+4*cursor.MaxSpans && apart < 1000 || len(b) > cursor.MaxEncoded {
				t.Fatalf("seed %d: %d bytes", seed, len(b))
			}
		}
		for o := c.Floor; o <= c.Top(); o++ {
			if c.Has(o) && o > 1<<30 && !done[o] {
				t.Fatalf("seed %d: %d is not done", seed, o)
			}
			if apart > 2 && o > c.Floor+10_000 {
				break
			}
		}
		wantWritten(t, &c)
	}
	far := cursor.Cursor{}
	far.Done(math.MaxUint64)
	far.DoneRun(5, math.MaxUint64)
	far.DoneRun(0, 2)
	if far.Has(cursor.MaxOffset+1) || !far.Has(cursor.MaxOffset) || far.Has(4) || far.Floor != 2 {
		t.Errorf("%+v", far)
	}
	wantWritten(t, &far)
	far.DoneRun(1, math.MaxUint64)
	if far.Floor != cursor.MaxOffset || far.Top() != cursor.MaxOffset {
		t.Errorf("%+v", far)
	}
	wantWritten(t, &far)
}

func TestCopiesOfACursorShareNothing(t *testing.T) {
	c := cursor.At("t", "e", 9, []uint64{2, 5})
	d := c.Clone()
	d.Done(2)
	d.Done(12)
	if c.Has(2) || c.Has(12) || c.Equal(&d) || !d.Has(4) {
		t.Errorf("%+v and %+v", c, d)
	}
}

func TestWhatIsNoCursorIsRefused(t *testing.T) {
	good := cursor.At("ticks", "e1", 900, []uint64{100, 200, 300})
	b := good.Append(nil)
	for n := range b {
		if _, err := cursor.Decode(b[:n]); !errors.Is(err, cursor.ErrMalformed) {
			t.Errorf("%d bytes of %d: %v", n, len(b), err)
		}
	}
	long := cursor.Cursor{Topic: strings.Repeat("t", 1025)}
	for what, b := range map[string][]byte{
		"more behind it":     append(bytes.Clone(b), 0),
		"another version":    append([]byte{2}, b[1:]...),
		"a long name":        long.Append(nil),
		"a name beyond":      {1, 200, 1, 'x'},
		"a number too long":  {1, 0, 0, 0x80, 0},
		"a number of no end": {1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"spans that touch":   {1, 0, 0, 5, 1, 0, 1},
		"an empty span":      {1, 0, 0, 5, 1, 1, 0},
		"too many spans":     {1, 0, 0, 5, 65},
	} {
		if c, err := cursor.Decode(b); !errors.Is(err, cursor.ErrMalformed) {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
}

// Whatever is read is a cursor: it keeps its bounds, is written as it was read, and takes what comes.
func FuzzDecode(f *testing.F) {
	for _, c := range []cursor.Cursor{
		{}, {Topic: "ticks", Epoch: "e1", Floor: 7}, cursor.At("ticks", "e", 900, []uint64{100, 200, 201}), cursor.At("", "", cursor.MaxOffset, []uint64{3}),
	} {
		f.Add(c.Append(nil), uint64(5))
	}
	f.Fuzz(func(t *testing.T, b []byte, offset uint64) {
		c, err := cursor.Decode(b)
		if err != nil {
			return
		}
		if again := c.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %+v and written as %x", b, c, again)
		}
		d := c.Clone()
		d.Done(offset)
		if offset > 0 && offset <= cursor.MaxOffset && !d.Has(offset) && d.Top() > offset {
			t.Fatalf("%+v after %d is done: %+v", c, offset, d)
		}
		wantWritten(t, &d)
	})
}
