package workers_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/workers"
)

// inbox is a socket: a mailbox and what its owner hears.
type inbox struct {
	workers.Mailbox
	drained atomic.Int64
	hear    func()
	ready   func() bool // nil: always
}

func newInbox(w *workers.Pool, limits workers.MailboxLimits) *inbox {
	b := &inbox{}
	b.Init(w, &limits, b)
	return b
}

func (b *inbox) Drained(m *workers.Mailbox) {
	if m != &b.Mailbox {
		panic("drained somebody else's mailbox")
	}
	b.drained.Add(1)
	if b.hear != nil {
		b.hear()
	}
}

func (b *inbox) Ready(m *workers.Mailbox) bool {
	if m != &b.Mailbox {
		panic("asked about somebody else's mailbox")
	}
	return b.ready == nil || b.ready()
}

func (b *inbox) push(t testing.TB, bytes int, want workers.Verdict, f func()) {
	t.Helper()
	if got := b.Push(workers.JobFunc(func(context.Context) { f() }), bytes); got != want {
		t.Errorf("Push = %v, want %v", got, want)
	}
}

// gate is a job that waits: entered when it runs, held until release.
type gate struct{ entered, hold chan struct{} }

func newGate() gate { return gate{make(chan struct{}), make(chan struct{})} }

func (g gate) run()     { close(g.entered); <-g.hold }
func (g gate) release() { close(g.hold) }

func nothing() {}

func TestMailboxIsSmallWhileEmpty(t *testing.T) {
	if size := unsafe.Sizeof(workers.Mailbox{}); size > 96 {
		t.Errorf("a mailbox takes %d bytes, want at most 96", size)
	}
}

func TestMailboxRunsItsJobsInOrderAndOneAtATime(t *testing.T) {
	const boxes, jobs = 50, 200
	w := pool(t, workers.Options{Max: 8})
	var pushers sync.WaitGroup
	orders := make([][]int, boxes)
	for b := range boxes {
		box := newInbox(w, workers.MailboxLimits{Jobs: jobs + 1})
		pushers.Go(func() {
			var inside atomic.Int64
			for i := range jobs {
				box.push(t, 1, workers.Accepted, func() {
					if inside.Add(1) != 1 {
						t.Error("two jobs of one mailbox at once")
					}
					orders[b] = append(orders[b], i) // the race detector watches
					runtime.Gosched()
					inside.Add(-1)
				})
			}
		})
	}
	pushers.Wait()
	closePool(t, w)
	for b, order := range orders {
		if len(order) != jobs {
			t.Errorf("mailbox %d ran %d of %d jobs", b, len(order), jobs)
		}
		for i, got := range order {
			if got != i {
				t.Fatalf("mailbox %d ran job %d at place %d", b, got, i)
			}
		}
	}
}

func TestMailboxSaysFullAtItsCountAndDrainedBelowHalf(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	box := newInbox(w, workers.MailboxLimits{Jobs: 4})
	var gates [5]gate
	for i := range gates {
		gates[i] = newGate()
		want := workers.Accepted
		if i >= 3 { // the fifth is taken beyond the limit
			want = workers.AcceptedFull
		}
		box.push(t, 10, want, gates[i].run)
	}
	for i := range gates {
		<-gates[i].entered // job i runs, those before it are settled
		held, bytes := box.Held()
		if want := 5 - i; held != want || bytes != 10*want {
			t.Errorf("%d jobs and %d bytes held during job %d, want %d and %d", held, bytes, i, want, 10*want)
		}
		want := int64(0)
		if held < 2 {
			want = 1
		}
		if got := box.drained.Load(); got != want {
			t.Errorf("Drained %d times with %d held, want %d", got, held, want)
		}
		gates[i].release()
	}
	closePool(t, w)
	if jobs, bytes := box.Held(); jobs != 0 || bytes != 0 || box.drained.Load() != 1 {
		t.Errorf("%d jobs, %d bytes held, drained %d times in the end", jobs, bytes, box.drained.Load())
	}
}

func TestMailboxSaysFullAtItsBytes(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	box := newInbox(w, workers.MailboxLimits{Bytes: 100})
	first, second := newGate(), newGate()
	box.push(t, 50, workers.Accepted, first.run)
	box.push(t, 50, workers.AcceptedFull, second.run)
	first.release()
	<-second.entered
	if box.drained.Load() != 0 {
		t.Error("Drained with half of the bytes held")
	}
	second.release()
	closePool(t, w)
	if box.drained.Load() != 1 {
		t.Errorf("Drained %d times, want once", box.drained.Load())
	}
}

func TestMailboxOfOneJobDrainsAfterEach(t *testing.T) {
	w := pool(t, workers.Options{})
	box := newInbox(w, workers.MailboxLimits{Jobs: 1})
	ready := make(chan struct{}, 1)
	box.hear = func() { ready <- struct{}{} }
	for range 100 {
		box.push(t, 0, workers.AcceptedFull, nothing)
		<-ready
	}
}

func TestMailboxDefaults(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	release := block(t, w)
	defer release()
	count, size := newInbox(w, workers.MailboxLimits{}), newInbox(w, workers.MailboxLimits{})
	for range 127 {
		count.push(t, 0, workers.Accepted, nothing)
	}
	count.push(t, 0, workers.AcceptedFull, nothing)
	size.push(t, 1<<20-1, workers.Accepted, nothing)
	size.push(t, 1, workers.AcceptedFull, nothing)
	if s := w.Stats(); s.Queued != 130 {
		t.Errorf("%d jobs queued, want the 130 of both mailboxes", s.Queued)
	}
}

func TestBusyMailboxStepsBackBehindOthers(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	busy, other := newInbox(w, workers.MailboxLimits{}), newInbox(w, workers.MailboxLimits{})
	var order []string
	g := newGate()
	busy.push(t, 0, workers.Accepted, g.run)
	<-g.entered
	for range 100 {
		busy.push(t, 0, workers.Accepted, func() { order = append(order, "busy") })
	}
	other.push(t, 0, workers.Accepted, func() { order = append(order, "other") })
	g.release()
	closePool(t, w)
	if at := slices.Index(order, "other"); at < 0 || at > 16 {
		t.Errorf("the other socket's job ran after %d of the busy one's", at)
	}
}

// A socket whose jobs take long steps back after each.
func TestMailboxOfLongJobsStepsBackAfterEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := workers.New(workers.Options{Max: 1})
		if err != nil {
			t.Fatal(err)
		}
		busy, other := newInbox(w, workers.MailboxLimits{}), newInbox(w, workers.MailboxLimits{})
		var order []string
		for range 3 {
			busy.push(t, 0, workers.Accepted, func() { time.Sleep(time.Second); order = append(order, "busy") })
		}
		other.push(t, 0, workers.Accepted, func() { order = append(order, "other") })
		closePool(t, w)
		if got := strings.Join(order, " "); got != "busy other busy busy" {
			t.Errorf("ran %q, want the other socket's job after one", got)
		}
	})
}

func TestMailboxGoesOnAfterAPanicOrGoexit(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	box := newInbox(w, workers.MailboxLimits{})
	release := block(t, w)
	ran := 0
	for range 3 {
		box.push(t, 1, workers.Accepted, explode)
		box.push(t, 1, workers.Accepted, func() { ran++ })
		box.push(t, 1, workers.Accepted, runtime.Goexit)
		box.push(t, 1, workers.Accepted, func() { ran++ })
	}
	release()
	closePool(t, w)
	if jobs, bytes := box.Held(); ran != 6 || jobs != 0 || bytes != 0 {
		t.Errorf("%d of 6 jobs ran, %d jobs and %d bytes held", ran, jobs, bytes)
	}
	if s := w.Stats(); s != (workers.Stats{Panics: 3}) {
		t.Errorf("stats %+v, want 3 panics and nothing else", s)
	}
}

func TestCloseRunsTheMailboxesEmpty(t *testing.T) {
	w := pool(t, workers.Options{Max: 2})
	var ran atomic.Int64
	release := block(t, w)
	var boxes []*inbox
	for range 10 {
		box := newInbox(w, workers.MailboxLimits{})
		boxes = append(boxes, box)
		for range 10 {
			box.push(t, 1, workers.Accepted, func() { ran.Add(1) })
		}
	}
	go release()
	closePool(t, w)
	if ran.Load() != 100 {
		t.Errorf("%d of 100 jobs ran", ran.Load())
	}
	boxes[0].push(t, 1, workers.Refused, func() { t.Error("a refused job ran") })
	if jobs, bytes := boxes[0].Held(); jobs != 0 || bytes != 0 {
		t.Errorf("a refused job is held: %d jobs, %d bytes", jobs, bytes)
	}
}

func TestCloseThatGivesUpCountsTheMailboxes(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	running, queued := newInbox(w, workers.MailboxLimits{}), newInbox(w, workers.MailboxLimits{})
	lost := func() { t.Error("a dropped job ran") }
	g := newGate()
	running.push(t, 1, workers.Accepted, g.run)
	<-g.entered
	for range 3 {
		running.push(t, 1, workers.Accepted, lost)
		queued.push(t, 1, workers.Accepted, lost)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := w.Close(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 jobs running, 6 queued jobs dropped") {
		t.Errorf("Close = %v, want 1 running, 6 dropped", err)
	}
	running.push(t, 1, workers.Refused, lost)
	queued.push(t, 1, workers.Refused, lost)
	g.release()
	closePool(t, w)
	for _, box := range []*inbox{running, queued} {
		if jobs, bytes := box.Held(); jobs != 0 || bytes != 0 {
			t.Errorf("%d jobs and %d bytes are still held", jobs, bytes)
		}
	}
	if s := w.Stats(); s != (workers.Stats{}) {
		t.Errorf("stats after Close: %+v", s)
	}
}

// A reader that obeys AcceptedFull and Drained must come to its end, whatever the interleaving.
func TestObedientReaderNeverStalls(t *testing.T) {
	w := pool(t, workers.Options{Max: 3})
	var readers sync.WaitGroup
	for range 20 {
		box := newInbox(w, workers.MailboxLimits{Jobs: 3, Bytes: 1000})
		resume := make(chan struct{}, 1)
		box.hear = func() {
			select {
			case resume <- struct{}{}:
			default:
			}
		}
		readers.Go(func() {
			for range 300 {
				if box.Push(workers.JobFunc(func(context.Context) { runtime.Gosched() }), 1) == workers.AcceptedFull {
					<-resume
				}
				if held, _ := box.Held(); held > 4 {
					t.Errorf("%d jobs held, limit 3 and one more after a late Drained", held)
				}
			}
		})
	}
	readers.Wait()
}

func TestMailboxIsIdleOnceItsTurnIsOver(t *testing.T) {
	w := pool(t, workers.Options{Max: 1})
	box := newInbox(w, workers.MailboxLimits{Jobs: 1})
	if !box.Idle() {
		t.Error("a fresh mailbox is not idle")
	}
	job, drained := newGate(), newGate()
	box.hear = drained.run
	box.push(t, 0, workers.AcceptedFull, job.run)
	if box.Idle() {
		t.Error("idle with a job that waits or runs")
	}
	job.release()
	<-drained.entered
	if box.Idle() {
		t.Error("idle while Drained is being called")
	}
	drained.release()
	closePool(t, w)
	if !box.Idle() {
		t.Error("not idle after its last job")
	}
}

// successor owns one mailbox after the other, as a socket does.
type successor struct {
	box     atomic.Pointer[workers.Mailbox]
	strange atomic.Int64 // Drained of mailboxes let go of
}

func (s *successor) Drained(m *workers.Mailbox) {
	if s.box.Load() != m {
		s.strange.Add(1)
	}
}

func (*successor) Ready(*workers.Mailbox) bool { return true }

// Jobs write what they share without a lock: the race detector would see two at once.
func TestIdleMailboxCanBeLetGoOf(t *testing.T) {
	w := pool(t, workers.Options{Max: 3})
	limits := workers.MailboxLimits{Jobs: 1}
	var owners sync.WaitGroup
	for range 20 {
		owners.Go(func() {
			var s successor
			ran, begun := 0, 0
			for i := range 300 {
				box := s.box.Load()
				if box == nil || box.Idle() {
					box = new(workers.Mailbox)
					box.Init(w, &limits, &s)
					s.box.Store(box)
					begun++
				}
				box.Push(workers.JobFunc(func(context.Context) {
					if ran != i {
						t.Errorf("job %d ran at place %d", i, ran)
					}
					ran++
				}), 1)
				if i%3 == 0 {
					runtime.Gosched()
				}
			}
			for !s.box.Load().Idle() {
				runtime.Gosched()
			}
			if ran != 300 || s.strange.Load() != 0 {
				t.Errorf("%d of 300 jobs ran in %d mailboxes, %d times Drained of one that was gone", ran, begun, s.strange.Load())
			}
		})
	}
	owners.Wait()
}

func BenchmarkMailboxPush(b *testing.B) {
	w := pool(b, workers.Options{Max: 2})
	box := newInbox(w, workers.MailboxLimits{Jobs: 64})
	resume := make(chan struct{}, 1)
	box.hear = func() { resume <- struct{}{} }
	job := workers.JobFunc(func(context.Context) {})
	b.ReportAllocs()
	for b.Loop() {
		if box.Push(job, 100) == workers.AcceptedFull {
			<-resume
		}
	}
}

// The bytes of a job count from when it is accepted until it has run, however it ends, or is dropped.
func TestMailboxTellsWhatItHolds(t *testing.T) {
	var held atomic.Int64
	limits := workers.MailboxLimits{Hold: func(n int) { held.Add(int64(n)) }}
	w := pool(t, workers.Options{})
	var m workers.Mailbox
	m.Init(w, &limits, nil)
	gate := make(chan struct{})
	m.Push(workers.JobFunc(func(context.Context) { <-gate }), 1)
	m.Push(workers.JobFunc(func(context.Context) { panic("as planned") }), 10)
	m.Push(workers.JobFunc(func(context.Context) { runtime.Goexit() }), 100)
	if n := held.Load(); n != 111+3*workers.JobBytes {
		t.Errorf("%d bytes of three jobs are held", n)
	}
	close(gate)
	closePool(t, w)
	if n := held.Load(); n != 0 {
		t.Errorf("%d bytes are held when all have run", n)
	}
	if m.Push(workers.JobFunc(func(context.Context) {}), 1) != workers.Refused || held.Load() != 0 {
		t.Errorf("%d bytes of a refused job are held", held.Load())
	}

	w, err := workers.New(workers.Options{Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	var dropped workers.Mailbox
	dropped.Init(w, &limits, nil)
	stay := block(t, w)
	dropped.Push(workers.JobFunc(func(context.Context) {}), 1000)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.Close(ended); err == nil {
		t.Error("Close gave up and says nothing")
	}
	if n := held.Load(); n != 0 {
		t.Errorf("%d bytes of a dropped job are held", n)
	}
	stay()
	closePool(t, w)
}
