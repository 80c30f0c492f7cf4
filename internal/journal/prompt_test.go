package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// hang has every operation but those on the lock wait until the disk goes on.
func hang(fs *memfs.FS) (goOn func()) {
	hold := make(chan struct{})
	fs.Hook(func(o memfs.Op) error {
		if o.Name != "lock" {
			<-hold
		}
		return nil
	})
	return func() { fs.Hook(nil); close(hold) }
}

// What is lost stands in front of all that a read returns, so that it can be told where it is: with a tail and without,
// for a reader of all and for one who passes over what is for others.
func TestReadsEndInFrontOfWhatIsLost(t *testing.T) {
	for _, tail := range []int{-1, 1 << 20} {
		for _, prompt := range []bool{false, true} {
			o := options(memfs.New(), journal.Interval)
			o.TailBytes = tail
			l := mustBeginAs(t, o, prompt)
			want := ""
			for n := range 12 {
				r := numbered(n)
				r.To = topiclog.Recipient{}
				if n%4 == 3 {
					r.To.Socket = "other" // and then something is missed
				} else {
					want += fmt.Sprint(" ", n)
				}
				if _, err := l.put(r); err != nil {
					t.Fatal(err)
				}
				if n%4 != 3 {
					continue
				}
				if want += " lost"; !prompt {
					if _, err := l.put(passing(100, true)); err != nil {
						t.Fatal(err)
					}
				} else if _, err := (journal.Prompt{Log: l.log}).Pass(passing(100, true)); err != nil {
					t.Fatal(err)
				}
			}
			got := ""
			q := topiclog.Query{Limit: topiclog.Limit{Records: 100, Bytes: 1 << 20}, For: &topiclog.Reader{Socket: "me"}}
			for end := false; !end; {
				answer := make(chan topiclog.Batch, 1)
				l.log.Read(q, func(b topiclog.Batch) { answer <- b })
				b := <-answer
				if b.Err != nil || b.Next <= q.After {
					t.Fatalf("behind %d: %+v", q.After, b)
				}
				if b.Lost {
					got += " lost"
				}
				for _, e := range b.Placements {
					got += " " + e.ID
				}
				q.After, end = b.Next, b.End()
			}
			if got != want {
				t.Errorf("tail %d, at once %v: read%s, want%s", tail, prompt, got, want)
			}
			l.end()
		}
	}
}

// A topic that is new on a disk that hangs: its offsets cannot be reserved, so what is published has a place of another epoch, at
// once but for the first time. When the disk goes on the offsets are the log's own, and none of them was given before; so it is
// after a kill.
func TestOffsetsOfADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := options(fs, journal.Interval)
		l := mustBeginAs(t, o, true)
		goOn := hang(fs)
		for n := range 5 {
			began := time.Now()
			if _, _, err := l.appends(numbered(n)); !errors.Is(err, topiclog.ErrFull) {
				t.Errorf("without offsets: %v", err)
			}
			if n > 0 && time.Since(began) > 0 { // the bubble's time: it has waited
				t.Errorf("record %d has waited %v for a disk that is known to hang", n, time.Since(began))
			}
		}
		if s := l.log.Span(); s.Last != 5 || slices.ContainsFunc(l.delivered, func(e topiclog.Placement) bool { return e.Epoch == s.Epoch }) {
			t.Errorf("%+v, delivered %+v", s, l.delivered)
		}
		goOn()
		synctest.Wait()
		kept, err := l.publish(5, 5)
		if err != nil || l.highest() != 10 {
			t.Errorf("then %v, at %d", err, l.highest())
		}
		if got, lost := l.read(0); !slices.Equal(got, kept) || !lost {
			t.Errorf("read %q, lost %v", got, lost)
		}
		highest := l.highest()
		l.die(fs.Kill)
		again := mustBeginAs(t, o, true)
		if _, err := again.publish(20, 1); err != nil || again.highest() <= highest {
			t.Errorf("after a kill %v, at %d", err, again.highest())
		}
		again.end()
	})
}

// A write that fails has been delivered: its records are forgotten, and whoever reads past them is told; the writer's trouble is
// the disk's, and what was queued behind it fails or is kept as the disk has it.
func TestWhatCouldNotBeWrittenIsForgotten(t *testing.T) {
	fs := memfs.New()
	l := mustBeginAs(t, options(fs, journal.Never), true)
	all, err := l.publish(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	l.log.Settle()
	var fails atomic.Bool
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	fs.Hook(func(o memfs.Op) error {
		if o.Kind != memfs.Write || !fails.Load() {
			return nil
		}
		select {
		case held <- struct{}{}:
		default:
		}
		<-hold
		return memfs.ErrNoSpace
	})
	fails.Store(true)
	var later []*topiclog.Later
	for n := 3; n < 9; n++ {
		_, p, err := l.appends(numbered(n))
		if err != nil {
			t.Fatal(err)
		}
		if later = append(later, p); n == 3 {
			<-held // the others are not in one batch with it
		}
	}
	if got, lost := l.read(3); !slices.Equal(got, []string{"3", "4", "5", "6", "7", "8"}) || lost {
		t.Errorf("before it is written: read %q, lost %v", got, lost)
	}
	close(hold)
	for n, p := range later {
		if _, err := p.Wait(t.Context()); !errors.Is(err, memfs.ErrNoSpace) {
			t.Errorf("record %d: %v", 3+n, err)
		}
	}
	fails.Store(false)
	for after := range uint64(10) {
		if _, lost := l.read(after); lost != (after < 9) {
			t.Errorf("behind %d a reader is told %v", after, lost)
		}
	}
	more, err := l.publish(9, 2)
	if got, lost := l.read(0); err != nil || !slices.Equal(got, slices.Concat(all, more)) || !lost {
		t.Errorf("then %v, read %q, lost %v", err, got, lost)
	}
	if s := l.j.Stats(); s.Failed != 6 || s.QueuedBytes != 0 {
		t.Errorf("%+v", s)
	}
	l.end()
}

// What waits for a disk that hangs is bounded for all topics together, is counted, and is given back.
func TestWhatWaitsIsBoundedForAllTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		var held atomic.Int64
		o := options(fs, journal.Never)
		o.QueuesBytes, o.Held = 100*numbered(0).Size(), func(more int64) { held.Add(more) }
		j := openJournal(t, o)
		var logs []journal.Prompt
		for n := range 20 {
			log, err := j.Prompt("/feed", fmt.Sprint("t", n), topiclog.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			l := &life{t: t, log: log.Log, prompt: true}
			r := numbered(0)
			r.Topic = fmt.Sprint("t", n)
			if _, err := l.put(r); err != nil {
				t.Fatal(err)
			}
			log.Settle()
			logs = append(logs, log)
		}
		goOn := hang(fs)
		before := held.Load()
		placed, full := 0, 0
		for n := range 400 {
			r := numbered(n)
			r.Topic = fmt.Sprint("t", n%len(logs))
			switch _, _, err := logs[n%len(logs)].Append(r); {
			case err == nil:
				placed++
			case errors.Is(err, topiclog.ErrFull):
				full++
			default:
				t.Fatal(err)
			}
		}
		waits := j.Stats().QueuedBytes
		if placed < 50 || full == 0 || waits > int64(o.QueuesBytes) || held.Load()-before != waits {
			t.Errorf("%d have a place, %d have not; %d bytes wait, %d were counted", placed, full, waits, held.Load()-before)
		}
		goOn()
		synctest.Wait()
		if s := j.Stats(); s.QueuedBytes != 0 || s.Appended != uint64(len(logs)+placed) {
			t.Errorf("when it goes on %d bytes wait, %d were appended", s.QueuedBytes, s.Appended)
		}
	})
}
