// Package logqueue is a slog.Handler that never waits for the one behind it, nor calls it. Loops log, and where their
// lines go (a pipe, a disk, an application's handler) may take its time.
package logqueue

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/aside"
)

// How many lines wait, and how many bytes.
const (
	MaxLines = 4096
	MaxBytes = 4 << 20
)

// Queue holds the lines of one server.
type Queue struct {
	lines   *aside.Queue[line]
	root    *handler
	began   time.Time // when its clock began
	dropped atomic.Uint64
	told    uint64 // of dropped, in a line of their own; the goroutine's
}

// line is a record on its way to its handler, or a question to it.
type line struct {
	to     *handler
	ask    bool // whether levels are on; there is no record
	ctx    context.Context
	record slog.Record
}

// New returns the queue in front of a handler.
func New(h slog.Handler) *Queue {
	q := &Queue{began: time.Now()}
	q.root = &handler{queue: q, inner: h}
	q.lines = aside.New(aside.Limits{Items: MaxLines, Bytes: MaxBytes}, q.write)
	return q
}

// Handler is what a slog.Logger is made of. The handler behind is called by one goroutine, in order, and by nobody else:
// also its Enabled and With…. A level it turns on at run time shows within AskAgain.
func (q *Queue) Handler() slog.Handler { return q.root }

// Dropped is how many lines found the queue full, or a handler that panicked.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Flush waits until what was logged is written, at most as long as given, and reports how many lines are not.
func (q *Queue) Flush(most time.Duration) (left int) { return q.lines.Flush(most) }

// write is called by the queue's goroutine.
func (q *Queue) write(l line) {
	q.hand(l)
	if n := q.dropped.Load(); n > q.told {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines dropped: the log's handler does not keep up", 0)
		r.AddAttrs(slog.Uint64("lines", n-q.told))
		q.told = n
		q.hand(line{to: q.root, ctx: context.Background(), record: r})
	}
}

// hand gives a line to its handler. A panic in it is the application's, and must not end the server: the line counts as
// dropped.
func (q *Queue) hand(l line) {
	defer func() {
		if recover() != nil && !l.ask {
			q.dropped.Add(1)
			q.told++ // not in a line, which would meet the same handler
		}
	}()
	if l.ask {
		for _, level := range levels {
			l.to.ask(context.Background(), level)
		}
		return
	}
	if l.to.ask(l.ctx, l.record.Level) {
		_ = l.to.behind().Handle(l.ctx, l.record) // as slog.Logger does: nobody is left to be told
	}
}

// perLine and perAttr are what a record and each of its attributes take beside their text.
const (
	perLine = 320
	perAttr = 48
)

// size is about what a record keeps in memory.
func size(r slog.Record) int {
	n := perLine + len(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		n += perAttr + len(a.Key)
		if a.Value.Kind() == slog.KindString {
			n += len(a.Value.String())
		}
		return true
	})
	return n
}
