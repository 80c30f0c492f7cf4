package sharedlog

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

func examples() []*topiclog.Record {
	return []*topiclog.Record{
		{},
		{ID: "m-1", Key: "AAPL", At: 1 << 60, Expires: -5, Payload: []byte(`{"n":1}`)},
		{To: topiclog.Recipient{Socket: "s", Principal: "p", Room: "r"}, Payload: []byte{0, 255}, Binary: true},
	}
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	for i, want := range examples() {
		o := origin{"somebody", uint64(i) << 40}
		b := appendEntry([]byte("x"), o, want)[1:]
		from, got, err := parseEntry(b)
		if len(got.Payload) == 0 {
			got.Payload = want.Payload
		}
		if err != nil || from != o || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v comes back as %+v of %+v, %v", want, got, from, err)
		}
		other := bytes.Clone(b)
		other[0]++
		if _, _, err := parseEntry(other); !errors.Is(err, errForm) {
			t.Errorf("another version: %v", err)
		}
	}
	if from, r, err := parseEntry(appendEntry(nil, origin{log: "somebody"}, nil)); err != nil || r != nil || from.log != "somebody" {
		t.Errorf("a mark comes back as %+v of %+v, %v", r, from, err)
	}
}

// FuzzParseEntry: no bytes panic, and what is an entry is read alike again.
func FuzzParseEntry(f *testing.F) {
	for i, r := range examples() {
		f.Add(appendEntry(nil, origin{"somebody", uint64(i)}, r))
	}
	f.Add(appendEntry(nil, origin{log: "somebody"}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, r, err := parseEntry(b)
		if err != nil {
			return
		}
		again, s, err := parseEntry(appendEntry(nil, o, r))
		if err != nil || again != o || (r == nil) != (s == nil) || (r != nil && !reflect.DeepEqual(r, s) && len(r.Payload) > 0) {
			t.Fatalf("%q is %+v of %+v, then %+v of %+v, %v", b, r, o, s, again, err)
		}
	})
}
