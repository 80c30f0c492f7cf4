// Package logtest is the suite that every keeper of a topiclog.Log has to pass, and a stand-in for a broker.
package logtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// Keeper is what the suite tests.
type Keeper struct {
	// Open makes an empty log with those limits, which closes with the test at the latest.
	Open func(t testing.TB, l topiclog.Limits, deliver topiclog.Deliver) topiclog.Log

	// Bounds are those that the keeper has.
	Bounds Bounds

	// Renumber makes the numbering of the topic begin anew, as when a broker has lost its memory, and returns the log
	// after that.
	Renumber func(t testing.TB, was topiclog.Log, deliver topiclog.Deliver) topiclog.Log
}

// Bounds say by which of its limits a keeper lets records go.
type Bounds int

// The bounds.
const (
	ByAll     Bounds = iota // records, bytes and age
	ByRecords               // their number only
)

// Run runs the suite.
func Run(t *testing.T, k Keeper) {
	for _, row := range []struct {
		name string
		test func(*testing.T, Keeper)
	}{
		{"appends of many have one order", testOrder},
		{"a log that keeps nothing numbers", testNumbers},
		{"what is volatile leaves no gap", testVolatile},
		{"reads are bounded and go on", testBoundedReads},
		{"the oldest give way and readers are told", testRetention},
		{"a reader may be ahead", testAhead},
		{"a reader gets what is for it", testRecipients},
		{"offsets of another epoch are refused", testEpoch},
		{"reads equal a naive model", testModel},
		{"a log may be closed at any time", testClose},
	} {
		t.Run(row.name, func(t *testing.T) { row.test(t, k) })
	}
}

// roomy limits keep everything these tests append.
var roomy = topiclog.Limits{Records: 1 << 20}

// everything is a query's limit that bounds nothing.
var everything = topiclog.Limit{Records: 1 << 30, Bytes: 1 << 40}

// order owns a log as the topic does: its lock is held over appends, and it delivers what is placed at once. It checks
// each delivery against those before.
type order struct {
	t   *testing.T
	log topiclog.Log

	mu sync.Mutex // the lock of the order

	seen      sync.Mutex
	delivered []topiclog.Placement
	previous  uint64 // the offset of the last that was not volatile
	late      int
	placed    int
}

func open(t *testing.T, k Keeper, l topiclog.Limits) *order {
	o := &order{t: t}
	o.log = k.Open(t, l, o.deliver)
	t.Cleanup(o.log.Close)
	return o
}

// deliver is a topiclog.Deliver.
func (o *order) deliver(e topiclog.Placement) {
	o.seen.Lock()
	defer o.seen.Unlock()
	if n := len(o.delivered); n > 0 && o.delivered[n-1].Offset >= e.Offset {
		o.t.Errorf("offset %d delivered after %d", e.Offset, o.delivered[n-1].Offset)
	}
	if e.Previous != o.previous {
		o.t.Errorf("offset %d: the one before is %d, want %d", e.Offset, e.Previous, o.previous)
	}
	if e.Record == nil || !e.Volatile || e.Missed {
		o.previous = e.Offset
	}
	o.delivered = append(o.delivered, e)
}

// offer appends a record, and waits for its position, or until it is kept.
func (o *order) offer(r *topiclog.Record) (topiclog.Position, error) {
	at, later, err := o.append(r)
	if later == nil {
		return at, err
	}
	told, err := later.Wait(o.t.Context())
	switch {
	case err != nil:
	case at.Offset > 0 && at != told:
		o.t.Errorf("placed at %+v, and kept at %+v", at, told)
	case !o.has(told.Offset):
		o.t.Errorf("offset %d was told before it was delivered", told.Offset)
	}
	return told, err
}

// append appends a record, and delivers it if it has its place at once. Where a Prompt says that it has to wait for that, it is
// waited for; where it says that this is of no use, the record is passed, and the error says why.
func (o *order) append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	prompt, isPrompt := o.log.(topiclog.Prompt)
	for {
		at, later, err := o.appendOnce(r, prompt)
		if !isPrompt || err == nil || errors.Is(err, topiclog.ErrClosed) {
			return at, later, err
		}
		if errors.Is(err, topiclog.ErrFull) {
			if err = prompt.Room(o.t.Context(), r); err == nil {
				continue
			}
		}
		o.pass(r, prompt)
		return at, nil, err
	}
}

func (o *order) appendOnce(r *topiclog.Record, prompt topiclog.Prompt) (topiclog.Position, *topiclog.Later, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, later, err := o.log.Append(r)
	if err == nil && (later == nil || prompt != nil) {
		o.deliver(topiclog.Placement{Record: r, Position: at})
		o.placed++
	} else if err == nil {
		o.late++
	}
	if o.late > 0 && o.placed > 0 {
		o.t.Error("the keeper has placed some at once and others late")
	}
	return at, later, err
}

// pass gives a record a place that is not kept.
func (o *order) pass(r *topiclog.Record, prompt topiclog.Prompt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := *r
	v.Volatile, v.Missed = true, true
	if at, err := prompt.Pass(&v); err == nil {
		o.deliver(topiclog.Placement{Record: &v, Position: at})
	}
}

func (o *order) has(offset uint64) bool {
	o.seen.Lock()
	defer o.seen.Unlock()
	_, ok := slices.BinarySearchFunc(o.delivered, offset, func(e topiclog.Placement, want uint64) int { return cmp.Compare(e.Offset, want) })
	return ok
}

// put is offer of what has to succeed.
func (o *order) put(r *topiclog.Record) topiclog.Position {
	o.t.Helper()
	at, err := o.offer(r)
	if err != nil {
		o.t.Fatalf("append: %v", err)
	}
	return at
}

// read is one Read, which must answer once.
func (o *order) read(q topiclog.Query) topiclog.Batch {
	answers := make(chan topiclog.Batch, 2)
	o.log.Read(q, func(b topiclog.Batch) { answers <- b })
	b := <-answers
	select {
	case <-answers:
		o.t.Error("a read was answered twice")
	default:
	}
	if b.Next < q.After || (b.Err != nil && len(b.Placements) > 0) {
		o.t.Errorf("read %+v: %+v", q, b)
	}
	if b.Lost && (b.LostAfter < q.After || b.LostAfter > b.Next || (len(b.Placements) > 0 && b.LostAfter >= b.Placements[0].Offset)) {
		o.t.Errorf("read %+v: it is lost behind %d: %+v", q, b.LostAfter, b)
	}
	after := q.After
	for _, e := range b.Placements {
		if e.Offset <= after || e.Offset > b.Next || e.Offset < b.First {
			o.t.Errorf("read %+v: offset %d in %+v", q, e.Offset, b.Span)
		}
		after = e.Offset
	}
	return b
}

// readAll is entries' ids.
func (o *order) readAll(q topiclog.Query) (ids []string, lost bool) {
	o.t.Helper()
	entries, lost := o.entries(q)
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids, lost
}

// entries reads until the end.
func (o *order) entries(q topiclog.Query) (all []topiclog.Placement, lost bool) {
	o.t.Helper()
	for {
		b := o.read(q)
		if b.Err != nil {
			o.t.Fatalf("read %+v: %v", q, b.Err)
		}
		all = append(all, b.Placements...)
		lost = lost || b.Lost
		if b.End() {
			return all, lost
		}
		if b.Next <= q.After {
			o.t.Fatalf("a read after %d looks no further than %d of %d", q.After, b.Next, b.Last)
		}
		q.After = b.Next
	}
}

// record is one of a topic, with an id that is its number.
func record(n int) *topiclog.Record {
	return &topiclog.Record{
		Namespace: "/feed", Topic: "ticks", ID: fmt.Sprint(n), At: int64(n), Payload: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

// numbers are the ids of the records from one to another.
func numbers(from, to int) (ids []string) {
	for n := from; n <= to; n++ {
		ids = append(ids, fmt.Sprint(n))
	}
	return ids
}

func (o *order) want(what string, got, want []string) {
	o.t.Helper()
	if !slices.Equal(got, want) {
		o.t.Errorf("%s: read %q, want %q", what, got, want)
	}
}
