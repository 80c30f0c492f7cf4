package logtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/topiclog"
)

// Whoever appends after another has been told a position comes behind; each record is delivered once, as the pointer that
// was appended, and is read again at the place that was told.
func testOrder(t *testing.T, k Keeper) {
	const publishers, each = 8, 200
	o := open(t, k, roomy)
	places := make([]topiclog.Position, publishers*each)
	byNumber := make([]*topiclog.Record, len(places))
	records := make(map[*topiclog.Record]int)
	for n := range places {
		byNumber[n] = record(n)
		records[byNumber[n]] = n
	}
	var all sync.WaitGroup
	for p := range publishers {
		one := publisher{o, byNumber[p*each : (p+1)*each], places[p*each : (p+1)*each]}
		all.Go(one.run)
	}
	all.Wait()
	if len(o.delivered) != len(places) {
		t.Errorf("%d records delivered, want %d", len(o.delivered), len(places))
	}
	for _, e := range o.delivered {
		if n, mine := records[e.Record]; !mine || places[n] != e.Position {
			t.Errorf("delivered %+v at %+v", e.Record, e.Position)
		}
	}
	entries, _ := o.entries(topiclog.Query{Limit: everything})
	if len(entries) != len(places) {
		t.Fatalf("read %d entries of %d", len(entries), len(places))
	}
	for i, e := range entries {
		if d := o.delivered[i]; e.Position != d.Position || e.ID != d.ID || string(e.Payload) != string(d.Payload) {
			t.Fatalf("read %+v at %+v, delivered %+v at %+v", e.Record, e.Position, d.Record, d.Position)
		}
	}
}

// publisher appends records one after the other, and notes their places.
type publisher struct {
	*order
	records []*topiclog.Record
	places  []topiclog.Position
}

// run ends with the last record.
func (p publisher) run() {
	for n, r := range p.records {
		p.places[n] = p.put(r)
		if n > 0 && p.places[n].Offset <= p.places[n-1].Offset {
			p.t.Errorf("offset %d was told before %d was asked for", p.places[n-1].Offset, p.places[n].Offset)
		}
	}
}

func testNumbers(t *testing.T, k Keeper) {
	o := open(t, k, topiclog.Limits{})
	if o.log.Keeps() {
		t.Skip("the keeper always keeps")
	}
	for n := range 3 {
		var r *topiclog.Record
		if n == 1 {
			r = record(n)
		}
		if at := o.put(r); at.Offset != uint64(n+1) || at.Epoch != o.log.Span().Epoch { //nolint:gosec // small
			t.Errorf("record %d at %+v", n, at)
		}
	}
	if o.late > 0 {
		t.Error("a log that keeps nothing has placed late")
	}
	if s := o.log.Span(); s.First != 4 || s.Last != 3 || s.Epoch == "" {
		t.Errorf("it has %+v", s)
	}
	if b := o.read(topiclog.Query{Limit: everything}); len(b.Placements) != 0 || !b.Lost || !b.End() {
		t.Errorf("it reads %+v", b)
	}
	if b := o.read(topiclog.Query{After: 3, Limit: everything}); b.Lost || !b.End() {
		t.Errorf("at its end it reads %+v", b)
	}
}

func testVolatile(t *testing.T, k Keeper) {
	o := open(t, k, roomy)
	var want []string
	for n := range 20 {
		r := record(n)
		r.Volatile = n%3 != 1 // the first and the last are
		if o.put(r); !r.Volatile {
			want = append(want, r.ID)
		}
	}
	entries, lost := o.entries(topiclog.Query{Limit: everything})
	var got []string
	previous := uint64(0)
	for _, e := range entries {
		if e.Previous != previous {
			t.Errorf("before offset %d was %d, want %d", e.Offset, e.Previous, previous)
		}
		previous = e.Offset
		got = append(got, e.ID)
	}
	if o.want("with volatile ones between", got, want); lost {
		t.Error("what was volatile counts as lost")
	}
}

func testBoundedReads(t *testing.T, k Keeper) {
	o := open(t, k, roomy)
	const n = 100
	largest := 0
	for i := range n {
		r := record(i)
		r.Payload = make([]byte, i*i)
		largest = max(largest, r.Size())
		o.put(r)
	}
	for _, l := range []topiclog.Limit{{}, {Records: 1, Bytes: 1 << 30}, {Records: 7, Bytes: 1 << 30}, {Records: n, Bytes: 1}, {Records: n, Bytes: 2000}, everything} {
		got, lost := o.readAll(topiclog.Query{Limit: l})
		o.want(fmt.Sprintf("%+v", l), got, numbers(0, n-1))
		if lost {
			t.Errorf("%+v: something is lost", l)
		}
		b := o.read(topiclog.Query{After: 3, Limit: l})
		bytes := 0
		for _, e := range b.Placements {
			bytes += e.Size()
		}
		if len(b.Placements) > max(l.Records, 1) || (bytes > l.Bytes && len(b.Placements) != 1) {
			t.Errorf("%+v: %d entries, %d bytes", l, len(b.Placements), bytes)
		}
	}
}

// Retention by count, by bytes and by age, and a record that is too large for all: what has given way is gone from the
// beginning, and who has not read it is told.
func testRetention(t *testing.T, k Keeper) {
	size := record(1000).Size()
	// An hour apart, the newest now: a keeper may look at the clock too, at any time.
	published := func(n int) *topiclog.Record {
		r := record(n)
		r.At = time.Now().Add(time.Duration(n-1049) * time.Hour).UnixNano()
		return r
	}
	for _, row := range []struct {
		name   string
		limits topiclog.Limits
		want   int
	}{
		{"records", topiclog.Limits{Records: 10}, 10},
		{"bytes", topiclog.Limits{Records: 1 << 20, Bytes: 7*size + size/2}, 7},
		{"age", topiclog.Limits{Records: 1 << 20, Age: 4*time.Hour + 30*time.Minute}, 5},
	} {
		if k.Bounds == ByRecords && row.name != "records" {
			continue
		}
		o := open(t, k, row.limits)
		var at []topiclog.Position
		for n := 1000; n < 1050; n++ {
			at = append(at, o.put(published(n)))
		}
		last, first := at[len(at)-1], at[len(at)-row.want]
		got, lost := o.readAll(topiclog.Query{Limit: topiclog.Limit{Records: 3, Bytes: 1 << 30}})
		o.want(row.name, got, numbers(1050-row.want, 1049))
		s := o.log.Span()
		if !lost || s.Last != last.Offset || s.First != first.Offset {
			t.Errorf("%s: lost %v, %+v after %+v", row.name, lost, s, last)
		}
		for after, lost := range map[uint64]bool{first.Previous - 1: true, first.Previous: false, first.Offset: false, last.Offset: false} {
			if b := o.read(topiclog.Query{After: after, Limit: everything}); b.Lost != lost {
				t.Errorf("%s: a reader after %d of %+v: lost %v", row.name, after, s, b.Lost)
			}
		}
		if row.limits.Bytes == 0 {
			continue
		}
		r := record(0)
		r.Payload = make([]byte, 8*size)
		placed := o.put(r)
		if s := o.log.Span(); s.First != placed.Offset+1 || s.Last != placed.Offset {
			t.Errorf("after one that is too large: %+v", s)
		}
		if b := o.read(topiclog.Query{After: last.Offset, Limit: everything}); !b.Lost || len(b.Placements) != 0 {
			t.Errorf("it reads %+v", b)
		}
	}
}

func testAhead(t *testing.T, k Keeper) {
	o := open(t, k, roomy)
	if s := o.log.Span(); s.First != 1 || s.Last != 0 || s.Epoch == "" {
		t.Errorf("an empty log has %+v", s)
	}
	for _, after := range []uint64{0, 7} {
		if b := o.read(topiclog.Query{After: after, Limit: everything}); len(b.Placements) != 0 || b.Lost || !b.End() {
			t.Errorf("an empty log after %d reads %+v", after, b)
		}
	}
	ahead := o.put(record(1)).Offset + 6
	if b := o.read(topiclog.Query{After: ahead, Limit: everything}); len(b.Placements) != 0 || b.Lost || !b.End() || b.Next != ahead {
		t.Errorf("after %d it reads %+v", ahead, b)
	}
}

func testRecipients(t *testing.T, k Keeper) {
	o := open(t, k, roomy)
	to := []topiclog.Recipient{
		{}, {Socket: "s1"}, {Socket: "s2"}, {Principal: "p1"}, {Room: "r1"}, {Room: "s1"}, {Principal: "p1", Room: "r1"},
		{Principal: "p1", Socket: "s2"}, {Room: "r2"}, {},
	}
	var last topiclog.Position
	for n, r := range to {
		x := record(n)
		x.To = r
		last = o.put(x)
	}
	for _, row := range []struct {
		reader *topiclog.Reader
		want   []string
	}{
		{nil, numbers(0, len(to)-1)},
		{&topiclog.Reader{Socket: "s3"}, []string{"0", "9"}},
		{&topiclog.Reader{Socket: "s1", Principal: "p1", Rooms: []string{"r1"}}, []string{"0", "1", "3", "4", "5", "6", "9"}},
		{&topiclog.Reader{Socket: "s2", Principal: "p1"}, []string{"0", "2", "3", "7", "9"}},
		{&topiclog.Reader{Principal: "p2", Rooms: []string{"r0", "r2"}}, []string{"0", "8", "9"}},
	} {
		for _, l := range []topiclog.Limit{everything, {Records: 2, Bytes: 1 << 30}} {
			got, _ := o.readAll(topiclog.Query{Limit: l, For: row.reader})
			o.want(fmt.Sprintf("%+v", row.reader), got, row.want)
		}
	}
	// Ten thousand for others do not make a read long: it may look no further than it likes, and says how far.
	for n := range 10_000 {
		x := record(100 + n)
		x.To.Socket = "other"
		o.put(x)
	}
	x := record(1)
	x.To.Socket = "s9"
	o.put(x)
	got, _ := o.readAll(topiclog.Query{After: last.Offset, Limit: everything, For: &topiclog.Reader{Socket: "s9"}})
	o.want("behind ten thousand for others", got, []string{"1"})
}

func testEpoch(t *testing.T, k Keeper) {
	o := open(t, k, roomy)
	for n := range 5 {
		o.put(record(n))
	}
	before := o.log.Span()
	o.delivered, o.previous = nil, 0
	o.log = k.Renumber(t, o.log, o.deliver)
	t.Cleanup(o.log.Close)
	at := o.put(record(5))
	if after := o.log.Span(); after.Epoch == before.Epoch || at.Epoch != after.Epoch {
		t.Errorf("before %+v, after it %+v and a record at %+v", before, after, at)
	}
	b := o.read(topiclog.Query{Epoch: before.Epoch, After: 1, Limit: everything})
	if !errors.Is(b.Err, topiclog.ErrEpoch) || b.Epoch != at.Epoch || b.Last != at.Offset {
		t.Errorf("an offset of the old epoch: %+v", b)
	}
	if b := o.read(topiclog.Query{Epoch: at.Epoch, After: at.Offset - 1, Limit: everything}); b.Err != nil || len(b.Placements) != 1 {
		t.Errorf("an offset of the new epoch: %+v", b)
	}
}

// Random records, limits and queries against a slice.
func testModel(t *testing.T, k Keeper) {
	for range 20 {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
		limits := topiclog.Limits{Records: 1 + rnd.IntN(40)}
		o := open(t, k, limits)
		var kept []topiclog.Placement
		offsets := []uint64{0}
		for n := range 200 {
			r := record(n)
			r.Volatile = rnd.IntN(4) == 0
			r.To.Socket = []string{"", "a", "b"}[rnd.IntN(3)]
			at := o.put(r)
			offsets = append(offsets, at.Offset)
			if !r.Volatile {
				kept = append(kept, topiclog.Placement{Record: r, Position: at})
			}
			from := max(0, len(kept)-limits.Records)
			q := topiclog.Query{After: offsets[rnd.IntN(len(offsets))], Limit: topiclog.Limit{Records: 1 + rnd.IntN(60), Bytes: 1 << 30}}
			if rnd.IntN(2) == 0 {
				q.For = &topiclog.Reader{Socket: "a"}
			}
			var want []string
			for _, e := range kept[from:] {
				if e.Offset > q.After && (q.For == nil || q.For.Gets(&e.To)) {
					want = append(want, e.ID)
				}
			}
			lost := from > 0 && q.After < kept[from-1].Offset
			got, told := o.readAll(q)
			if o.want(fmt.Sprintf("seed %d, %d appended, %+v", seed, n+1, q), got, want); told != lost {
				t.Errorf("seed %d, %d appended, %+v: lost %v", seed, n+1, q, told)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// Close comes between appends and reads: each has one answer, and nothing is delivered afterwards.
func testClose(t *testing.T, k Keeper) {
	for range 5 {
		o := &closing{order: open(t, k, roomy), begun: make(chan struct{}, 8)}
		var all sync.WaitGroup
		for range cap(o.begun) / 2 {
			all.Go(o.runAppends)
			all.Go(o.runReads)
		}
		for range cap(o.begun) {
			<-o.begun
		}
		o.log.Close()
		o.log.Close()
		all.Wait()
		if o.asked.Load() != o.answered.Load() || int(o.placedNow.Load()) != len(o.delivered) {
			t.Errorf("%d reads, %d answers; %d appended, %d delivered", o.asked.Load(), o.answered.Load(), o.placedNow.Load(), len(o.delivered))
		}
	}
}

// closing is an order whose log is about to be closed.
type closing struct {
	*order
	begun                      chan struct{} // told by each when it is at it
	asked, answered, placedNow atomic.Int64
}

// over reports whether the n-th attempt has found the log closed.
func (c *closing) over(n int, err error) bool {
	if n == 10 {
		c.begun <- struct{}{}
	}
	if err != nil && !errors.Is(err, topiclog.ErrClosed) {
		c.t.Errorf("a closed log: %v", err)
	}
	return err != nil
}

// runAppends ends when the log is closed.
func (c *closing) runAppends() {
	for n := 0; ; n++ {
		_, err := c.offer(record(n))
		if c.over(n, err) {
			return
		}
		c.placedNow.Add(1)
	}
}

// runReads ends when the log is closed.
func (c *closing) runReads() {
	for n := 0; ; n++ {
		c.asked.Add(1)
		done := make(chan error, 1)
		c.log.Read(topiclog.Query{Limit: topiclog.Limit{Records: 5, Bytes: 1 << 20}}, func(b topiclog.Batch) {
			c.answered.Add(1)
			done <- b.Err
		})
		if c.over(n, <-done) {
			return
		}
	}
}
