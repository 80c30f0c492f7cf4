package base_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
)

// counting is an encoder that says what it was asked for and counts how often.
type counting struct {
	calls [256]atomic.Int32
}

func (c *counting) Encode(m *base.Message, f base.Form) *base.Frame {
	c.calls[f].Add(1)
	return packet.NewFrame(0, func(dst []byte) []byte { return fmt.Appendf(dst, "%s as %d", m.ID, f) })
}

// other and last are dialects besides the first.
var other, last = base.NewDialect(1, 0), base.NewDialect(7, 3)

var forms = func() (all []base.Form) {
	for _, d := range []base.Dialect{0, other, base.NewDialect(0, 1), last} {
		for _, f := range []base.Form{base.Plain, base.Envelope} {
			for _, answer := range []base.Form{0, base.Callback} {
				all = append(all, (f | answer).In(d), (f | answer | base.Redelivered).In(d))
			}
		}
	}
	return all
}()

func TestFormsAreDistinct(t *testing.T) {
	seen := make(map[base.Form]bool)
	for _, f := range forms {
		if seen[f] {
			t.Errorf("form %d twice", f)
		}
		seen[f] = true
	}
}

// A dialect is the same whatever the shape, and a shape in whatever dialect.
func TestFormIsAShapeInADialect(t *testing.T) {
	for p := range base.Parser(8) {
		for v := range base.Protocol(4) {
			d := base.NewDialect(p, v)
			if d.Parser() != p || d.Protocol() != v || d >= base.Dialects {
				t.Fatalf("dialect %d is %v, want parser %d, protocol %d", d, d, p, v)
			}
			for _, shape := range []base.Form{base.Plain, base.Envelope | base.Callback, base.Redelivered} {
				f := shape.In(d)
				if f.Dialect() != d || f.In(0) != shape || f|base.Envelope != (shape|base.Envelope).In(d) {
					t.Fatalf("form %d in %v is %d, of dialect %d", shape, d, f, f.Dialect())
				}
			}
		}
	}
	if base.NewDialect(base.JSON, base.EIO4) != 0 {
		t.Error("JSON over Engine.IO 4 is not the zero dialect")
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
		var got [shards][256]*base.Frame
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

// A plain message is one packet: its shape is the same in every form, and each dialect has it translated once.
func TestPlainMessageHasOneFrameForEveryDialect(t *testing.T) {
	frame := packet.NewFrame(0, appender(`2["hello"]`))
	made := map[base.Dialect]*base.Frame{0: frame}
	m := new(base.Message)
	m.InitPlain(frame, func(f *base.Frame, d base.Dialect) *base.Frame {
		if f != frame || made[d] != nil {
			t.Errorf("%v is asked for again, or not of the first frame", d)
		}
		made[d] = base.RawFrame(make([]byte, 10+int(d)))
		return made[d]
	})
	for _, f := range forms {
		if got := m.Frame(f); got != made[f.Dialect()] {
			t.Errorf("form %d has another frame than its dialect", f)
		}
	}
	want := 0
	for _, f := range made {
		want += f.Len()
	}
	if len(made) != 4 || m.Bytes() != want {
		t.Errorf("%d bytes in %d dialects, want %d in 4", m.Bytes(), len(made), want)
	}
}

// The place for other dialects costs nothing: a message is not larger than when it had none.
func TestMessageStaysInItsSizeClass(t *testing.T) {
	if size := unsafe.Sizeof(base.Message{}); size > 176 {
		t.Errorf("a message has %d bytes, want 176 at most", size)
	}
}

func TestMessageFrameAllocatesNothingOnceEncoded(t *testing.T) {
	m := base.NewMessage(new(counting))
	for _, f := range []base.Form{base.Envelope, base.Redelivered, base.Envelope.In(last)} {
		m.Frame(f)
		if n := testing.AllocsPerRun(100, func() { m.Frame(f) }); n != 0 {
			t.Errorf("form %d: %v allocations", f, n)
		}
	}
}
