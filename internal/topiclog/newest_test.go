package topiclog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// holey is a log in memory whose offsets have holes: it gives out one of every few, as volatile records do.
func holey(t *testing.T, r *rand.Rand, l topiclog.Limits, records int) (*topiclog.Memory, []topiclog.Placement) {
	t.Helper()
	m := topiclog.NewMemory("e", l)
	var all []topiclog.Placement
	for n := range records {
		for range r.IntN(3) * r.IntN(40) {
			if _, _, err := m.Append(&topiclog.Record{Volatile: true}); err != nil {
				t.Fatal(err)
			}
		}
		x := &topiclog.Record{ID: fmt.Sprint(n), Payload: make([]byte, r.IntN(200))}
		if r.IntN(3) == 0 {
			x.To.Principal = []string{"alice", "bob"}[r.IntN(2)]
		}
		at, _, err := m.Append(x)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, topiclog.Placement{Record: x, Position: at})
	}
	return m, all
}

// Newest equals the naive look at everything there is, whatever holes, limits and recipients there are.
func TestNewestEqualsTheNaiveLook(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		keep := topiclog.Limits{Records: 1 + r.IntN(80)}
		m, all := holey(t, r, keep, r.IntN(150))
		q := topiclog.Query{Limit: topiclog.Limit{Records: r.IntN(40), Bytes: r.IntN(20000)}}
		if r.IntN(2) == 0 {
			q.For = &topiclog.Reader{Principal: "alice"}
		}
		if r.IntN(2) == 0 {
			q.After = r.Uint64N(m.Span().Last + 5)
		}
		var want []topiclog.Placement
		bytes := 0
		for i := len(all) - 1; i >= max(len(all)-keep.Records, 0); i-- {
			e := all[i]
			if e.Offset <= q.After || len(want) == max(q.Limit.Records, 1) {
				break
			}
			if q.For != nil && !q.For.Gets(&e.To) {
				continue
			}
			if bytes += e.Size(); bytes > q.Limit.Bytes && len(want) > 0 {
				break
			}
			want = append(want, e)
		}
		slices.Reverse(want)
		got := newest(m, q)
		if got.Err != nil || !slices.Equal(got.Placements, want) || got.Next != max(q.After, m.Span().Last) {
			t.Fatalf("%+v of %+v:\n got %v, %+v\nwant %v", q, m.Span(), ids(got.Placements), got, ids(want))
		}
	}
}

// newest is topiclog.Newest of a log that answers at once.
func newest(log topiclog.Log, q topiclog.Query) (b topiclog.Batch) {
	topiclog.Newest(log, q, func(found topiclog.Batch) { b = found })
	return b
}

func ids(list []topiclog.Placement) (out []string) {
	for _, e := range list {
		out = append(out, fmt.Sprintf("%d=%s", e.Offset, e.ID))
	}
	return out
}

func TestNewestOfAnotherEpochIsTold(t *testing.T) {
	m := topiclog.NewMemory("e", topiclog.Limits{Records: 3})
	if b := newest(m, topiclog.Query{Epoch: "f"}); !errors.Is(b.Err, topiclog.ErrEpoch) {
		t.Errorf("%+v", b)
	}
	m.Close()
	if b := newest(m, topiclog.Query{}); len(b.Placements) > 0 {
		t.Errorf("%+v", b)
	}
}

// far is a log whose records are far apart: offsets that a crash has taken lie between them.
type far struct {
	topiclog.Log
	at    []uint64
	reads int
}

func (f *far) Span() topiclog.Span {
	return topiclog.Span{Epoch: "e", First: f.at[0], Last: f.at[len(f.at)-1]}
}

func (f *far) Read(q topiclog.Query, done func(topiclog.Batch)) {
	f.reads++
	b := topiclog.Batch{Span: f.Span(), Next: f.Span().Last}
	for _, at := range f.at {
		if at > q.After {
			b.Placements = append(b.Placements, topiclog.Placement{Record: &topiclog.Record{}, Position: topiclog.Position{Offset: at}})
		}
		if len(b.Placements) == q.Limit.Records {
			b.Next = at
			break
		}
	}
	done(b)
}

func TestNewestLooksBehindHoles(t *testing.T) {
	f := &far{at: []uint64{1, 2, 3, 1 << 20, 1<<40 + 5, 1<<40 + 6}}
	got := newest(f, topiclog.Query{Limit: topiclog.Limit{Records: 4, Bytes: 1 << 20}})
	if len(got.Placements) != 4 || got.Placements[0].Offset != 3 || f.reads > 64 {
		t.Errorf("%d reads: %v", f.reads, ids(got.Placements))
	}
}

// late is a log whose reads are answered when somebody says so.
type late struct {
	topiclog.Log
	ask []func()
}

func (l *late) Read(q topiclog.Query, done func(topiclog.Batch)) {
	l.ask = append(l.ask, func() { l.Log.Read(q, done) })
}

// A log that answers late keeps nobody waiting: there is one read at a time, and the answer comes with the last.
func TestNewestWaitsForNoRead(t *testing.T) {
	m, all := holey(t, rand.New(rand.NewPCG(3, 4)), topiclog.Limits{Records: 100}, 100)
	l := &late{Log: m}
	q := topiclog.Query{Limit: topiclog.Limit{Records: 40, Bytes: 1 << 20}}
	var got []topiclog.Batch
	topiclog.Newest(l, q, func(b topiclog.Batch) { got = append(got, b) })
	steps := 0
	for ; len(l.ask) > 0; steps++ {
		if len(l.ask) != 1 || len(got) > 0 {
			t.Fatalf("%d reads are under way, %d answers", len(l.ask), len(got))
		}
		next := l.ask[0]
		l.ask = nil
		next()
	}
	if len(got) != 1 || steps < 2 || !slices.Equal(got[0].Placements, all[60:]) {
		t.Errorf("after %d reads %d answers: %+v", steps, len(got), got)
	}
}

// What the account has no room for is not kept, and whoever reads learns that something is missing.
func TestMemoryKeepsToItsAccount(t *testing.T) {
	held, most := 0, 0
	m := topiclog.NewMemory("e", topiclog.Limits{Records: 100})
	m.Account(func(n int) bool {
		if n > 0 && held+n > most {
			return false
		}
		held += n
		return true
	})
	put := func(bytes int) {
		t.Helper()
		if _, _, err := m.Append(&topiclog.Record{Payload: make([]byte, bytes)}); err != nil {
			t.Fatal(err)
		}
		if n, counts := m.Held(); counts != held {
			t.Fatalf("%d records of %d bytes, and the account has %d", n, counts, held)
		}
	}
	size := (&topiclog.Record{Payload: make([]byte, 100)}).Size()
	most = 3 * size
	for range 5 {
		put(100)
	}
	if n, _ := m.Held(); n != 3 || m.Span().First != 3 {
		t.Errorf("%d are kept of %+v", n, m.Span())
	}
	put(4 * size) // alone too large: nothing of the past is worth more than knowing that
	most = 100 * size
	put(100)
	if n, _ := m.Held(); n != 1 {
		t.Errorf("%d are kept", n)
	}
	m.Read(topiclog.Query{After: 5, Limit: topiclog.Limit{Records: 9, Bytes: 1 << 20}}, func(b topiclog.Batch) {
		if !b.Lost || len(b.Placements) != 1 || b.Placements[0].Offset != 7 {
			t.Errorf("%+v", b)
		}
	})
	m.Close()
	if n, _ := m.Held(); n != 0 || held != 0 {
		t.Errorf("closed: %d are kept, and the account has %d", n, held)
	}
}
