package loadtest

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// feed publishes messages 0, 1, 2, … while it runs.
//
// Open loop (a rate): message n is due at the start + n/rate and carries that time, however late it is sent; a
// publisher that was held up sends all that is due and leaves none out. So what a client waits for a server that
// stalled is in the latency of every message of the stall, not of one (no coordinated omission).
//
// Closed loop (a window): message n is sent when every client has n-window, and carries the time it was sent.
type feed struct {
	to        publisher
	rate      float64
	window    int64
	messages  int64 // of an open loop; 0: until it is stopped
	size      int
	delivered <-chan int64

	stop chan struct{}
	once sync.Once
	done chan struct{}
	err  error // once done

	published atomic.Int64 // messages so far
	late      atomic.Int64 // microseconds: the most a message was sent after it was due
	measuring atomic.Bool

	answered *hdrhistogram.Histogram // microseconds from sending a message until its answer, while measuring; nil: none is waited for. run's until done
}

func newFeed(o Feed, to publisher, delivered <-chan int64) *feed {
	f := &feed{
		to: to, rate: o.Rate, window: int64(o.Window), messages: int64(o.Messages), size: o.Size, delivered: delivered,
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if o.Publish == PublishAPI {
		f.answered = swarm.NewHistogram()
	}
	return f
}

// run publishes until stop, or until the publisher fails.
func (f *feed) run() {
	defer close(f.done)
	if f.rate > 0 {
		f.err = f.open()
	} else {
		f.err = f.closed()
	}
}

func (f *feed) open() error {
	start := swarm.Clock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); f.messages == 0 || n < f.messages; n++ {
		due := start + int64(float64(n)/f.rate*1e6)
		timer.Reset(time.Duration(due-swarm.Clock()) * time.Microsecond)
		select {
		case <-timer.C:
		case <-f.stop:
			return nil
		}
		if err := f.publish(n, due); err != nil {
			return f.unlessStopped(err)
		}
		if late := swarm.Clock() - due; late > f.late.Load() {
			f.late.Store(late)
		}
	}
	return nil
}

func (f *feed) closed() error {
	all := int64(-1) // what all clients have
	for n := int64(0); ; {
		for ; n <= all+f.window; n++ {
			if err := f.publish(n, swarm.Clock()); err != nil {
				return f.unlessStopped(err)
			}
		}
		select {
		case all = <-f.delivered:
		case <-f.stop:
			return nil
		}
	}
}

func (f *feed) publish(n, at int64) error {
	sent := swarm.Clock()
	if err := f.to.Publish(appendPayload(nil, n, at, f.size)); err != nil {
		return err
	}
	f.published.Add(1)
	if f.answered != nil && f.measuring.Load() {
		_ = f.answered.RecordValue(min(max(swarm.Clock()-sent, 0), f.answered.HighestTrackableValue())) // within its range
	}
	return nil
}

func (f *feed) unlessStopped(err error) error {
	select {
	case <-f.stop:
		return nil
	default:
		return err
	}
}

// publisherEnd is how long a publisher may hang in a write once it is to stop.
const publisherEnd = 2 * time.Second

// end stops the feed and returns what it failed with.
func (f *feed) end() error {
	f.once.Do(func() {
		close(f.stop)
		timer := time.AfterFunc(publisherEnd, func() { _ = f.to.Close() })
		<-f.done
		timer.Stop()
	})
	return f.err
}

// failed returns what the feed failed with so far.
func (f *feed) failed() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// appendPayload appends {"n":N,"t":AT,"pad":"…"} of size bytes, or the few more that the numbers need.
func appendPayload(dst []byte, n, at int64, size int) []byte {
	begin := len(dst)
	dst = append(dst, `{"n":`...)
	dst = strconv.AppendInt(dst, n, 10)
	dst = append(dst, `,"t":`...)
	dst = strconv.AppendInt(dst, at, 10)
	dst = append(dst, `,"pad":"`...)
	for len(dst)-begin < size-2 {
		dst = append(dst, 'x')
	}
	return append(dst, `"}`...)
}
