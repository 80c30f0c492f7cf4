package logqueue

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// levels are those whose answers are remembered. A line of any other is put into the queue, and judged there.
var levels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// AskAgain is how long a level that the handler behind has said no to stays off before it is asked again.
const AskAgain = time.Second

// handler is one of the loggers of a server: the queue's own, or one made of another by With or WithGroup.
type handler struct {
	queue *Queue
	of    *handler                        // whose attributes come first; nil: the queue's own
	with  func(slog.Handler) slog.Handler // makes the handler behind out of that of of
	inner slog.Handler                    // the handler behind; the queue's goroutine makes it with the first line

	answers atomic.Uint32 // two bits for each of levels: whether its answer is known, and what it is
	asked   atomic.Int64  // when it was last asked for the sake of levels that are off, on the clock of the queue
}

// derive makes a handler out of another without asking anybody. What is known of its levels is handed on.
func (h *handler) derive(with func(slog.Handler) slog.Handler) *handler {
	d := &handler{queue: h.queue, of: h, with: with}
	d.answers.Store(h.answers.Load())
	d.asked.Store(h.asked.Load())
	return d
}

// Enabled implements slog.Handler without asking the handler behind, which could take its time: it says yes unless that
// has said no before. The queue asks again when it writes the line, and AskAgain after a no.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	i := slices.Index(levels[:], l)
	if i < 0 || h.answers.Load()>>(2*i)&0b11 != known {
		return true
	}
	h.askAgain()
	return false
}

// The answers to whether a level is on: known alone says no.
const (
	known = 0b01
	on    = 0b10
)

// askAgain has the queue ask whether levels that are off are on by now, once in a while. A full queue is asked later.
func (h *handler) askAgain() {
	last, now := h.asked.Load(), int64(time.Since(h.queue.began))
	if now-last >= int64(AskAgain) && h.asked.CompareAndSwap(last, now) {
		h.queue.lines.Put(line{to: h, ask: true}, perLine)
	}
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.queue.lines.Put(line{to: h, ctx: context.WithoutCancel(ctx), record: r.Clone()}, size(r)) {
		h.queue.dropped.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(as []slog.Attr) slog.Handler {
	return h.derive(func(inner slog.Handler) slog.Handler { return inner.WithAttrs(as) })
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return h.derive(func(inner slog.Handler) slog.Handler { return inner.WithGroup(name) })
}

// behind is the handler behind. The queue's goroutine.
func (h *handler) behind() slog.Handler {
	if h.inner == nil {
		h.inner = h.with(h.of.behind())
	}
	return h.inner
}

// ask asks the handler behind about a level and remembers its answer. The queue's goroutine.
func (h *handler) ask(ctx context.Context, l slog.Level) bool {
	enabled := h.behind().Enabled(ctx, l)
	if i := slices.Index(levels[:], l); i >= 0 {
		answer := uint32(known)
		if enabled {
			answer |= on
		}
		h.answers.Store(h.answers.Load()&^(0b11<<(2*i)) | answer<<(2*i))
	}
	return enabled
}
