package redis

import (
	"slices"
	"testing"

	"github.com/streamweir/weir/cluster"
)

func TestLiveEntriesAreWhatTheScriptSays(t *testing.T) {
	got, err := parseLive("e 5 4 2,0,1\nabc")
	want := []cluster.Entry{
		{Position: cluster.Position{Epoch: "e", Offset: 5, Previous: 4}, Data: []byte("ab")},
		{Position: cluster.Position{Epoch: "e", Offset: 6, Previous: 5}},
		{Position: cluster.Position{Epoch: "e", Offset: 7, Previous: 6}, Data: []byte("c")},
	}
	if err != nil || !slices.EqualFunc(got, want, func(a, b cluster.Entry) bool { return a.Position == b.Position && string(a.Data) == string(b.Data) }) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, garbage := range []string{
		"", "x", "e 1", "e 5 4", "e 5 4 ", "e 5 4 1\nab", "e 5 4 3\nab", "e 5 5 1\nx", "e x 4 1\nx", "e 5 x 1\nx", " 5 4 1\nx",
		"e 5 4 \n", "e 5 4 1,\nx", "e 5 4 -1\n", "e 5 4 99999999999999999999\nx", "e 99999999999999999 4 1\nx",
	} {
		if got, err := parseLive(garbage); err == nil {
			t.Errorf("%q is %+v", garbage, got)
		}
	}
}

func FuzzParseLive(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		entries, err := parseLive(s)
		if err != nil {
			return
		}
		var parts [][]byte
		for i, e := range entries {
			parts = append(parts, e.Data)
			if e.Previous >= e.Offset || (i > 0 && e.Previous != entries[i-1].Offset) {
				t.Errorf("%+v", entries)
			}
		}
		var again [][]byte
		if err := splitBody(bodyOf(parts), func(_ int, p []byte) { again = append(again, p) }); err != nil || !slices.EqualFunc(parts, again, slices.Equal) {
			t.Errorf("%q became %q, %v", parts, again, err)
		}
	})
}
