package delivery_test

import (
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/cursor"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/topiclog"
)

// brokersLog is a log whose records and breaches the test delivers, and which answers no read.
type brokersLog struct {
	topiclog.Log
	deliver topiclog.Deliver
}

func (*brokersLog) Keeps() bool { return true }

func (*brokersLog) Span() topiclog.Span {
	return topiclog.Span{Epoch: "old", First: 1, Last: 50 << 12, Sparse: true}
}

func (*brokersLog) Read(topiclog.Query, func(topiclog.Batch)) {}

func (l *brokersLog) put(epoch string, offset uint64, payload string) {
	r := &topiclog.Record{Namespace: "/feed", Topic: "sure", ID: payload, Payload: []byte(payload)}
	l.deliver(topiclog.Placement{Record: r, Position: topiclog.Position{Epoch: epoch, Offset: offset << 12}})
}

func (l *brokersLog) breach(epoch string, offset uint64) {
	l.deliver(topiclog.Placement{Position: topiclog.Position{Epoch: epoch, Offset: offset << 12}})
}

// A breach is told in its place in the order: of records that are gone each lane books one; a new numbering ends the waiting of
// lanes that are behind, whose log is gone, and others go on.
func TestBreachesReachTheLanes(t *testing.T) {
	log := &brokersLog{Log: topiclog.NewMemory("old", topiclog.Limits{})}
	spec := topic("sure", certain())
	spec.Journal = true
	o := options(2, spec)
	o.Open = func(_ *delivery.Declared, _ string, deliver topiclog.Deliver) (topiclog.Log, error) {
		log.deliver = deliver
		return log, nil
	}
	r := newRig(t, o)
	if err := r.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	live, behind := r.connect(0), r.connect(1)
	live.join("sure")
	if at := behind.resume(behind.join(), "sure", cursor.At("sure", "old", 40<<12, nil)); !at.Resumed || !at.Behind {
		t.Fatalf("subscribed at %+v", at)
	}
	log.put("old", 60, "60")
	log.breach("old", 70)
	log.put("old", 80, "80")
	r.settle()
	if got := r.totals("sure"); got.Behind != 1 || got.Spilled != 2 || got.Dropped[base.ReasonRetention] != 2 {
		t.Errorf("in the old numbering: %d lanes are behind, %d messages wait, %d are gone", got.Behind, got.Spilled, got.Dropped[base.ReasonRetention])
	}
	log.breach("new", 90)
	log.put("new", 100, "100")
	for c, want := range map[*client][]string{live: {"60", "80", "100"}, behind: {"100"}} {
		if got := sequence(c, "sure"); !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
	}
	got := r.totals("sure")
	if got.Behind != 0 || got.Spilled != 0 || got.Dropped[base.ReasonRetention] != 2 || got.Dropped[base.ReasonSpillFailed] != 3 || r.Unbalanced.Load() != 0 {
		t.Errorf("in the new one %d lanes are behind, dropped %v, %d unbalanced", got.Behind, got.Dropped, r.Unbalanced.Load())
	}
	if at := r.connect(0); !at.resume(at.join(), "sure", cursor.At("sure", "new", 90<<12, nil)).Resumed {
		t.Error("a cursor of the new numbering is of no use")
	}
	if at := r.connect(0); at.resume(at.join(), "sure", cursor.At("sure", "old", 80<<12, nil)).Resumed {
		t.Error("one of the old numbering is")
	}
}
