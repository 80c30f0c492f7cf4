package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// The lane of streamfence.md W1.
var narrow = weir.TopicOptions{Name: "prices", Overflow: weir.DropOldest, Max: weir.Limits{Messages: 16, Bytes: 256 << 10}}

// footprint is what the process holds: live heap, and resident memory where that
// means something.
type footprint struct{ heap, resident int64 }

func measure(t testing.TB) footprint {
	t.Helper()
	runtime.GC()         // pools give up what they hold at the second collection
	debug.FreeOSMemory() // which this is
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{heap: int64(m.HeapAlloc), resident: resident(t)}
}

// resident is the process's resident memory in bytes; 0 where that means nothing.
func resident(t testing.TB) int64 {
	t.Helper()
	if !residentCounts {
		return 0
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Logf("resident memory is not measured here: %v", err)
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// grewLess fails the test if the process holds limit bytes more than before. Both
// times garbage has been given back first: how much of it there is depends on what
// ran before.
func (f footprint) grewLess(t testing.TB, limit int64) {
	t.Helper()
	now := measure(t)
	heap, grown := now.heap-f.heap, now.resident-f.resident
	t.Logf("heap %+d KiB, resident %+d KiB", heap>>10, grown>>10)
	if heap >= limit {
		t.Errorf("heap grew by %d KiB, want less than %d", heap>>10, limit>>10)
	}
	if grown >= limit {
		t.Errorf("resident memory grew by %d KiB, want less than %d", grown>>10, limit>>10)
	}
}

// pace lets a publisher run no further ahead of readers than one round: so that
// their lanes never overflow, however slow the machine.
type pace struct {
	done chan struct{} // one for each reader and round
	errs chan error
}

// perRound is how many messages of a round may wait for a reader: half a narrow lane.
const perRound = 8

// readInOrder makes each client read the numbers first to first+total-1 of topic, in
// rounds.
func (p *pace) readInOrder(clients []*lean, topic string, first, total int) {
	p.done = make(chan struct{}, len(clients)*total/perRound)
	p.errs = make(chan error, len(clients))
	for _, c := range clients {
		go func() { p.errs <- p.read(c, topic, first, total) }()
	}
}

func (p *pace) read(c *lean, topic string, first, total int) error {
	for i := range total {
		n, err := c.number(topic)
		if err == nil && n != first+i {
			err = fmt.Errorf("got message %d, want %d", n, first+i)
		}
		if err != nil {
			return fmt.Errorf("client %s: %w", c.sid, err)
		}
		if (i+1)%perRound == 0 {
			p.done <- struct{}{}
		}
	}
	return nil
}

// rounds publishes total numbered messages from first on, a round at a time, and ends
// the test with the first reader that fails.
func (p *pace) rounds(t testing.TB, readers, first, total int, publish func(n int) error) {
	t.Helper()
	left := readers
	for from := first; from < first+total; from += perRound {
		for n := from; n < from+perRound; n++ {
			if err := publish(n); err != nil {
				t.Fatalf("publish %d: %v", n, err)
			}
		}
		for range readers {
			select {
			case <-p.done:
			case err := <-p.errs:
				if left--; err != nil {
					t.Fatal(err)
				}
				<-p.done // what a reader had done before it ended is counted
			}
		}
	}
	for range left {
		if err := <-p.errs; err != nil {
			t.Fatal(err)
		}
	}
}

// publishNumbers publishes numbered payloads of size bytes.
func publishNumbers(srv *weir.Server, topic string, size int) func(int) error {
	return func(n int) error {
		_, err := srv.Publish(context.Background(), "/feed", topic, numbered(n, size))
		return err
	}
}

// TestStalledClientHoldsNoMoreThanItsLane is streamfence.md W1: there the
// process grew by 352 MiB, and nothing was counted as dropped.
func TestStalledClientHoldsNoMoreThanItsLane(t *testing.T) {
	const warm, total, size = 800, 20_000 / heavy, 16 << 10
	srv := start(t, feed(narrow))
	healthy := crowd(t, addr(srv), "prices", 1, leanOptions{})
	var p pace
	p.readInOrder(healthy, "prices", 0, warm)
	p.rounds(t, 1, 0, warm, publishNumbers(srv, "prices", size))

	stalled := newLean(t, addr(srv), "/feed", leanOptions{})
	if err := stalled.subscribe("/feed", "prices"); err != nil {
		t.Fatal(err)
	}
	before := measure(t)
	p.readInOrder(healthy, "prices", warm, total)
	p.rounds(t, 1, warm, total, publishNumbers(srv, "prices", size))
	before.grewLess(t, 16<<20)

	if l := lane(client(t, srv, healthy[0].sid), "prices"); l.Dropped != 0 {
		t.Errorf("the healthy client lost messages: %+v", l)
	}
	balanced(t, srv)
	readsAgain(t, srv, stalled, warm, warm+total)
}

// readsAgain checks what a client that was stalled finds when it reads again: what
// the kernel had taken, then the newest its lane holds, in order; and that the books
// say so. It was offered the numbers from first to end-1.
func readsAgain(t *testing.T, srv *weir.Server, c *lean, first, end int) {
	t.Helper()
	l := lane(client(t, srv, c.sid), "prices")
	if l.Offered != uint64(end-first) || l.Drops["overflow"] == 0 || l.Dropped != l.Drops["overflow"] {
		t.Fatalf("books of the stalled client: %+v, want %d offered and drops by overflow only", l, end-first)
	}
	if l.Depth > narrow.Max.Messages+1 || l.Bytes > narrow.Max.Bytes+32<<10 {
		t.Errorf("the lane holds %d messages, %d bytes: want its limits and one batch", l.Depth, l.Bytes)
	}
	var got []int
	for len(got) == 0 || got[len(got)-1] != end-1 {
		n, err := c.number("prices")
		if err != nil {
			t.Fatalf("after %d messages: %v", len(got), err)
		}
		if len(got) > 0 && n <= got[len(got)-1] {
			t.Fatalf("message %d after %d", n, got[len(got)-1])
		}
		got = append(got, n)
	}
	newest := l.Depth - 1 // one may have been begun before, and is older
	for i := range newest {
		if n := got[len(got)-1-i]; n != end-1-i {
			t.Fatalf("the lane held %d messages; read at the end: %v", l.Depth, got[max(0, len(got)-l.Depth):])
		}
	}
	if got[0] != first {
		t.Errorf("the first message read is %d, want %d, which the kernel had taken", got[0], first)
	}
	after := lane(client(t, srv, c.sid), "prices")
	if after.Written != uint64(len(got)) || after.Depth != 0 || after.Written+after.Dropped != uint64(end-first) {
		t.Errorf("%d messages read; books %+v", len(got), after)
	}
}

func TestTwoHundredStalledOfAThousandCostNoMoreThanTheirLanes(t *testing.T) {
	const size = 4 << 10
	clients, total := 1000/heavy, 400
	srv := start(t, feed(narrow))
	healthy := crowd(t, addr(srv), "prices", clients*4/5, leanOptions{})
	stalled := crowd(t, addr(srv), "prices", clients/5, leanOptions{})
	var p pace
	p.readInOrder(healthy, "prices", 0, perRound)
	p.rounds(t, len(healthy), 0, perRound, publishNumbers(srv, "prices", size))

	before := measure(t)
	p.readInOrder(healthy, "prices", perRound, total)
	p.rounds(t, len(healthy), perRound, total, publishNumbers(srv, "prices", size))
	before.grewLess(t, 16<<20)

	for _, v := range views(t, srv) {
		if l := lane(v, "prices"); l.Offered != uint64(total+perRound) {
			t.Errorf("client %s: %d offered, want %d", v.ID, l.Offered, total+perRound)
		}
	}
	balanced(t, srv)
	for _, c := range stalled {
		readsAgain(t, srv, c, 0, total+perRound)
	}
	balanced(t, srv)
}

// TestClientThatNeverReadsItsAcksIsNotRead: acks are never dropped, so the server
// stops reading who does not take them (architecture.md D1).
func TestClientThatNeverReadsItsAcksIsNotRead(t *testing.T) {
	total := 1_000_000 / heavy
	var handled atomic.Int64
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}}, func(s *weir.Server) {
		s.Namespace("/feed").On("tick", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			handled.Add(1)
			return e.Reply(ctx, "ok")
		})
	})
	c := newLean(t, addr(srv), "/feed", leanOptions{})
	before := measure(t)
	sent := make(chan error, 1)
	go func() { sent <- emitTicks(c, total) }()

	const half = 512 // of the events lane's 1,024 messages
	eventually(t, "the events lane fills", func() bool { return lane(client(t, srv, c.sid), "").Depth >= half })
	var most laneView
	eventually(t, "the server stops reading", stands(func() int64 {
		if l := lane(client(t, srv, c.sid), ""); l.Depth > most.Depth {
			most = l
		}
		return handled.Load()
	}))
	if most.Depth > 1024 || most.Bytes > 1<<20 {
		t.Errorf("the events lane held %d messages, %d bytes: want its limits, 1024 and 1 MiB", most.Depth, most.Bytes)
	}
	if n := handled.Load(); n >= int64(total) {
		t.Errorf("all %d events were handled although no ack was read", n)
	}
	before.grewLess(t, 16<<20)
	balanced(t, srv)

	for i := range total {
		m, err := c.text()
		if want := fmt.Sprintf(`43/feed,%d["ok"]`, i); err != nil || m != want {
			t.Fatalf("got %q, %v; want %s", m, err, want)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	balanced(t, srv)
	if l := lane(client(t, srv, c.sid), ""); l.Written != uint64(total)+1 || l.Dropped != 0 { // and the CONNECT answer
		t.Errorf("events lane: %+v, want %d written", l, total+1)
	}
}

// stands returns a condition that holds when value has not changed over 50 looks.
func stands(value func() int64) func() bool {
	last, same := int64(-1), 0
	return func() bool {
		if v := value(); v != last {
			last, same = v, 0
		}
		same++
		return same > 50
	}
}

// emitTicks writes events that ask for an answer, ids from 0, many at a time.
func emitTicks(c *lean, total int) error {
	var b []byte
	for i := range total {
		b = ws.AppendMasked(b, ws.Text, [4]byte{4, 3, 2, 1}, fmt.Appendf(nil, `42/feed,%d["tick"]`, i))
		if len(b) < 16<<10 && i < total-1 {
			continue
		}
		if _, err := c.conn.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return nil
}

// TestRoomBroadcastsToAStalledClientTakeTheTopicsPolicy: a client that knows nothing
// of topics is protected by the policy of the topic whose name an event bears
// (architecture.md D1).
func TestRoomBroadcastsToAStalledClientTakeTheTopicsPolicy(t *testing.T) {
	const size, warm = 16 << 10, 80
	total := 4000 / heavy
	srv := start(t, feed(narrow), func(s *weir.Server) {
		s.Namespace("/feed").OnConnect(func(ctx context.Context, s *weir.Socket) error {
			return errors.Join(s.Join(ctx, "traders"), s.Emit(ctx, "joined"))
		})
	})
	enter := func(o leanOptions) *lean {
		c := newLean(t, addr(srv), "/feed", o)
		if m, err := c.text(); err != nil || m != `42/feed,["joined"]` {
			t.Fatalf("got %q, %v", m, err)
		}
		return c
	}
	broadcast := func(n int) error {
		return srv.Namespace("/feed").To("traders").Emit(t.Context(), "prices", numbered(n, size))
	}
	healthy := []*lean{enter(leanOptions{})}
	var p pace
	p.readInOrder(healthy, "prices", 0, warm)
	p.rounds(t, 1, 0, warm, broadcast)
	stalled := enter(leanOptions{})

	before := measure(t)
	p.readInOrder(healthy, "prices", warm, total)
	p.rounds(t, 1, warm, total, broadcast)
	before.grewLess(t, 16<<20)

	balanced(t, srv)
	if v := client(t, srv, stalled.sid); lane(v, "").Depth != 0 || lane(v, "").Dropped != 0 {
		t.Errorf("the events lane took part: %+v", lane(v, ""))
	}
	readsAgain(t, srv, stalled, warm, warm+total)
	if len(srv.CutClients(10)) != 0 {
		t.Error("the stalled client was cut")
	}
}
