package cluster_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir/cluster"
)

// frugal is a Listener that is slow and allows so many bytes.
type frugal struct {
	until chan struct{}

	mu     sync.Mutex
	limit  int
	held   int
	most   int
	heard  int
	lost   int
	lapses int
}

func (f *frugal) Hold(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held += bytes
	f.most = max(f.most, f.held)
}

func (f *frugal) Claim(bytes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held+bytes > f.limit {
		return false
	}
	f.held += bytes
	f.most = max(f.most, f.held)
	return true
}

func (f *frugal) Message(string, []byte) {
	<-f.until
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard++
}

func (f *frugal) Lost(messages int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost += messages
}

func (f *frugal) Entries(string, []cluster.Entry) {}

func (f *frugal) Lapsed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lapses++
}

func (f *frugal) Changed(cluster.State) {}

// What waits for a listener is counted by it, and is no more than it allows: beyond that it is lost, and told; small
// messages count too.
func TestQueueHoldsWhatItsListenerAllows(t *testing.T) {
	for _, size := range []int{0, 10_000} {
		f := &frugal{until: make(chan struct{}), limit: 1 << 20}
		q := cluster.NewQueue(f)
		for range 9000 {
			q.Message("c", []byte(strings.Repeat("x", size)))
		}
		f.mu.Lock()
		if f.most > f.limit || f.most < f.limit/2 {
			t.Errorf("messages of %d bytes: it held %d, and may hold %d", size, f.most, f.limit)
		}
		f.mu.Unlock()
		close(f.until)
		q.Message("c", []byte(strings.Repeat("x", 2<<20))) // is more than there ever is room for: lost, and told
		q.Changed(cluster.State{})
		q.Close()
		if f.held != 0 {
			t.Errorf("messages of %d bytes: %d bytes are held in the end", size, f.held)
		}
	}
}

// A lapse is told though there is no room for anything.
func TestQueueTellsLapsesWithoutRoom(t *testing.T) {
	f := &frugal{until: make(chan struct{})}
	q := cluster.NewQueue(f)
	q.Message("c", nil)
	q.Lapsed()
	for {
		f.mu.Lock()
		lapses, heard := f.lapses, f.heard
		f.mu.Unlock()
		if heard != 0 {
			t.Fatal("what may not be held is heard")
		}
		if lapses == 2 {
			break
		}
		runtime.Gosched()
	}
	q.Close()
}

// What a queue does not hold is counted, message by message, also of those that came together; a burst that it has room for is not
// lost, however many messages it has.
func TestQueueCountsWhatIsLost(t *testing.T) {
	const burst = 12_000
	for _, together := range []int{1, 100} {
		f := &frugal{until: make(chan struct{}), limit: 16 << 20}
		q := cluster.NewQueue(f)
		put := func(messages, size int) {
			for range messages / together {
				list := make([][]byte, together)
				for i := range list {
					list[i] = make([]byte, size)
				}
				if together == 1 {
					q.Message("c", list[0])
				} else {
					q.Messages("c", list)
				}
			}
		}
		put(burst, 10)
		if f.lost != 0 {
			t.Errorf("by %d: of %d small messages %d are lost", together, burst, f.lost)
		}
		put(burst, 2000)
		close(f.until)
		q.Changed(cluster.State{})
		for all := 0; all < 2*burst; runtime.Gosched() {
			f.mu.Lock()
			all = f.heard + f.lost
			f.mu.Unlock()
		}
		if f.lost == 0 {
			t.Errorf("by %d: nothing is lost of more than there is room for", together)
		}
		q.Close()
		if f.heard+f.lost != 2*burst || f.held != 0 {
			t.Errorf("by %d: %d are heard and %d lost of %d; %d bytes are held", together, f.heard, f.lost, 2*burst, f.held)
		}
	}
}
