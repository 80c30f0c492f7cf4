package nats

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/cluster"
)

func example() heading {
	return heading{
		piece: piece{id: "id", index: 1, of: 3, size: 4}, epoch: "e", offset: 10, count: 2, previous: 7, before: 5, behind: 99, keep: 3,
	}
}

func TestHeadingsComeBackAsTheyWere(t *testing.T) {
	h := example()
	got, err := parseHeading(h.String())
	if err != nil || got != h {
		t.Errorf("%+v comes back as %+v, %v", h, got, err)
	}
	if h.last() != 11 || h.total() != 7 || h.oldest() != 4 {
		t.Errorf("last %d, total %d, oldest %d", h.last(), h.total(), h.oldest())
	}
	if p, err := parsePiece(h.piece.String()); err != nil || p != h.piece {
		t.Errorf("%+v comes back as %+v, %v", h.piece, p, err)
	}
	entries, err := h.unpack(pack([][]byte{[]byte("a"), nil}))
	if err != nil || len(entries) != 2 || entries[1].Previous != entries[0].Offset || string(entries[0].Data) != "a" {
		t.Errorf("%+v, %v", entries, err)
	}
}

// FuzzParseHeading: nothing panics, what is a heading is read alike again, and a body has as many entries as it says.
func FuzzParseHeading(f *testing.F) {
	h := example()
	f.Add(h.String(), pack([][]byte{[]byte("a"), nil}))
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		h, err := parseHeading(text)
		if err != nil {
			return
		}
		if again, err := parseHeading(h.String()); err != nil || again != h {
			t.Fatalf("%q is %+v, then %+v, %v", text, h, again, err)
		}
		if entries, err := h.unpack(body); err == nil {
			var data [][]byte
			for _, e := range entries {
				data = append(data, e.Data)
			}
			if len(entries) != h.count || entries[len(entries)-1].Offset != h.last() || len(pack(data)) > len(body) {
				t.Fatalf("%+v: %+v of %q", h, entries, body)
			}
		}
	})
}

// FuzzToken: every name has a token of its own, which a subject can have.
func FuzzToken(f *testing.F) {
	f.Add("x")
	f.Add("a.b c*>\xff=")
	f.Fuzz(func(t *testing.T, name string) {
		s := token(name)
		if got, ok := untoken(s); name != "" && (!ok || got != name) {
			t.Fatalf("%q is written %q, and comes back as %q", name, s, got)
		}
		if bytes.ContainsAny([]byte(s), ".*> \t\r\n") || s == fence {
			t.Fatalf("%q is written %q", name, s)
		}
		if got, ok := untoken(name); ok && token(got) != name && len(token(got)) > len(name) {
			t.Fatalf("%q is read as %q, which is written %q", name, got, token(got))
		}
	})
}

// counted is a Holder that counts, and allows so much.
type counted struct{ now, most int }

func (c *counted) Hold(n int) { c.now += n }

func (c *counted) Claim(n int) bool {
	if c.now+n > c.most {
		return false
	}
	c.now += n
	return true
}

// Pieces of several wholes, mixed; what is not whole is not given on, and costs nothing in the end.
func TestPiecesBecomeWholes(t *testing.T) {
	c := &counted{most: 100}
	g := newGatherer(c)
	at := time.Unix(0, 0)
	add := func(id string, index int, data string) (string, bool, bool) {
		whole, done, lost := g.add("s", piece{id, index, 3, 6}, []byte(data), at)
		return string(whole), done, lost
	}
	for _, step := range []struct {
		id    string
		index int
		data  string
		want  string
		lost  bool
	}{
		{"a", 0, "ab", "", false}, {"b", 0, "xy", "", false}, {"a", 1, "cd", "", false}, {"b", 2, "no", "", true}, // one of b is missing
		{"a", 2, "ef", "abcdef", false}, {"c", 1, "late", "", false}, {"b", 1, "late", "", false},
		{"d", 0, "1234567", "", true}, // more than it says
		{"e", 0, "ab", "", false},
	} {
		whole, done, lost := add(step.id, step.index, step.data)
		if whole != step.want || done != (step.want != "") || lost != step.lost {
			t.Errorf("%+v: %q, %v, %v", step, whole, done, lost)
		}
	}
	at = at.Add(gatherTime + 1)
	if _, _, lost := add("f", 0, "ab"); !lost {
		t.Error("what has got no piece for long is kept")
	}
	c.most = 3
	if _, _, lost := add("f", 1, "cd"); !lost {
		t.Error("more is held than may be")
	}
	g.close()
	if c.now != 0 {
		t.Errorf("%d bytes are held when all is over", c.now)
	}
	if whole, done, _ := g.add("s", piece{"x", 0, 1, 2}, []byte("ab"), at); !done || string(whole) != "ab" {
		t.Errorf("a whole in one piece is %q", whole)
	}
}

func TestCutPiecesAreAllOfIt(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	for _, room := range []int64{minPayload, 1 << 20} {
		parts := cut(data, room)
		if !bytes.Equal(slices.Concat(parts...), data) || int64(len(parts[0]))+margin > room {
			t.Errorf("room %d: %d parts of %d", room, len(parts), len(parts[0]))
		}
	}
	if parts := cut(nil, minPayload); len(parts) != 1 {
		t.Errorf("nothing is in %d parts", len(parts))
	}
	if cluster.MaxData/(minPayload-margin) > maxPieces {
		t.Error("an entry may need more pieces than a batch has")
	}
}
