// Package logqueue is a slog.Handler that never waits for the one behind it. Loops log, and where their lines go (a pipe,
// a disk, an application's handler) may take its time.
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
	root    slog.Handler
	dropped atomic.Uint64
	told    uint64 // of dropped, in a line of their own; the goroutine's
}

// line is a record on its way to its handler.
type line struct {
	to     slog.Handler
	ctx    context.Context
	record slog.Record
}

// New returns the queue in front of a handler.
func New(h slog.Handler) *Queue {
	q := &Queue{root: h}
	q.lines = aside.New(aside.Limits{Items: MaxLines, Bytes: MaxBytes}, q.write)
	return q
}

// Handler is what a slog.Logger is made of. Its Enabled and With… ask the handler behind at once; records are written by
// one goroutine, in order.
func (q *Queue) Handler() slog.Handler { return handler{q, q.root} }

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
		q.hand(line{q.root, context.Background(), r})
	}
}

// hand gives a line to its handler. A panic in it is the application's, and must not end the server: the line counts as
// dropped.
func (q *Queue) hand(l line) {
	defer func() {
		if recover() != nil {
			q.dropped.Add(1)
			q.told++ // not in a line, which would meet the same handler
		}
	}()
	_ = l.to.Handle(l.ctx, l.record) // as slog.Logger does: nobody is left to be told
}

type handler struct {
	queue *Queue
	inner slog.Handler
}

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.inner.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.queue.lines.Put(line{h.inner, context.WithoutCancel(ctx), r.Clone()}, size(r)) {
		h.queue.dropped.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(as []slog.Attr) slog.Handler {
	return handler{h.queue, h.inner.WithAttrs(as)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.queue, h.inner.WithGroup(name)}
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
