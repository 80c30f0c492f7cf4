package journal_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// naive is what a log should have: everything that was confirmed, of which the oldest may have given way.
type naive struct {
	entries []topiclog.Placement
	gone    int    // entries[:gone] must not be read any more
	highest uint64 // offset given to anybody
	time    int64
}

// machine is a log under random operations beside a naive one.
type machine struct {
	*life
	o      journal.Options
	at     bool // it places at once
	limits topiclog.Limits
	was    naive
}

// Random appends, reads, expiry, ends in order, kills and failures of the machine, against a list.
func TestJournalEqualsTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{
			at: rapid.Bool().Draw(rt, "at once"),
			o: journal.Options{
				FS: memfs.New(), Fsync: rapid.SampledFrom(policies).Draw(rt, "fsync"),
				SegmentBytes: rapid.Int64Range(1, 3000).Draw(rt, "segment"), CacheBytes: rapid.IntRange(1, 20_000).Draw(rt, "cache"),
				TailBytes: rapid.SampledFrom([]int{-1, 300, 3000, 1 << 20}).Draw(rt, "tail"),
				Interval:  1 << 50,
			},
			limits: topiclog.Limits{Records: rapid.SampledFrom([]int{0, 5, 20}).Draw(rt, "records")},
		}
		m.at = m.at && m.o.Fsync != journal.Always
		journal.WithIndexFrom(&m.o, rapid.SampledFrom([]int64{1, 1 << 40}).Draw(rt, "index"))
		journal.WithReserveBlock(&m.o, rapid.SampledFrom([]uint64{4, 1 << 20}).Draw(rt, "reserve"))
		journal.WithPortions(&m.o, rapid.SampledFrom([]int{1, 200, 1 << 20}).Draw(rt, "portion"))
		m.begin(t, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"read":    m.readSome,
			"restart": func(rt *rapid.T) { m.end(); m.begin(t, rt) },
			"kill":    func(rt *rapid.T) { m.die(m.fs.Kill); m.begin(t, rt) },
			"crash":   func(rt *rapid.T) { m.crash(t, rt) },
			"":        m.check,
		})
		m.end()
	})
}

func (m *machine) begin(t *testing.T, rt *rapid.T) {
	fs := m.o.FS.(*memfs.FS) //nolint:forcetypeassert // Check says so
	j, err := journal.Open(m.o)
	if err != nil {
		rt.Fatal(err)
	}
	m.life = &life{t: t, fs: fs, j: j, prompt: m.at}
	if m.at {
		var p journal.Prompt
		p, err = j.Prompt("/feed", "ticks", m.limits)
		m.log = p.Log
	} else {
		m.log, err = j.Topic("/feed", "ticks", m.limits, func(topiclog.Placement) {})
	}
	if err != nil {
		rt.Fatal(err)
	}
}

// append appends some together, so that some are written together.
func (m *machine) append(rt *rapid.T) {
	var records []*topiclog.Record
	var places []topiclog.Position
	var later []*topiclog.Later
	for range rapid.IntRange(1, 8).Draw(rt, "n") {
		m.was.time++
		r := numbered(int(m.was.time))
		r.Volatile = rapid.IntRange(0, 4).Draw(rt, "volatile") == 0
		r.To.Socket = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "to")
		at, p, err := m.appends(r)
		if err != nil {
			rt.Fatal(err)
		}
		records, places, later = append(records, r), append(places, at), append(later, p)
	}
	for i, p := range later {
		at, err := places[i], error(nil)
		if p != nil {
			at, err = p.Wait(m.t.Context())
		}
		if m.at && at != places[i] {
			rt.Fatalf("placed at %+v, kept at %+v", places[i], at)
		}
		if err != nil || at.Offset <= m.was.highest {
			rt.Fatalf("%+v after %d, %v", at, m.was.highest, err)
		}
		m.was.highest = at.Offset
		if !records[i].Volatile {
			m.was.entries = append(m.was.entries, topiclog.Placement{Record: records[i], Position: at})
		}
	}
	if n := len(m.was.entries); m.limits.Records > 0 && n > m.limits.Records {
		m.was.gone = max(m.was.gone, n-m.limits.Records)
	}
}

// crash is a failure of the machine: under always nothing is lost, else an end is, and who had read it is told.
func (m *machine) crash(t *testing.T, rt *rapid.T) {
	left := torn[rapid.SampledFrom([]string{"nothing", "all", "half"}).Draw(rt, "left")]
	m.die(func() { m.fs.Crash(left) })
	m.begin(t, rt)
	got, lost := m.all(rt, topiclog.Query{})
	from, kept := 0, 0 // what had given way may be there again, if its end was not synced and so much else is gone
	if len(got) > 0 {
		at := func(offset uint64) int {
			return slices.IndexFunc(m.was.entries, func(e topiclog.Placement) bool { return e.Offset == offset })
		}
		from, kept = at(got[0].Offset), 1+at(got[len(got)-1].Offset)
		if kept-from != len(got) {
			rt.Fatalf("from %d to %d %d are left", from, kept, len(got))
		}
	}
	if kept < len(m.was.entries) {
		if m.o.Fsync == journal.Always || !lost {
			rt.Fatalf("%d of %d are left, lost %v", kept, len(m.was.entries), lost)
		}
		if _, told := m.all(rt, topiclog.Query{After: m.was.highest}); !told {
			rt.Fatalf("%d of %d are left; who has read %d is not told", kept, len(m.was.entries), m.was.highest)
		}
	}
	m.was.entries, m.was.gone = m.was.entries[:kept], from
}

// all reads until the end.
func (m *machine) all(rt *rapid.T, q topiclog.Query) (entries []topiclog.Placement, lost bool) {
	q.Limit = topiclog.Limit{Records: rapid.IntRange(1, 30).Draw(rt, "limit"), Bytes: 1 << 20}
	for {
		answer := make(chan topiclog.Batch, 1)
		m.log.Read(q, func(b topiclog.Batch) { answer <- b })
		b := <-answer
		if b.Err != nil || b.Next < q.After {
			rt.Fatalf("%+v: %+v", q, b)
		}
		entries = append(entries, b.Placements...)
		lost = lost || b.Lost
		if q.After = b.Next; b.End() {
			return entries, lost
		}
	}
}

func (m *machine) readSome(rt *rapid.T) {
	q := topiclog.Query{}
	if n := len(m.was.entries); n > 0 {
		q.After = m.was.entries[rapid.IntRange(0, n-1).Draw(rt, "after")].Offset
	}
	if rapid.Bool().Draw(rt, "directed") {
		q.For = &topiclog.Reader{Socket: "a", Principal: "p"}
	}
	got, lost := m.all(rt, q)
	var want []topiclog.Placement
	for _, e := range m.was.entries {
		if e.Offset > q.After && (q.For == nil || q.For.Gets(&e.To)) {
			want = append(want, e)
		}
	}
	// A whole segment gives way: at least what is within a 64th of the limits is read, and nothing beyond them.
	if len(got) > len(want) {
		rt.Fatalf("read %d of %d", len(got), len(want))
	}
	for i, e := range got {
		w := want[len(want)-len(got)+i]
		if e.Offset != w.Offset || fmt.Sprint(*e.Record) != fmt.Sprint(*w.Record) {
			rt.Fatalf("read %+v, want %+v", e, w)
		}
	}
	missing := false
	for _, e := range m.was.entries[:m.was.gone] {
		missing = missing || e.Offset > q.After
	}
	if missing && !lost {
		rt.Fatalf("after %d something has given way, and nobody is told", q.After)
	}
}

// check holds after every operation.
func (m *machine) check(rt *rapid.T) {
	m.log.Settle()
	s := m.log.Span()
	entries := m.was.entries[m.was.gone:]
	if len(entries) > 0 && s.First != entries[0].Offset {
		rt.Fatalf("%+v, the oldest kept is %d", s, entries[0].Offset)
	}
	if s.Last < m.was.highest {
		rt.Fatalf("%+v after %d", s, m.was.highest)
	}
	if st := m.j.Stats(); st.Damaged > 0 || st.Used != onDisk(m.t, m.fs) {
		rt.Fatalf("%+v, %d bytes on the disk", st, onDisk(m.t, m.fs))
	}
}
