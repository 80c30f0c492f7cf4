package sharedlog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/sharedlog"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/topiclog/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is one node's logs, and what stands between them and the broker.
type node struct {
	cluster.Member
	logs *sharedlog.Logs

	mu   sync.Mutex
	r    *rand.Rand // nil: no faults
	kept []held     // live entries that come later
}

type held struct {
	log     string
	entries []cluster.Entry
}

func join(t testing.TB, b cluster.Broker, r *rand.Rand) *node {
	t.Helper()
	n := &node{logs: sharedlog.NewLogs(), r: r}
	m, err := b.Join(t.Context(), "a", n)
	if err != nil {
		t.Fatal(err)
	}
	n.Member = m
	t.Cleanup(m.Close)
	return n
}

func (n *node) Message(string, []byte) {}
func (n *node) Lapsed()                { n.logs.Lapsed() }
func (n *node) Changed(cluster.State)  {}

// Entries loses, repeats and reorders what is live.
func (n *node) Entries(log string, entries []cluster.Entry) {
	n.mu.Lock()
	what := 9
	if n.r != nil {
		what = n.r.IntN(10)
	}
	now := []held{{log, entries}}
	switch what {
	case 0: // lost
		now = nil
	case 1: // repeated
		now = append(now, now[0])
	case 2: // comes after the next
		n.kept, now = append(n.kept, now...), nil
	default:
		now, n.kept = append(now, n.kept...), nil
	}
	n.mu.Unlock()
	for _, h := range now {
		n.logs.Entries(h.log, h.entries)
	}
}

// Append sometimes does not know whether it was done.
func (n *node) Append(ctx context.Context, log string, o cluster.AppendOptions, data ...[]byte) ([]cluster.Position, error) {
	n.mu.Lock()
	what := 9
	if n.r != nil {
		what = n.r.IntN(20)
	}
	n.mu.Unlock()
	if what == 0 {
		return nil, cluster.ErrUndecided
	}
	at, err := n.Member.Append(ctx, log, o, data...)
	if what == 1 && err == nil {
		return nil, cluster.ErrUndecided
	}
	return at, err
}

func open(t testing.TB, n *node, keep int, deliver topiclog.Deliver) *sharedlog.Log {
	t.Helper()
	log, err := n.logs.Open(t.Context(), n, sharedlog.Options{Namespace: "/feed", Topic: "ticks", Keep: keep, Deliver: deliver})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

func TestSharedLogIsALog(t *testing.T) {
	var b *cluster.Memory
	var n *node
	logtest.Run(t, logtest.Keeper{
		Bounds: logtest.ByRecords,
		Open: func(t testing.TB, l topiclog.Limits, deliver topiclog.Deliver) topiclog.Log {
			b = cluster.NewMemory()
			n = join(t, b, nil)
			return open(t, n, max(l.Records, 1), deliver)
		},
		Renumber: func(t testing.TB, was topiclog.Log, deliver topiclog.Deliver) topiclog.Log {
			was.Close()
			b.Forget()
			return open(t, n, 1000, deliver)
		},
	})
}

// seen is what one node has delivered.
type seen struct {
	t  *testing.T
	mu sync.Mutex

	news *sync.Cond
	ids  []string
	at   []topiclog.Position

	alone    bool // while it is not followed, records of others are missing between
	last     topiclog.Position
	breaches []topiclog.Position
}

func newSeen(t *testing.T) *seen {
	t.Helper()
	s := &seen{t: t}
	s.news = sync.NewCond(&s.mu)
	return s
}

func (s *seen) deliver(p topiclog.Placement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch := p.Epoch == s.last.Epoch || p.Breach() // another one begins with a breach
	if l := s.last; l.Offset > 0 && (p.Offset <= l.Offset || !epoch || (p.Previous != l.Offset && l.Epoch == p.Epoch && !p.Breach() && l.Previous != 0 && !s.alone)) {
		s.t.Errorf("%+v is delivered after %+v", p.Position, l)
	}
	if p.Breach() {
		s.last, s.breaches = p.Position, append(s.breaches, p.Position)
		return
	}
	if p.Volatile {
		return
	}
	s.last = p.Position
	s.ids, s.at = append(s.ids, p.ID), append(s.at, p.Position)
	s.news.Broadcast()
}

func (s *seen) until(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := time.AfterFunc(time.Minute, s.news.Broadcast)
	defer over.Stop()
	for begun := time.Now(); len(s.ids) < n; {
		if s.news.Wait(); len(s.ids) < n && time.Since(begun) > time.Minute {
			s.t.Fatalf("%d records of %d have come", len(s.ids), n)
		}
	}
}

func record(id string) *topiclog.Record {
	return &topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: id, Payload: []byte("{}")}
}

// put appends until it succeeds; a failure says that nobody knows.
func put(t *testing.T, log topiclog.Log, id string) error {
	t.Helper()
	for {
		_, later, err := log.Append(record(id))
		if errors.Is(err, topiclog.ErrFull) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = later.Wait(t.Context())
		return err
	}
}

// Three nodes, with live entries lost, repeated and reordered, appends whose outcome nobody knows, connections that break:
// all deliver the same in the same order, and what was answered once.
func TestAllNodesDeliverOneOrder(t *testing.T) {
	const each = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b := cluster.NewMemory()
	var logs []*sharedlog.Log
	var all []*seen
	for i := range 3 {
		s := newSeen(t)
		n := join(t, b, nil)
		logs, all = append(logs, open(t, n, 1<<20, s.deliver)), append(all, s)
		n.mu.Lock()
		n.r = rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // small
		n.mu.Unlock()
	}
	var mu sync.Mutex
	answered := make(map[string]bool)
	var publishers sync.WaitGroup
	for i, log := range logs {
		publishers.Go(func() {
			for k := range each {
				if k%100 == 50 {
					b.Cut()
				}
				id := fmt.Sprintf("%d %d", i, k)
				if put(t, log, id) == nil {
					mu.Lock()
					answered[id] = true
					mu.Unlock()
				}
			}
		})
	}
	publishers.Wait()
	b.Cut() // what was lost last is read
	probe := join(t, b, nil)
	total := 0
	for after := uint64(0); ; {
		p, err := probe.Read(t.Context(), sharedlog.Name("/feed", "ticks"), after, cluster.Limit{Entries: 1000, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Entries) == 0 {
			break
		}
		total += len(p.Entries)
		after = p.Entries[len(p.Entries)-1].Offset
	}
	if len(answered) < each {
		t.Errorf("%d were answered: the test shows little", len(answered))
	}
	marks := 0
	for i, s := range all {
		if i == 0 {
			s.until(total - 1) // a log begins with a mark
			marks = total - len(s.ids)
		}
		s.until(total - marks)
		if !slices.Equal(s.ids, all[0].ids) || !slices.Equal(s.at, all[0].at) {
			t.Errorf("node %d has another order: %d and %d records", i, len(s.ids), len(all[0].ids))
		}
	}
	times := make(map[string]int)
	for _, id := range all[0].ids {
		times[id]++
	}
	for id := range answered {
		if times[id] != 1 {
			t.Errorf("%q was answered and is there %d times", id, times[id])
		}
	}
}

// What has given way before it could be read is told.
func TestMissedRecordsAreTold(t *testing.T) {
	b := cluster.NewMemory()
	n, other := join(t, b, nil), join(t, b, nil)
	s := newSeen(t)
	var missed [][2]uint64
	log, err := n.logs.Open(t.Context(), n, sharedlog.Options{
		Namespace: "/feed", Topic: "ticks", Keep: 5, Deliver: s.deliver, Missed: func(after, before uint64) { missed = append(missed, [2]uint64{after, before}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.logs.Open(t.Context(), n, sharedlog.Options{Namespace: "/feed", Topic: "ticks", Keep: 1}); !errors.Is(err, sharedlog.ErrOpen) {
		t.Errorf("opened twice: %v", err)
	}
	theirs := open(t, other, 5, func(topiclog.Placement) {})
	n.Unfollow(sharedlog.Name("/feed", "ticks"))
	for i := range 20 {
		if err := put(t, theirs, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	b.Cut()
	s.until(5)
	if !slices.Equal(s.ids, []string{"15", "16", "17", "18", "19"}) || len(missed) != 1 || missed[0][1] != s.at[0].Offset-1 && missed[0][1] >= s.at[0].Offset {
		t.Errorf("delivered %q, missed %v before %d", s.ids, missed, s.at[0].Offset)
	}
	if len(s.breaches) != 1 || s.at[0].Previous != s.breaches[0].Offset || s.breaches[0].Epoch != s.at[0].Epoch {
		t.Errorf("breaches %+v, then %+v", s.breaches, s.at[0])
	}
}

// busyBroker has others append between the pages of a read.
type busyBroker struct {
	*node
	between func()
}

func (b *busyBroker) Read(ctx context.Context, log string, after uint64, most cluster.Limit) (cluster.Page, error) {
	p, err := b.Member.Read(ctx, log, after, most)
	if f := b.between; f != nil && len(p.Entries) > 0 {
		b.between = nil
		f()
	}
	return p, err
}

// What gives way while a read is under way is lost too, and told from where.
func TestTrimmingOvertakesAReader(t *testing.T) {
	const keep = 200
	m := cluster.NewMemory()
	b := &busyBroker{node: join(t, m, nil)}
	log, err := b.logs.Open(t.Context(), b, sharedlog.Options{Namespace: "/feed", Topic: "ticks", Keep: keep, Deliver: func(topiclog.Placement) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	other := open(t, join(t, m, nil), keep, func(topiclog.Placement) {})
	fill := func() {
		for n := range keep {
			if err := put(t, other, fmt.Sprint(n)); err != nil {
				t.Error(err)
			}
		}
	}
	fill()
	b.between = fill
	after := log.Span().First
	read := func() (b topiclog.Batch) {
		answer := make(chan topiclog.Batch, 1)
		log.Read(topiclog.Query{After: after, Limit: topiclog.Limit{Records: 2 * keep, Bytes: 1 << 20}}, func(b topiclog.Batch) { answer <- b })
		b = <-answer
		after = b.Next
		return b
	}
	if before := read(); before.Err != nil || before.Lost || len(before.Placements) == 0 {
		t.Errorf("in front of what is lost %d records, lost %v, %v", len(before.Placements), before.Lost, before.Err)
	}
	at := after
	if got := read(); got.Err != nil || !got.Lost || got.LostAfter != at || len(got.Placements) == 0 {
		t.Errorf("then %d records, lost %v behind %d, %v", len(got.Placements), got.Lost, got.LostAfter, got.Err)
	}
}

// While the broker is away records are refused, with a Later that has failed; volatile ones are placed.
func TestAwayBrokerRefuses(t *testing.T) {
	b := cluster.NewMemory()
	n := join(t, b, nil)
	log := open(t, n, 100, func(topiclog.Placement) {})
	if err := put(t, log, "1"); err != nil {
		t.Fatal(err)
	}
	before := log.Span()
	b.Stop()
	if err := put(t, log, "2"); !sharedlog.Away(err) || err.Error() != cluster.ErrAway.Error() { // strangers are told: nothing of the engine
		t.Errorf("%v", err)
	}
	v := record("v")
	v.Volatile = true
	_, later, err := log.Append(v)
	if err != nil {
		t.Fatal(err)
	}
	at, err := later.Wait(t.Context())
	if err != nil || at.Offset != before.Last+1 || at.Previous != before.Last || at.Epoch != before.Epoch {
		t.Errorf("a volatile one is at %+v, %v, after %+v", at, err, before)
	}
	answer := make(chan topiclog.Batch, 1)
	log.Read(topiclog.Query{}, func(b topiclog.Batch) { answer <- b })
	if got := <-answer; !sharedlog.Away(got.Err) {
		t.Errorf("reads %+v", got)
	}
	b.Start()
	if err := put(t, log, "3"); err != nil {
		t.Error(err)
	}
}

// An engine that comes back empty begins a new epoch, above all that was delivered.
func TestEngineThatForgetsBeginsANewEpoch(t *testing.T) {
	b := cluster.NewMemory()
	n := join(t, b, nil)
	s := newSeen(t)
	log := open(t, n, 100, s.deliver)
	for i := range 10 {
		if err := put(t, log, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	was := log.Span()
	b.Forget()
	if err := put(t, log, "new"); err != nil {
		t.Fatal(err)
	}
	s.until(11)
	now := log.Span()
	if now.Epoch == was.Epoch || now.Last <= was.Last || s.at[10].Epoch != now.Epoch {
		t.Errorf("after %+v it has %+v", was, now)
	}
	if len(s.breaches) != 1 || s.breaches[0].Epoch != now.Epoch || s.breaches[0].Offset <= was.Last || s.at[10].Previous != 0 {
		t.Errorf("breaches %+v, then %+v", s.breaches, s.at[10])
	}
	answer := make(chan topiclog.Batch, 1)
	log.Read(topiclog.Query{Epoch: was.Epoch, After: was.Last, Limit: topiclog.Limit{Records: 10, Bytes: 1000}}, func(b topiclog.Batch) { answer <- b })
	if got := <-answer; !errors.Is(got.Err, topiclog.ErrEpoch) {
		t.Errorf("a place of the old epoch: %+v", got)
	}
}

// Appends that nobody takes are bounded.
func TestAppendsAreBounded(t *testing.T) {
	b := cluster.NewMemory()
	stuck := &stuckBroker{node: join(t, b, nil), until: make(chan struct{})}
	log, err := stuck.logs.Open(t.Context(), stuck, sharedlog.Options{Namespace: "/feed", Topic: "ticks", Keep: 10, Deliver: func(topiclog.Placement) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	n := 0
	for ; n < 10_000; n++ {
		if _, _, err = log.Append(record(fmt.Sprint(n))); err != nil {
			break
		}
	}
	if !errors.Is(err, topiclog.ErrFull) {
		t.Errorf("%d records, %v", n, err)
	}
	close(stuck.until)
	deadline := time.Now().Add(time.Minute)
	for err := put(t, log, "last"); err != nil; err = put(t, log, "last") {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// account allows so many bytes.
type account struct {
	mu                sync.Mutex
	limit, held, most int
}

func (a *account) Hold(bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held += bytes
	a.most = max(a.most, a.held)
}

func (a *account) Claim(bytes int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held+bytes > a.limit {
		return false
	}
	a.held += bytes
	a.most = max(a.most, a.held)
	return true
}

// What waits for the broker, and what was heard and is not delivered, is counted and bounded by the node's account;
// nothing of it is held when the log is closed, and nothing was missed.
func TestWhatALogHoldsIsCounted(t *testing.T) {
	b := cluster.NewMemory()
	stuck := &stuckBroker{node: join(t, b, nil), until: make(chan struct{})}
	a := &account{limit: 200_000}
	held, s := make(chan struct{}), newSeen(t)
	log, err := stuck.logs.Open(t.Context(), stuck, sharedlog.Options{
		Namespace: "/feed", Topic: "ticks", Keep: 10_000, Holder: a, Deliver: func(p topiclog.Placement) { <-held; s.deliver(p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	mine := 0
	for ; err == nil; mine++ {
		_, _, err = log.Append(record(fmt.Sprint("mine", mine)))
	}
	mine--
	if !errors.Is(err, topiclog.ErrFull) || mine == 0 || mine >= 1000 || a.most > a.limit {
		t.Errorf("%d records wait and %d bytes are held, %v", mine, a.most, err)
	}
	theirs := open(t, join(t, b, nil), 10_000, func(topiclog.Placement) {})
	for i := range 800 {
		if err := put(t, theirs, fmt.Sprint("theirs", i)); err != nil {
			t.Fatal(err)
		}
	}
	close(stuck.until)
	close(held)
	s.until(mine + 800)
	log.Close()
	if a.held != 0 {
		t.Errorf("%d bytes are held by a log that is closed", a.held)
	}
}

// stuckBroker answers no append, once the log has begun, until it may.
type stuckBroker struct {
	*node
	begun bool
	until chan struct{}
}

func (b *stuckBroker) Append(ctx context.Context, log string, o cluster.AppendOptions, data ...[]byte) ([]cluster.Position, error) {
	if b.begun {
		<-b.until
	}
	b.begun = true
	return b.Member.Append(ctx, log, o, data...)
}

// forgetful is a node that hears nothing live, and whose engine loses everything, and is written to by another, right after it has
// answered an append.
type forgetful struct {
	*node
	forget func()
}

func (f *forgetful) Entries(string, []cluster.Entry) {}

func (f *forgetful) Append(ctx context.Context, log string, o cluster.AppendOptions, data ...[]byte) ([]cluster.Position, error) {
	at, err := f.Member.Append(ctx, log, o, data...)
	if f.forget != nil {
		f.forget()
	}
	return at, err
}

// Who appends what the engine answers, and loses before this node has delivered it, is told that it may not have been done: nobody
// waits for ever, and nothing is held for it.
func TestRecordThatTheEngineLosesIsTold(t *testing.T) {
	b := cluster.NewMemory()
	other := open(t, join(t, b, nil), 100, func(topiclog.Placement) {})
	f := &forgetful{node: &node{logs: sharedlog.NewLogs()}}
	m, err := b.Join(t.Context(), "b", f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	f.Member = m
	log, err := f.logs.Open(t.Context(), f, sharedlog.Options{Namespace: "/feed", Topic: "ticks", Keep: 100, Deliver: func(topiclog.Placement) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	if err := log.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := put(t, other, "1"); err != nil { // which is not heard, so that what is appended behind it waits
		t.Fatal(err)
	}
	f.forget = func() {
		f.forget = nil
		b.Forget()
		if err := put(t, other, "3"); err != nil {
			t.Error(err)
		}
	}
	if err := put(t, log, "2"); !errors.Is(err, cluster.ErrUndecided) {
		t.Errorf("a record that is lost: %v", err)
	}
	if err := put(t, log, "4"); err != nil {
		t.Errorf("the next one: %v", err)
	}
}
