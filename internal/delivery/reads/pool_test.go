package reads_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/topiclog"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// book notes in which order reads were answered, and how many were under way.
type book struct {
	mu    sync.Mutex
	order []int
	busy  atomic.Int32
	most  atomic.Int32
}

type reader struct {
	of   *book
	n    int
	hold chan struct{}
}

func (r *reader) Found(topiclog.Batch) {
	r.of.most.Store(max(r.of.most.Load(), r.of.busy.Add(1)))
	<-r.hold
	r.of.mu.Lock()
	r.of.order = append(r.of.order, r.n)
	r.of.mu.Unlock()
	r.of.busy.Add(-1)
}

// So many at a time, and with one at a time in the order in which they were asked for; no goroutine is left behind.
func TestReadsHaveTurns(t *testing.T) {
	for _, most := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			p, b, hold := reads.New(reads.Bounds{Goroutines: most, EachLog: 1, AllLogs: 1}, func(int) {}), new(book), make(chan struct{})
			log := topiclog.NewMemory("e", topiclog.Limits{Records: 10})
			const all = 5000
			for n := range all {
				p.Ask(reads.Read{Log: log, For: &reader{b, n, hold}, As: new(reads.Ticket)})
			}
			synctest.Wait()
			if got := int(b.busy.Load()); got != most || p.Waiting() != all {
				t.Errorf("%d under way, want %d; %d wait", got, most, p.Waiting())
			}
			close(hold)
			synctest.Wait()
			if len(b.order) != all || int(b.most.Load()) > most || p.Waiting() != 0 {
				t.Fatalf("%d answered, %d at a time", len(b.order), b.most.Load())
			}
			for i, n := range b.order {
				if most == 1 && i != n {
					t.Fatalf("read %d was answered as number %d", n, i)
				}
			}
			p.Close()
		})
	}
}

// Close waits for what is under way and forgets the rest; what is asked after it is not done.
func TestPoolCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, hold := reads.New(reads.Bounds{Goroutines: 1, EachLog: 1, AllLogs: 1}, func(int) {}), new(book), make(chan struct{})
		log := topiclog.NewMemory("e", topiclog.Limits{Records: 10})
		for n := range 3 {
			p.Ask(reads.Read{Log: log, For: &reader{b, n, hold}, As: new(reads.Ticket)})
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); p.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("it does not wait for the read under way")
		default:
		}
		close(hold)
		<-closed
		p.Ask(reads.Read{Log: log, For: &reader{b, 9, hold}, As: new(reads.Ticket)})
		p.Close()
		if len(b.order) != 1 {
			t.Errorf("%d answered", b.order)
		}
	})
}

// disk is a log whose reads are answered when somebody says so.
type disk struct {
	topiclog.Log

	mu  sync.Mutex
	ask []func()
}

func newDisk() *disk {
	m := topiclog.NewMemory("e", topiclog.Limits{Records: 10})
	_, _, _ = m.Append(&topiclog.Record{Payload: make([]byte, 100)})
	return &disk{Log: m}
}

func (d *disk) Read(q topiclog.Query, done func(topiclog.Batch)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ask = append(d.ask, func() { d.Log.Read(q, done) })
}

// asked is how many reads it has not answered.
func (d *disk) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ask)
}

// heal answers all.
func (d *disk) heal() {
	for d.asked() > 0 {
		d.mu.Lock()
		ask := d.ask
		d.ask = nil
		d.mu.Unlock()
		for _, answer := range ask {
			answer()
		}
		synctest.Wait()
	}
}

// A log that hangs keeps no more than its share from others: a log in memory is read at once however many hang, one on another
// disk while they have not all there is; and no goroutine waits.
func TestLogThatHangsKeepsToItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hung, each, all = 5, 3, 10
		held := new(atomic.Int64)
		p := reads.New(reads.Bounds{Goroutines: 1, EachLog: each, AllLogs: all}, func(n int) { held.Add(int64(n)) })
		open := make(chan struct{})
		close(open)
		ask := func(log topiclog.Log, n int) *book {
			b := new(book)
			for range n {
				p.Ask(reads.Read{Log: log, For: &reader{b, n, open}, As: new(reads.Ticket), Query: topiclog.Query{Limit: topiclog.Limit{Records: 9, Bytes: 1 << 20}}})
			}
			synctest.Wait()
			return b
		}
		disks, books := make([]*disk, hung), make([]*book, hung)
		sum := 0
		for i := range disks {
			disks[i] = newDisk()
			books[i] = ask(disks[i], 100)
			sum += disks[i].asked()
			if got := disks[i].asked(); got > each || sum > all || (i < all/each && got != each) {
				t.Errorf("disk %d is asked for %d, %d in all", i, got, sum)
			}
			if i == 0 {
				other := newDisk()
				b := ask(other, 1)
				other.heal()
				if len(b.order) != 1 {
					t.Error("a disk that answers is not read while another hangs")
				}
			}
		}
		m := topiclog.NewMemory("e", topiclog.Limits{Records: 10})
		if b := ask(m, 100); len(b.order) != 100 {
			t.Errorf("of a log in memory %d reads of 100 are answered while disks hang", len(b.order))
		}
		if p.Waiting() != hung*100 {
			t.Errorf("%d wait", p.Waiting())
		}
		for range 500 { // each answer lets another one have its turn
			for _, d := range disks {
				d.heal()
			}
		}
		for i, b := range books {
			if len(b.order) != 100 {
				t.Errorf("disk %d: %d of 100 answered", i, len(b.order))
			}
		}
		if p.Waiting() != 0 || held.Load() != 0 {
			t.Errorf("in the end %d wait, and %d bytes are counted", p.Waiting(), held.Load())
		}
		p.Close()
	})
}

// Who comes and goes while a log hangs leaves nothing behind, and is not told.
func TestWithdrawnReadsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := reads.New(reads.Bounds{Goroutines: 2, EachLog: 1, AllLogs: 1}, func(int) {})
		d, b, open := newDisk(), new(book), make(chan struct{})
		close(open)
		stays := func(n int) { p.Ask(reads.Read{Log: d, For: &reader{b, n, open}, As: new(reads.Ticket)}) }
		for n := range 10 {
			stays(n)
		}
		for range 10_000 {
			gone := new(reads.Ticket)
			p.Ask(reads.Read{Log: d, For: &reader{b, -1, open}, As: gone})
			p.Withdraw(gone)
		}
		synctest.Wait()
		if n := p.Waiting(); n > 200 {
			t.Errorf("%d reads wait, 10 of which are wanted", n)
		}
		stays(10)
		d.heal()
		if len(b.order) != 11 || p.Waiting() != 0 {
			t.Errorf("told: %v; %d wait", b.order, p.Waiting())
		}
		p.Close()
	})
}

// What was answered and waits for a goroutine is counted, so that a budget knows of it.
func TestAnswersThatWaitAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := new(atomic.Int64)
		p := reads.New(reads.Bounds{Goroutines: 1, EachLog: 4, AllLogs: 4}, func(n int) { held.Add(int64(n)) })
		d, b, hold := newDisk(), new(book), make(chan struct{})
		for n := range 4 {
			p.Ask(reads.Read{Log: d, For: &reader{b, n, hold}, As: new(reads.Ticket), Query: topiclog.Query{Limit: topiclog.Limit{Records: 1, Bytes: 1}}})
		}
		synctest.Wait()
		d.heal()
		if n := held.Load(); n < 300 || n > 3000 {
			t.Errorf("%d bytes are counted of three answers that wait", n)
		}
		close(hold)
		synctest.Wait()
		if held.Load() != 0 {
			t.Errorf("%d bytes are counted in the end", held.Load())
		}
		p.Close()
	})
}
