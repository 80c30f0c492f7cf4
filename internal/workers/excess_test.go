package workers

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"
)

// White box: the watch has found n workers too many and they have not stepped back yet when some of them leave by
// runtime.Goexit. The others must not all step back, with a job in the queue.
func TestExcessWithGoexitLeavesSomebody(t *testing.T) {
	if !NiceSupported {
		return
	}
	w, err := New(Options{Max: 64, Nice: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.floor = 2
	// The watch does not look by itself: the test does, at the moments it may.
	w.mu.Lock()
	w.alarm = time.AfterFunc(time.Hour, w.watch)
	w.awake = true
	w.mu.Unlock()
	look := func(held, others int) {
		l := look{waiting: held, others: others - held}
		if l.others > 0 {
			l.sample = make([]*seat, l.others)
		}
		for _, h := range w.relieve(l) {
			h.seat.hand(h.job)
		}
		w.mu.Lock()
		w.alarm.Stop()
		w.mu.Unlock()
	}
	const n = 6
	var began, left sync.WaitGroup
	began.Add(n)
	exit, stay := make(chan struct{}), make(chan struct{})
	left.Add(n / 2)
	for i := range n {
		_ = w.Submit(JobFunc(func(context.Context) {
			began.Done()
			if i < n/2 {
				defer left.Done()
				<-exit
				runtime.Goexit()
			}
			<-stay
		}))
		if i >= 1 {
			look(i+1, i+1) // all are held up: the next job gets a new worker
		}
	}
	began.Wait()
	look(0, n) // now all of them compute, and not for long: four are too many
	w.mu.Lock()
	busy, excess := len(w.crew)-len(w.seats), w.excess
	w.mu.Unlock()
	t.Logf("busy %d, excess %d", busy, excess)
	close(exit)
	left.Wait()
	for w.Stats().Live > n/2 {
		runtime.Gosched()
	}
	ran := make(chan struct{})
	_ = w.Submit(JobFunc(func(context.Context) { close(ran) })) // three are busy: it is queued
	close(stay)
	for {
		w.mu.Lock()
		idle := len(w.seats) == len(w.crew)
		w.mu.Unlock()
		if idle {
			break
		}
		runtime.Gosched()
	}
	look(0, 0) // the watch's next look
	select {
	case <-ran:
	case <-time.After(time.Minute):
		t.Errorf("a job is never run: all %d workers are idle, %d jobs queued, the watch is set: %v", w.Stats().Live, w.line.len(), w.awake)
	}
	_ = w.Close(context.Background())
}
