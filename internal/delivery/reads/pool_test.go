package reads_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/internal/delivery/reads"
	"github.com/streamweir/weir/internal/topiclog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func (r *reader) Wanted() bool { return true }

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
			p, b, hold := reads.New(most), new(book), make(chan struct{})
			log := topiclog.NewMemory("e", topiclog.Limits{Records: 10})
			const all = 5000
			for n := range all {
				p.Ask(reads.Read{Log: log, For: &reader{b, n, hold}})
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
		p, b, hold := reads.New(1), new(book), make(chan struct{})
		log := topiclog.NewMemory("e", topiclog.Limits{Records: 10})
		for n := range 3 {
			p.Ask(reads.Read{Log: log, For: &reader{b, n, hold}})
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
		p.Ask(reads.Read{Log: log, For: &reader{b, 9, hold}})
		p.Close()
		if len(b.order) != 1 {
			t.Errorf("%d answered", b.order)
		}
	})
}
