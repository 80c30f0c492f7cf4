package weir

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/aside"
	"github.com/streamweir/weir/internal/delivery"
)

// How much of what Events are to be told may wait, and how long the end of Run waits for it.
const (
	maxNotices     = 1 << 15
	maxNoticeBytes = 16 << 20
	noticeBytes    = 512  // of one, about
	viewBytes      = 1024 // of a client's state
	lastNotices    = 5 * time.Second
	lastLines      = time.Second
)

// notice names a callback of Events.
type notice uint8

const (
	noticeConnected notice = iota
	noticeDisconnected
	noticeSubscribed
	noticeCut
	noticeAuthRejected
	noticeRoom
	notices
)

// noticeNames are the labels of weir_events_dropped_total.
var noticeNames = [notices]string{"connected", "disconnected", "subscribed", "cut", "auth_rejected", "room"}

// herald calls the callbacks of Events, from one goroutine and in the order of what happened. Loops and workers tell it
// and go on.
type herald struct {
	log     *slog.Logger
	queue   *aside.Queue[news]
	dropped [notices]atomic.Uint64
	panics  [notices]atomic.Uint64
}

// news is one call of a callback.
type news struct {
	kind notice
	call func()
}

func newHerald(log *slog.Logger) *herald {
	h := &herald{log: log}
	h.queue = aside.New(aside.Limits{Items: maxNotices, Bytes: maxNoticeBytes}, h.deliver)
	return h
}

// tell has call made after all that was told before it, or drops and counts it. Any goroutine.
func (h *herald) tell(kind notice, bytes int, call func()) {
	if !h.queue.Put(news{kind, call}, bytes) {
		h.dropped[kind].Add(1)
	}
}

// deliver is called by the queue's goroutine. A panic of the application's costs it this call.
func (h *herald) deliver(n news) {
	defer func() {
		if r := recover(); r != nil {
			h.panics[n.kind].Add(1)
			h.log.Error("callback of Events panicked", "event", noticeNames[n.kind], "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	n.call()
}

// close waits until everything is told, for a while.
func (h *herald) close() {
	if left := h.queue.Flush(lastNotices); left > 0 {
		h.log.Warn("callbacks of Events not made: one does not return", "left", left)
	}
}

// read returns counts by the callbacks' names.
func (h *herald) read(counts *[notices]atomic.Uint64) map[string]uint64 {
	m := make(map[string]uint64, notices)
	for i := range counts {
		m[noticeNames[i]] = counts[i].Load()
	}
	return m
}

// told returns f as a function that has it called by the herald; nil for nil.
func told[E any](h *herald, kind notice, f func(E)) func(E) {
	if f == nil {
		return nil
	}
	return func(e E) { h.tell(kind, noticeBytes, func() { f(e) }) }
}

// throughHerald are the embedder's callbacks as the server calls them: from loops and workers, never waiting. Cut stays
// as it is: onCut tells the herald.
func (e Events) throughHerald(h *herald) Events {
	e.Connected = told(h, noticeConnected, e.Connected)
	e.Disconnected = told(h, noticeDisconnected, e.Disconnected)
	e.Subscribed = told(h, noticeSubscribed, e.Subscribed)
	e.AuthRejected = told(h, noticeAuthRejected, e.AuthRejected)
	e.Room = told(h, noticeRoom, e.Room)
	return e
}

// stallEvery is the least time between two lines that tell of stalls.
const stallEvery = 10 * time.Second

// stallLog tells the log of steps of a loop that were too long.
type stallLog struct {
	last    atomic.Int64 // when a line told of one
	untold  atomic.Int64
	started atomic.Bool
}

// onStall is called on the loop whose step it was.
func (s *Server) onStall(e delivery.Stall) {
	l, now := &s.stalls, s.hub.Now()
	last := l.last.Load()
	if l.started.Load() && now-last < int64(stallEvery) || !l.last.CompareAndSwap(last, now) {
		l.untold.Add(1)
		return
	}
	l.started.Store(true)
	attrs := []any{"loop", e.Shard, "took_ms", e.Took.Milliseconds(), "longest", e.Longest().String()}
	for p, w := range e.Phases {
		if w.Took >= time.Millisecond {
			attrs = append(attrs, slog.Group(delivery.Phase(p).String(), "ms", w.Took.Milliseconds(), "count", w.Count))
		}
	}
	s.log.Warn("a step of an event loop took long", append(attrs, "others_since", l.untold.Swap(0))...)
}
