package place_test

import (
	"math/rand/v2"
	"testing"

	"github.com/streamweir/weir/internal/delivery/place"
	"github.com/streamweir/weir/internal/topiclog"
)

// world is a lane that is behind a log in which some records are for others and the oldest give way, as one would write it
// without arithmetic: a list of what is due.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	log     *topiclog.Memory
	live    uint64   // given by the stream last
	due     []uint64 // counted and not given, in order
	given   []uint64
	lost    uint64
	waiting uint64 // as a lane counts it
}

func (w *world) publish(p *place.Place) {
	r := &topiclog.Record{}
	if w.rand.IntN(3) == 0 {
		r.To.Socket = "other"
	}
	r.Volatile = w.rand.IntN(10) == 0
	at, _, _ := w.log.Append(r)
	if r.To.Socket != "" || r.Volatile {
		return
	}
	if w.live = at.Offset; p != nil {
		w.due = append(w.due, at.Offset)
		w.waiting++
	}
}

// read does what a shard does with a read, of which a part has no room.
func (w *world) read(p *place.Place, room int) (met bool) {
	limit, ok := p.Ask(place.Space{MaxMessages: 2 * room, MaxBytes: 1, Messages: room, Bytes: 1 << 20})
	if !ok {
		w.t.Fatal("a lane with room may not read")
	}
	if _, again := p.Ask(place.Space{Messages: 1, Bytes: 1}); again || !p.Reading() {
		w.t.Fatal("two reads are under way")
	}
	var b topiclog.Batch
	w.log.Read(topiclog.Query{After: p.At, Limit: limit, For: &topiclog.Reader{Socket: "me"}}, func(x topiclog.Batch) { b = x })
	for range w.rand.IntN(3) { // what is published while the read is on its way
		w.publish(p)
	}
	loss := p.Read(&b, w.waiting, w.live)
	if loss.Messages > 0 && !(loss.Explained && loss.Old) {
		w.t.Fatalf("a loss without a reason: %+v", loss)
	}
	w.waiting -= loss.Messages
	w.lost += loss.Messages
	for _, e := range b.Placements {
		if e.Offset > w.live {
			break
		}
		if w.rand.IntN(20) == 0 {
			p.Stuck(1)
			return false
		}
		p.Given(e.Offset)
		w.given = append(w.given, e.Offset)
		w.waiting--
	}
	return p.Done(b.Next, w.live)
}

// Whatever is published and gives way, a lane is given each of the records due to it once and in order, but those that
// the log had lost; all of them are counted, at the latest when it meets the stream, and never more.
func TestPlaceEqualsTheNaiveWorld(t *testing.T) {
	for range 2000 {
		seed := rand.Uint64()
		w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), log: topiclog.NewMemory("e", topiclog.Limits{Records: 5 + int(seed%40)})}
		for range w.rand.IntN(20) {
			w.publish(nil)
		}
		p := place.Begin(w.live, w.live)
		for range w.rand.IntN(60) {
			for range w.rand.IntN(6) {
				w.publish(&p)
			}
			if w.rand.IntN(2) == 0 {
				w.read(&p, 1+w.rand.IntN(8))
			}
			if p.At > w.live {
				t.Fatalf("seed %d: the place is at %d, ahead of the stream at %d", seed, p.At, w.live)
			}
		}
		for !w.read(&p, 8) {
		}
		gone := uint64(0)
		i := 0
		for _, o := range w.due {
			if i < len(w.given) && w.given[i] == o {
				i++
			} else {
				gone++
			}
		}
		if i != len(w.given) || gone != w.lost || w.waiting != 0 {
			t.Fatalf("seed %d: due %d, given %d, %d gone, %d counted as lost, %d still wait", seed, w.due, w.given, gone, w.lost, w.waiting)
		}
	}
}

// What was there before the lane is not counted: that some of it is gone is told as such.
func TestWhatIsOlderThanTheLaneIsNotCounted(t *testing.T) {
	p := place.Begin(3, 10)
	b := topiclog.Batch{Span: topiclog.Span{First: 8, Last: 12, Gave: 7}, Lost: true, Next: 12}
	for o := uint64(8); o <= 12; o++ {
		b.Placements = append(b.Placements, topiclog.Placement{Record: &topiclog.Record{}, Position: topiclog.Position{Offset: o}})
	}
	if l := p.Read(&b, 2, 12); l.Messages != 0 || l.Older != 4 || !l.Old {
		t.Errorf("%+v", l)
	}
	if p.Counted(10) || !p.Counted(11) {
		t.Error("what is counted does not begin behind 10")
	}
}

// Where offsets follow a clock their differences are no counts: of what is older than the lane one at least is gone, and of what
// it has counted nobody knows how many before all is read.
func TestSparseOffsetsAreNotCounted(t *testing.T) {
	at := func(ms uint64) uint64 { return ms << 12 }
	p := place.Begin(at(3), at(10))
	b := topiclog.Batch{Span: topiclog.Span{First: at(8), Last: at(20), Gave: at(8) - 1, Sparse: true}, Lost: true, Next: at(15)}
	for _, ms := range []uint64{8, 12, 15} {
		b.Placements = append(b.Placements, topiclog.Placement{Record: &topiclog.Record{}, Position: topiclog.Position{Offset: at(ms)}})
	}
	if l := p.Read(&b, 5, at(20)); l.Messages != 0 || l.Older != 1 || !l.Old || !l.Explained {
		t.Errorf("in the middle: %+v", l)
	}
	p.Given(at(12))
	p.Given(at(15))
	if p.Done(b.Next, at(20)) {
		t.Error("it is behind no more")
	}
	b = topiclog.Batch{Span: b.Span, Next: at(20)}
	b.Placements = []topiclog.Placement{{Record: &topiclog.Record{}, Position: topiclog.Position{Offset: at(20)}}}
	if l := p.Read(&b, 3, at(20)); l.Messages != 2 || l.Older != 0 || !l.Old || !l.Explained {
		t.Errorf("at the end: %+v", l)
	}
}

// A read that failed changes nothing, and one record for which there was no room waits for it.
func TestPlaceWaitsForRoom(t *testing.T) {
	p := place.Begin(0, 0)
	half := place.Space{MaxMessages: 10, MaxBytes: 100, Messages: 5, Bytes: 50}
	for _, r := range []place.Space{{10, 100, 4, 100}, {10, 100, 10, 49}, {1, 1, 0, 1}} {
		if _, ok := p.Ask(r); ok {
			t.Errorf("%+v: it reads", r)
		}
	}
	if l, ok := p.Ask(half); !ok || l != (topiclog.Limit{Records: 5, Bytes: 50}) {
		t.Errorf("%+v, %t", l, ok)
	}
	if p.Missed(); p.Reading() || p.At != 0 {
		t.Errorf("after a failure it is at %d", p.At)
	}
	p.Ask(half)
	p.Stuck(70)
	if _, ok := p.Ask(half); ok {
		t.Error("it reads again what has no room")
	}
	if _, ok := p.Ask(place.Space{MaxMessages: 10, MaxBytes: 100, Messages: 5, Bytes: 70}); !ok {
		t.Error("it does not read though there is room")
	}
}

// It is told once, though the first record that is left has no room and is read again.
func TestWhatIsGoneIsToldOnce(t *testing.T) {
	log := topiclog.NewMemory("e", topiclog.Limits{Records: 5})
	for range 12 {
		_, _, _ = log.Append(&topiclog.Record{})
	}
	p := place.Begin(3, 12)
	for n := range 2 {
		log.Read(topiclog.Query{After: p.At, Limit: topiclog.Limit{Records: 2, Bytes: 1 << 20}}, func(b topiclog.Batch) {
			if l := p.Read(&b, 0, 12); (l.Older == 4) != (n == 0) || p.At != 7 {
				t.Errorf("read %d: %+v, it is at %d", n, l, p.At)
			}
			p.Stuck(1)
		})
	}
}
