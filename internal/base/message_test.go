package base_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir/internal/base"
)

// counting is an encoder that says what it was asked for and counts how often.
type counting struct {
	calls [8]atomic.Int32
}

func (c *counting) Encode(m *base.Message, f base.Form) *base.Frame {
	c.calls[f].Add(1)
	return base.NewFrame(0, func(dst []byte) []byte { return fmt.Appendf(dst, "%s as %d", m.ID, f) })
}

var forms = []base.Form{
	base.Plain, base.Envelope, base.Redelivered, base.Envelope | base.Redelivered,
	base.Callback, base.Callback | base.Envelope, base.Callback | base.Redelivered,
	base.Callback | base.Envelope | base.Redelivered,
}

func TestFormsAreDistinct(t *testing.T) {
	seen := make(map[base.Form]bool)
	for _, f := range forms {
		if seen[f] {
			t.Errorf("form %d twice", f)
		}
		seen[f] = true
	}
}

func TestMessageIsEncodedOncePerForm(t *testing.T) {
	c := new(counting)
	m := base.NewMessage(c)
	m.ID = "m1"
	if m.Bytes() != 0 {
		t.Fatalf("%d bytes before any frame", m.Bytes())
	}
	bytes := 0
	for _, f := range forms {
		frame := m.Frame(f)
		bytes += frame.Len()
		for range 3 {
			if m.Frame(f) != frame {
				t.Fatalf("form %d: another frame the second time", f)
			}
		}
		want := fmt.Sprintf("4m1 as %d", f)
		if got := parts(frame.Wire()); len(got) != 1 || got[0].payload != want {
			t.Fatalf("form %d: %q, want %q", f, got, want)
		}
		if c.calls[f].Load() != 1 {
			t.Fatalf("form %d encoded %d times", f, c.calls[f].Load())
		}
		if m.Bytes() != bytes {
			t.Fatalf("%d bytes in the forms so far, want %d", m.Bytes(), bytes)
		}
	}
}

// Shards may race to encode; one result is kept, handed to all and counted once.
func TestMessageFrameIsOneForAllGoroutines(t *testing.T) {
	const shards = 8
	for range 200 {
		m := base.NewMessage(new(counting))
		var got [shards][8]*base.Frame
		var start, done sync.WaitGroup
		start.Add(1)
		for s := range shards {
			done.Go(func() {
				start.Wait()
				for _, f := range forms {
					got[s][f] = m.Frame(f)
				}
			})
		}
		start.Done()
		done.Wait()
		bytes := 0
		for _, f := range forms {
			bytes += m.Frame(f).Len()
			for s := range shards {
				if got[s][f] != m.Frame(f) {
					t.Fatalf("shard %d has its own frame of form %d", s, f)
				}
			}
		}
		if m.Bytes() != bytes {
			t.Fatalf("%d bytes, want %d: a frame that lost the race is counted", m.Bytes(), bytes)
		}
	}
}

func TestPlainMessageHasOneFrameForEveryForm(t *testing.T) {
	frame := base.NewFrame(0, appender(`2["hello"]`))
	m := base.NewPlainMessage(frame)
	for _, f := range forms {
		if m.Frame(f) != frame {
			t.Errorf("form %d has another frame", f)
		}
	}
	if m.Bytes() != frame.Len() {
		t.Errorf("%d bytes, want %d: one frame", m.Bytes(), frame.Len())
	}
}

func TestMessageFrameAllocatesNothingOnceEncoded(t *testing.T) {
	m := base.NewMessage(new(counting))
	m.Frame(base.Envelope)
	if n := testing.AllocsPerRun(100, func() { m.Frame(base.Envelope) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
