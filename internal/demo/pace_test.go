package demo_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/demo"
)

// endless never runs out and counts what was taken.
type endless struct{ taken int }

func (e *endless) Read(b []byte) (int, error) {
	e.taken += len(b)
	return len(b), nil
}

// drain reads until the context ends.
func drain(ctx context.Context, t *testing.T, r io.Reader) {
	t.Helper()
	b := make([]byte, 4096)
	for {
		if _, err := r.Read(b); err != nil {
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("read ended with %v, want the context's error", err)
			}
			return
		}
	}
}

func TestPaceKeepsTheRate(t *testing.T) {
	for _, rate := range []int{demo.MinRate, 4 << 10, demo.MaxRate} {
		synctest.Test(t, func(t *testing.T) {
			const seconds = 60
			ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
			defer cancel()
			var source endless
			drain(ctx, t, demo.NewPace(demo.Setting{Rate: rate}).Reader(ctx, &source))
			most, least := rate*seconds+rate/8, rate*seconds*9/10
			if source.taken > most || source.taken < least {
				t.Errorf("rate %d: took %d bytes in %d s, want %d to %d", rate, source.taken, seconds, least, most)
			}
		})
	}
}

func TestPaceStalledTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pace := demo.NewPace(demo.Setting{Rate: 1024})
		var source endless
		done := make(chan struct{})
		go func() {
			defer close(done)
			drain(ctx, t, pace.Reader(ctx, &source))
		}()
		time.Sleep(10 * time.Second)
		pace.Set(demo.Setting{Rate: 1024, Stalled: true})
		synctest.Wait()
		before := source.taken
		time.Sleep(time.Hour)
		synctest.Wait()
		if source.taken != before {
			t.Errorf("took %d bytes while stalled", source.taken-before)
		}
		pace.Set(demo.Setting{Rate: 1024})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := source.taken - before; got < 9*1024 || got > 11*1024 {
			t.Errorf("took %d bytes in 10 s after the stall, want about 10 KiB: the stall must not be made up for", got)
		}
		cancel()
		<-done
	})
}

func TestPaceFollowsAChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := demo.NewPace(demo.Setting{Rate: demo.MinRate})
		r := pace.Reader(t.Context(), &endless{})
		b := make([]byte, 4096)
		if _, err := r.Read(b); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		pace.Set(demo.Setting{})
		for range 1000 {
			if n, err := r.Read(b); err != nil || n != len(b) {
				t.Fatalf("read %d bytes, %v at full speed, want %d", n, err, len(b))
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v at full speed", waited)
		}
	})
}

func TestBackoffDoublesUpToItsBoundAndHeedsTheServer(t *testing.T) {
	b := demo.Backoff{First: time.Second, Most: 8 * time.Second}
	for i, bound := range []time.Duration{1, 2, 4, 8, 8} {
		if d := b.Next(0); d > bound*time.Second {
			t.Errorf("wait %d is %v, want at most %v s", i, d, int(bound))
		}
	}
	if d := b.Next(time.Minute); d < time.Minute || d > 75*time.Second {
		t.Errorf("wait is %v, want the server's minute and at most a quarter more", d)
	}
	b.Reset()
	if d := b.Next(0); d > time.Second {
		t.Errorf("wait after a good connection is %v, want at most 1s", d)
	}
}
