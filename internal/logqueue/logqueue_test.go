package logqueue_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/logqueue"
)

// gated is a handler that waits before each line.
type gated struct {
	slog.Handler
	gate func()
}

func (g gated) Handle(ctx context.Context, r slog.Record) error {
	g.gate()
	return g.Handler.Handle(ctx, r)
}

func (g gated) WithAttrs(as []slog.Attr) slog.Handler {
	return gated{g.Handler.WithAttrs(as), g.gate}
}

func TestLinesComeInOrderWithTheirAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		q := logqueue.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		log := slog.New(q.Handler())
		log.Info("one", "a", 1)
		log.With("server", "feed").WithGroup("g").Warn("two", "b", 2, "c", "d", "e", "f", "h", "i", "j", "k", "l", "m")
		log.Debug("not enabled")
		if left := q.Flush(time.Second); left != 0 {
			t.Errorf("%d lines are left", left)
		}
		want := "level=INFO msg=one a=1\nlevel=WARN msg=two server=feed g.b=2 g.c=d g.e=f g.h=i g.j=k g.l=m\n"
		if out.String() != want {
			t.Errorf("logged:\n%s\nwant:\n%s", out.String(), want)
		}
	})
}

func TestHandlerThatHangsCostsLinesWhichAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		gate := make(chan struct{})
		q := logqueue.New(gated{slog.NewTextHandler(&out, nil), func() { <-gate }})
		log := slog.New(q.Handler())
		for i := range logqueue.MaxLines + 100 {
			log.Info("line", "i", i)
		}
		if q.Dropped() != 100 {
			t.Errorf("%d lines were dropped, want 100", q.Dropped())
		}
		if left := q.Flush(time.Second); left != logqueue.MaxLines {
			t.Errorf("%d lines are left, want all %d", left, logqueue.MaxLines)
		}
		close(gate)
		q.Flush(time.Second)
		log.Info("again")
		q.Flush(time.Second)
		if n := strings.Count(out.String(), "log lines dropped"); n != 1 {
			t.Errorf("the drops were told %d times, want once", n)
		}
		if !strings.Contains(out.String(), "lines=100") || !strings.Contains(out.String(), "msg=again") {
			t.Errorf("the log ends with:\n%s", out.String()[max(0, out.Len()-300):])
		}
	})
}

func TestHandlerThatPanicsCostsItsLineOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		n := 0
		q := logqueue.New(gated{slog.NewTextHandler(&out, nil), func() {
			if n++; n == 1 {
				panic("boom")
			}
		}})
		log := slog.New(q.Handler())
		log.Info("one")
		log.Info("two")
		q.Flush(time.Second)
		if q.Dropped() != 1 || !strings.Contains(out.String(), "msg=two") {
			t.Errorf("%d dropped, logged %q", q.Dropped(), out.String())
		}
	})
}

func TestLargeLinesAreBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		q := logqueue.New(gated{enabled{slog.DiscardHandler}, func() { <-gate }})
		log := slog.New(q.Handler())
		text := strings.Repeat("x", 1<<20)
		for range 10 {
			log.Info("large", "text", text)
		}
		if q.Dropped() != 7 {
			t.Errorf("of 10 lines of 1 MiB %d were dropped, want 7", q.Dropped())
		}
		close(gate)
		q.Flush(time.Second)
	})
}

// enabled is a handler that is, which slog.DiscardHandler is not.
type enabled struct{ slog.Handler }

func (enabled) Enabled(context.Context, slog.Level) bool { return true }

// dozing is a handler of which every method waits.
type dozing struct {
	slog.Handler
	gate chan struct{}
}

func (d dozing) Enabled(ctx context.Context, l slog.Level) bool {
	<-d.gate
	return d.Handler.Enabled(ctx, l)
}

func (d dozing) WithAttrs(as []slog.Attr) slog.Handler {
	<-d.gate
	return dozing{d.Handler.WithAttrs(as), d.gate}
}

func (d dozing) WithGroup(name string) slog.Handler {
	<-d.gate
	return dozing{d.Handler.WithGroup(name), d.gate}
}

// A bubble whose goroutines all wait for the gate fails: that is what a logger does that asks its handler.
func TestHandlerWhoseEnabledAndWithHangHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		gate := make(chan struct{})
		q := logqueue.New(dozing{slog.NewTextHandler(&out, nil), gate})
		log := slog.New(q.Handler())
		log.Debug("off")
		log.With("a", 1).WithGroup("g").Info("on", "b", 2)
		log.WithGroup("h").With("c", 3).Log(t.Context(), slog.LevelInfo+1, "between", "d", 4)
		close(gate)
		q.Flush(time.Second)
		if got := out.String(); strings.Contains(got, "off") || !strings.Contains(got, "msg=on a=1 g.b=2") || !strings.Contains(got, "msg=between h.c=3 h.d=4") {
			t.Errorf("logged:\n%s", got)
		}
	})
}

func TestLevelsTurnedOnAndOffAtRunTimeCountFromTheNextSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var level slog.LevelVar
		q := logqueue.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: &level}))
		log := slog.New(q.Handler()).With("server", "feed")
		say := func(text string) bool {
			log.Debug(text)
			q.Flush(time.Second)
			return strings.Contains(out.String(), text)
		}
		if say("first") || say("second") || log.Enabled(t.Context(), slog.LevelDebug) {
			t.Error("a level that is off is written, or said to be on")
		}
		level.Set(slog.LevelDebug)
		time.Sleep(logqueue.AskAgain)
		say("third") // asks
		if !say("fourth") {
			t.Error("a level turned on is not written")
		}
		level.Set(slog.LevelInfo)
		if say("fifth") {
			t.Error("a level turned off is written")
		}
		if log.Enabled(t.Context(), slog.LevelDebug) {
			t.Error("a level turned off is still said to be on when a line has met it")
		}
	})
}
