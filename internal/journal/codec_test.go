package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

const testMark = 0x7a69_1f03

func full() topiclog.Placement {
	return topiclog.Placement{
		Record: &topiclog.Record{
			ID: "id-1", Key: "AAPL", At: 1_700_000_000_000_000_001, Expires: 1_700_000_000_000_000_777,
			To:      topiclog.Recipient{Socket: "s", Principal: "alice", Room: "r"},
			Payload: []byte{0, 1, 0xff, '{', '}'}, Binary: true,
		},
		Position: topiclog.Position{Offset: 1 << 40, Previous: 1<<40 - 3},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, e := range map[string]topiclog.Placement{
		"full":  full(),
		"empty": {Record: &topiclog.Record{Payload: []byte{}}, Position: topiclog.Position{Offset: 1}},
		"long":  {Record: &topiclog.Record{ID: string(make([]byte, 300)), Payload: make([]byte, 1<<20)}, Position: topiclog.Position{Offset: 2, Previous: 1}},
	} {
		b := appendRecord([]byte("in front"), testMark, &waiting{Placement: e})[8:]
		size, err := recordAt(append(b, "behind"...), testMark)
		if err != nil || size != len(b) || size != encodedSize(e.Record) {
			t.Fatalf("%s: %d of %d bytes (%d counted), %v", name, size, len(b), encodedSize(e.Record), err)
		}
		got, err := decodeRecord(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v, %v", name, got.Record, err)
		}
	}
}

// A sum that Append has made is the one that the writer would make, and none is made of what is large.
func TestAppendSumsAsTheWriterDoes(t *testing.T) {
	var m summer
	text := func(n int) string { return strings.Repeat("x", n) }
	for _, r := range []*topiclog.Record{
		full().Record,
		{Payload: []byte{}},
		{ID: "0123456789abcdef", Payload: make([]byte, 512)},
		{ID: text(summedTexts - 6), Payload: []byte("{}")}, // and a length of one byte for each of five, of which this one has two
		{ID: text(summedTexts - 5), Payload: []byte("{}")},
		{Key: text(40), To: topiclog.Recipient{Socket: text(20), Principal: text(20), Room: text(20)}, Payload: make([]byte, summedPayload)},
		{Payload: make([]byte, summedPayload+1)},
	} {
		s := m.sum(r)
		texts := encodedSize(r) - headSize - len(r.Payload)
		if want := texts <= summedTexts && len(r.Payload) <= summedPayload; s.known != want {
			t.Errorf("texts of %d B, a payload of %d B: summed %v", texts, len(r.Payload), s.known)
		}
		e := topiclog.Placement{Record: r, Position: topiclog.Position{Offset: 2, Previous: 1}}
		if with, without := appendRecord(nil, 1, &waiting{Placement: e, bodySum: s}), appendRecord(nil, 1, &waiting{Placement: e}); !bytes.Equal(with, without) {
			t.Errorf("texts of %d B, a payload of %d B: another record with the sum than without", texts, len(r.Payload))
		}
	}
	if s := m.sum(&topiclog.Record{Volatile: true}); s.known {
		t.Error("a record that is not written is summed")
	}
}

// No flipped bit of a record, whatever field it is in, is taken for a record; no cut one is taken for a damaged one.
func TestRecordKnowsItsDamage(t *testing.T) {
	e := full()
	b := appendRecord(nil, testMark, &waiting{Placement: e})
	for i := range 8 * len(b) {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if _, err := recordAt(c, testMark); !errors.Is(err, errDamaged) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
	for n := range b {
		if _, err := recordAt(b[:n], testMark); !errors.Is(err, errTorn) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := recordAt(make([]byte, 4096), testMark); !errors.Is(err, errTorn) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := recordAt(b, testMark+1); !errors.Is(err, errDamaged) {
		t.Errorf("a record of another segment: %v", err)
	}
}

func TestHeaderKnowsItsDamage(t *testing.T) {
	h := header{testMark, 7, 5, "epoch", "/feed", "ticks"}
	b := h.encode()
	if got, size, err := decodeHeader(append(bytes.Clone(b), 1, 2, 3)); err != nil || size != len(b) || got != h {
		t.Fatalf("%+v, %d, %v", got, size, err)
	}
	for i := range 8 * len(b) {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if got, _, err := decodeHeader(c); err == nil {
			t.Fatalf("bit %d: %+v", i, got)
		}
	}
	for n := range b {
		if _, _, err := decodeHeader(b[:n]); err == nil {
			t.Fatalf("%d bytes are a header", n)
		}
	}
	b[7] = version + 1
	binary.LittleEndian.PutUint32(b[len(b)-4:], sum(b[:len(b)-4]))
	if _, _, err := decodeHeader(b); !errors.Is(err, errVersion) {
		t.Errorf("another version: %v", err)
	}
}

// One flipped bit of a state leaves its content, and is told.
func TestStateOutlivesAFlippedBit(t *testing.T) {
	s := state{Reserved: 1 << 20, Previous: 7, Clean: true, Synced: true, Epoch: "e", Boot: "b", Namespace: "/feed", Topic: "ticks"}
	b := s.encode()
	if got, damaged, err := decodeState(b); err != nil || damaged || got != s {
		t.Fatalf("%+v, %v, %v", got, damaged, err)
	}
	for i := range 8 * len(b) {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if got, damaged, err := decodeState(c); err != nil || !damaged || got != s {
			t.Fatalf("bit %d: %+v, %v, %v", i, got, damaged, err)
		}
	}
	for n := range b {
		if got, damaged, err := decodeState(b[:n]); err == nil && (got != s || !damaged) {
			t.Fatalf("%d bytes: %+v", n, got)
		}
	}
}

// Names of files are of one alphabet and one length, whatever a topic is called.
func TestTopicNamesAreNoPaths(t *testing.T) {
	seen := map[string][2]string{}
	for _, name := range [][2]string{
		{"/", "a"}, {"/", "A"}, {"/a", ""}, {"", "/a"}, {"/feed", "../../etc/passwd"}, {"/feed", "CON"}, {"/feed", "nul.txt"}, {"/feed", ".."},
		{"/feed", string(make([]byte, 5000))}, {"/feed", "x/y\x00z"}, {"/feed", "state"}, {"/fe", "edx"}, {"/feed", "x"}, {"/feed", "ü"}, {"/feed", "u\u0308"},
	} {
		d := directory(name[0], name[1])
		if !isDirectory(d) || len(d) != 32 {
			t.Errorf("%q: %q", name, d)
		}
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have one directory", name, other)
		}
		seen[d] = name
	}
	for _, name := range []string{"lock", "state", "", "..", directory("a", "b") + "x", "ABCDEF0123456789ABCDEF0123456789"} {
		if isDirectory(name) {
			t.Errorf("%q is taken for a log", name)
		}
	}
	if base, ok := segmentBase(segmentName(77)); !ok || base != 77 || segmentName(9) >= segmentName(10) {
		t.Errorf("%q", segmentName(77))
	}
	for _, name := range []string{"state", "00000000000000000077.seg.damaged", "77.seg", "0000000000000000007x.seg"} {
		if _, ok := segmentBase(name); ok {
			t.Errorf("%q is taken for a segment", name)
		}
	}
}
