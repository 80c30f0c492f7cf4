package transport_test

import (
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
)

// nowhere is a loop that nobody posts to: the test itself is the loop.
type nowhere struct{ done chan struct{} }

func (nowhere) Post(base.Task)          {}
func (n nowhere) Done() <-chan struct{} { return n.done }

func barePoller(t testing.TB, now func() int64) *transport.Poller {
	p := transport.NewPoller(now)
	if err := p.Open(nowhere{make(chan struct{})}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func always() bool { return true }

// Each of these ends by itself; that the test ends is what it shows.
func TestWaitEndsWithItsTimeWhateverItWasBefore(t *testing.T) {
	p := barePoller(t, realTime())
	wake := func() { // once the poller sleeps
		for p.Waits(); !p.Waits(); {
			runtime.Gosched()
		}
		p.Wake()
	}
	for i := range 200 {
		for _, long := range []time.Duration{math.MaxInt64, 1 << 60, time.Hour, 3 * time.Millisecond} {
			go wake()
			p.Wait(long, always) // leaves an alarm far ahead
			p.Dispatch()
			p.Wait(time.Duration(rand.IntN(200))*time.Microsecond, always)
			p.Wait(0, always)
			p.Wait(-time.Hour, always)
			p.Wait(math.MinInt64, always)
			p.Wait(1, always)
			if i%10 == 0 {
				<-time.After(time.Millisecond) // the alarm passes while the loop is busy
			}
			p.Wait(time.Microsecond, always)
		}
	}
	p.Wait(time.Hour, func() bool { return false })
}

// A loop with a short alarm of a former sleep goes on sleeping beyond it.
func TestAlarmOfAFormerSleepDoesNotKeepTheLoopAwake(t *testing.T) {
	p := barePoller(t, realTime())
	p.Wait(time.Millisecond, always)
	waits := 0
	end := time.Now().Add(20 * time.Millisecond)
	for time.Now().Before(end) {
		p.Wait(time.Until(end), always)
		p.Dispatch()
		waits++
	}
	if waits > 5 {
		t.Errorf("slept %d times for one time", waits)
	}
}

// stir is a loop that is woken, has deadlines and gets bytes, all at random. Tasks are acknowledged: a lost wake-up hangs.
func TestNothingIsLostInARandomMixture(t *testing.T) {
	now := realTime()
	p := transport.NewPoller(now)
	p.Pressed = func() bool { return rand.IntN(3) == 0 } // it dozes now and then
	l := &mixed{poller: p, done: make(chan struct{})}
	if err := p.Open(l); err != nil {
		t.Fatal(err)
	}
	var loop sync.WaitGroup
	loop.Go(l.run)
	var posters sync.WaitGroup
	const count = 4000
	for range 4 {
		posters.Go(func() {
			for range count {
				ran := make(chan struct{})
				l.Post(looptest.Task(func() { close(ran) }))
				<-ran
				for range rand.IntN(500) {
					_ = l.turns.Load()
				}
				if rand.IntN(50) == 0 {
					<-time.After(time.Duration(rand.IntN(300)) * time.Microsecond)
				}
			}
		})
	}
	for range 3 { // echoes over connections of the loop
		server, client := tcpPair(t)
		e := &echo{}
		d := transport.NewDriver()
		var err error
		e.socket, err = d.WebSocket(transport.Upgraded{Conn: server}, &transport.WebSocketOptions{Loop: l, Poller: p, Now: now, Limit: testLimit})
		if err != nil {
			t.Fatal(err)
		}
		l.Post(looptest.Task(func() { e.socket.Start(e) }))
		posters.Go(func() { pingPong(t, client, count) })
	}
	posters.Wait()
	l.ended.Store(true)
	p.Wake()
	loop.Wait()
	p.Close()
	t.Logf("%d turns", l.turns.Load())
}

func pingPong(t *testing.T, client net.Conn, count int) {
	b := make([]byte, 64)
	for range count {
		if _, err := client.Write(masked(1, "hello")); err != nil {
			t.Error(err)
			return
		}
		if _, err := readFull(client, b[:7]); err != nil {
			t.Error(err)
			return
		}
	}
}

type echo struct{ socket *transport.WebSocket }

func (e *echo) Message([]byte, bool) error {
	_, err := e.socket.Write([]byte("\x81\x05hello"))
	return err
}
func (*echo) Writable()                {}
func (*echo) Closed(base.Cause, error) {}

// mixed sleeps for random times.
type mixed struct {
	poller *transport.Poller
	mu     sync.Mutex
	queue  []base.Task
	ended  atomic.Bool
	turns  atomic.Int64
	done   chan struct{}
}

func (l *mixed) Post(task base.Task) {
	l.mu.Lock()
	l.queue = append(l.queue, task)
	l.mu.Unlock()
	l.poller.Wake()
}

func (l *mixed) Done() <-chan struct{} { return l.done }

func (l *mixed) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0 && !l.ended.Load()
}

func (l *mixed) run() {
	for !l.ended.Load() {
		l.turns.Add(1)
		l.poller.Dispatch()
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, task := range queue {
			task.Run()
		}
		d := time.Hour
		switch rand.IntN(4) {
		case 0:
			d = time.Duration(rand.IntN(500_000)) - 50_000
		case 1:
			d = time.Duration(rand.IntN(5)) * time.Millisecond
		}
		l.poller.Wait(d, l.idle)
	}
}

// Wake may come at any time, also before Open and after Close.
func TestWakeBeforeOpenAndAfterClose(t *testing.T) {
	before := descriptors(t)
	for range 100 {
		p := transport.NewPoller(realTime())
		p.Wake()
		if err := p.Open(nowhere{make(chan struct{})}); err != nil {
			t.Fatal(err)
		}
		var wakers sync.WaitGroup
		for range 3 {
			wakers.Go(func() {
				for range 50 {
					p.Wake()
					runtime.Gosched()
				}
			})
		}
		for range 20 {
			p.Wait(time.Duration(rand.IntN(20_000)), always)
			p.Dispatch()
		}
		p.Close()
		p.Wake()
		wakers.Wait()
		p.Close()
	}
	wantNoMoreDescriptors(t, before)
}

// The clock need not begin at 0.
func TestClockMayBeginAnywhere(t *testing.T) {
	start := time.Now()
	for _, offset := range []int64{0, 1, 1 << 40, math.MaxInt64 - int64(time.Hour), -int64(time.Hour)} {
		p := barePoller(t, func() int64 { return offset + int64(time.Since(start)) })
		for range 5 {
			ended := make(chan struct{})
			go func() { p.Wait(time.Millisecond, always); close(ended) }()
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatalf("offset %d: a sleep of 1 ms does not end", offset)
			}
		}
	}
}

// A sleep that must end between an alarm already set and one an hour ahead: the alarm is moved forward.
func TestWaitOfADeadlineOfADescriptor(t *testing.T) {
	l := looptest.NewPolling(t, realTime())
	ln := listen(t, "127.0.0.1:0")
	in, err := transport.NewIntake(ln, []*transport.Poller{l.Poller}, transport.IntakeOptions{HeadTimeout: 20 * time.Millisecond, Arrive: func(a *transport.Arrival) { a.PassOn() }})
	if err != nil {
		t.Fatal(err)
	}
	in.Start()
	defer func() { _ = in.Close() }()
	for range 20 {
		conn, err := net.Dial("tcp", in.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("GET / HT")); err != nil {
			t.Fatal(err)
		}
		wantGone(t, conn) // the loop would sleep an hour
		_ = conn.Close()
	}
}
