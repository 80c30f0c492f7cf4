package transport_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/ws"
)

// ear keeps the messages of one connection and writes down whose they are.
type ear struct {
	name  string
	order *[]string
	got   []string
	held  int
}

func (e *ear) Message(data []byte, _ bool) error {
	e.got = append(e.got, string(data))
	*e.order = append(*e.order, e.name)
	return nil
}
func (*ear) Writable()                {}
func (*ear) Closed(base.Cause, error) {}

// shared are connections of one loop with turns; its steps are the test's.
type shared struct {
	driver *transport.Driver
	loop   *looptest.Loop
	turns  turns.Turns
	order  []string
}

func newShared(t *testing.T) *shared {
	s := &shared{driver: transport.NewDriver(), loop: looptest.New(t)}
	t.Cleanup(s.driver.Close)
	return s
}

func (s *shared) connect(t *testing.T, name string) (*transport.WebSocket, *ear) {
	t.Helper()
	server, _ := tcpPair(t)
	e := &ear{name: name, order: &s.order}
	w, err := s.driver.WebSocket(transport.Upgraded{Conn: server, Deflate: true}, &transport.WebSocketOptions{
		Loop: s.loop, Now: realTime(), Limit: 1_000_000, Turns: &s.turns, Hold: func(n int) { e.held += n },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.loop.Do(func() { w.Start(e) })
	t.Cleanup(func() { s.loop.Do(w.Abort) })
	return w, e
}

// step is a step of the loop, in which bytes may have come; it returns what was done.
func (s *shared) step(came func()) (units int) {
	s.loop.Do(func() {
		s.turns.Begin()
		if came != nil {
			came()
		}
		s.turns.Run()
		units = s.turns.Spent()
	})
	return units
}

// most is what a step may do: its bound, and one slice or small message more.
const most = turns.Step + turns.Share

// One client has sent a thousand messages at once: the next step belongs to others first, and a step handles no more
// than its share of it.
func TestFloodOfOneConnectionIsHandledInTurns(t *testing.T) {
	s := newShared(t)
	flood, heard := s.connect(t, "flood")
	other, calm := s.connect(t, "other")
	var batch []byte
	for i := range 1000 {
		batch = append(batch, masked(ws.Text, fmt.Sprint(i))...)
	}
	s.loop.Do(func() { s.turns.Begin(); flood.Receive(batch) })
	share := turns.Share/turns.Message + 1
	if n := len(heard.got); n == 0 || n > share {
		t.Errorf("%d of 1000 messages were handled at once, want 1 to %d", n, share)
	}
	if heard.held == 0 {
		t.Error("the rest is not counted as held")
	}
	s.step(func() { other.Receive(masked(ws.Text, "hello")) })
	if len(calm.got) != 1 || len(heard.got) > 2*share {
		t.Errorf("in the next step: %d messages of the other, %d of the flood", len(calm.got), len(heard.got))
	}
	for steps := 0; s.turns.Waiting() > 0; steps++ {
		if units := s.step(nil); units > most {
			t.Fatalf("a step did %d units of work, want %d at most", units, most)
		}
	}
	if len(heard.got) != 1000 || heard.got[999] != "999" || heard.held != 0 {
		t.Errorf("%d messages came, the last %q; %d bytes are held", len(heard.got), heard.got[len(heard.got)-1], heard.held)
	}
}

// A thousand clients that send at once have no more than a step together.
func TestManyConnectionsShareAStep(t *testing.T) {
	s := newShared(t)
	var all []*transport.WebSocket
	for range 40 {
		w, _ := s.connect(t, "x")
		all = append(all, w)
	}
	var batch []byte
	for i := range 64 {
		batch = append(batch, masked(ws.Text, fmt.Sprint(i))...)
	}
	units := s.step(func() {
		for _, w := range all {
			w.Receive(bytes.Clone(batch))
		}
	})
	for s.turns.Waiting() > 0 {
		units = max(units, s.step(nil))
	}
	if units > most || len(s.order) != 40*64 {
		t.Errorf("a step did %d units, want %d at most; %d messages came of %d", units, most, len(s.order), 40*64)
	}
}

// Who comes with something new, and more of it than the loop can do, does not keep those who wait from their turns.
func TestNewcomersDoNotStarveThoseWhoWait(t *testing.T) {
	s := newShared(t)
	flood, heard := s.connect(t, "flood")
	var crowd []*transport.WebSocket
	for range 40 {
		w, _ := s.connect(t, "crowd")
		crowd = append(crowd, w)
	}
	var large, small []byte
	for i := range 1000 {
		large = append(large, masked(ws.Text, fmt.Sprint(i))...)
		if i < 30 {
			small = append(small, masked(ws.Text, fmt.Sprint(i))...)
		}
	}
	s.step(func() { flood.Receive(large) })
	for range 100 {
		s.step(func() {
			for _, w := range crowd {
				w.Receive(bytes.Clone(small))
			}
		})
	}
	if len(heard.got) != 1000 {
		t.Errorf("%d of 1000 messages were handled in a hundred steps", len(heard.got))
	}
}

// What waits behind a read is counted as what it is, not as the buffer it was read into.
func TestRestIsCountedAsWhatItIs(t *testing.T) {
	s := newShared(t)
	w, e := s.connect(t, "x")
	begun := ws.AppendMasked(nil, ws.Text, [4]byte{}, []byte("begun"))
	s.step(func() { w.Receive(begun[:3]) })
	large := make([]byte, 64<<10)
	n := copy(large, append(bytes.Clone(begun[3:]), masked(ws.Text, "after")...))
	s.loop.Do(func() {
		s.turns.Begin()
		s.turns.Spend(turns.Step)
		w.Receive(large[:n])
	})
	if e.held > 1<<10 {
		t.Errorf("%d bytes are held of %d that came", e.held, n)
	}
	s.step(nil)
	if len(e.got) != 2 || e.held != 0 {
		t.Errorf("%q came, %d bytes are held", e.got, e.held)
	}
}

// What a goroutine had read is handled, though the connection breaks before its task comes.
func TestReadBeforeTheConnectionBrokeIsHandled(t *testing.T) {
	loop := looptest.New(t)
	driver := transport.NewDriver()
	t.Cleanup(driver.Close)
	server, client := tcpPair(t)
	var order []string
	e := &ear{order: &order}
	w, err := driver.WebSocket(transport.Upgraded{Conn: server}, &transport.WebSocketOptions{Loop: loop, Now: realTime(), Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	loop.Do(func() {
		w.Start(e)
		if _, err := client.Write(masked(ws.Text, "last words")); err != nil {
			t.Error(err)
		}
		for !loop.Waits() { // the task with what was read
			runtime.Gosched()
		}
		_ = client.(*net.TCPConn).SetLinger(0)
		_ = client.Close()
		for err = nil; err == nil; _, err = w.Write(ws.AppendFrame(nil, ws.Text, []byte("x"))) {
			runtime.Gosched()
		}
	})
	driver.Close()
	loop.Pass()
	if len(e.got) != 1 {
		t.Errorf("%q came, want what was sent before the connection broke", e.got)
	}
}

func deflated(t *testing.T, text []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w, err := flate.NewWriter(&z, flate.BestCompression)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return compressedFrame(bytes.TrimSuffix(z.Bytes(), []byte{0, 0, 0xff, 0xff}))
}

func compressedFrame(packed []byte) []byte {
	frame := ws.AppendMasked(nil, ws.Text, [4]byte{}, packed)
	frame[0] |= 0x40
	return frame
}

// Kilobytes on the wire are megabytes to inflate: that counts, and is done in slices.
func TestInflatingIsDoneInTurns(t *testing.T) {
	long := `42["x","` + strings.Repeat("a", 999_000) + `"]`
	mixed := make([]byte, 300_000)
	for i, x := 0, uint32(1); i < len(mixed); i++ {
		x = x*1664525 + 1013904223
		mixed[i] = 'a' + byte(x>>24)%26
	}
	empty := bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 100_000) // blocks without a byte
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"a thousandfold", deflated(t, []byte(long)), long},
		{"incompressible", deflated(t, mixed), string(mixed)},
		{"empty blocks", compressedFrame(empty[:len(empty)-4]), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShared(t)
			w, e := s.connect(t, "deflate")
			s.step(func() { w.Receive(append(c.frame, masked(ws.Text, "after")...)) })
			steps := 1
			for ; s.turns.Waiting() > 0; steps++ {
				if units, most := s.step(nil), most+turns.Parsed*len(c.want); units > most {
					t.Fatalf("a step did %d units of work, want %d at most", units, most)
				}
			}
			if len(e.got) != 2 || e.got[0] != c.want || e.got[1] != "after" {
				t.Fatalf("%d messages came", len(e.got))
			}
			if steps < 10 || e.held != 0 {
				t.Errorf("%d steps; %d bytes are held", steps, e.held)
			}
		})
	}
}

// A connection that ends in the middle of a message lets go of all it held; TestMain finds what is left running.
func TestConnectionEndsWhileItInflates(t *testing.T) {
	s := newShared(t)
	w, e := s.connect(t, "deflate")
	s.step(func() { w.Receive(compressedFrame(bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 10_000))) })
	if e.held == 0 {
		t.Error("what is being inflated is not counted as held")
	}
	s.loop.Do(w.Abort)
	s.driver.Close()
	s.loop.Pass()
	s.step(nil)
	if e.held != 0 || len(e.got) != 0 {
		t.Errorf("%d bytes are held, %d messages came", e.held, len(e.got))
	}
}
