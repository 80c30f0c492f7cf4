package peer_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// source is a connection that always has something to read.
type source struct{ net.Conn }

func (source) Read(b []byte) (int, error)      { return len(b), nil }
func (source) SetReadDeadline(time.Time) error { return nil }
func (source) Close() error                    { return nil }

func TestPacedReadsAtItsRateAndDoesNotCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 1000
		c := peer.NewPaced(source{}, rate)
		readFor := func(d time.Duration) (total int) {
			buf := make([]byte, 4096)
			for end := time.Now().Add(d); ; {
				if err := c.SetReadDeadline(end); err != nil {
					t.Fatal(err)
				}
				n, err := c.Read(buf)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return total
				}
				total += n
			}
		}
		if n := readFor(10 * time.Second); n < 10*rate || n > 10*rate+rate/8 {
			t.Errorf("%d bytes in 10 s at %d a second", n, rate)
		}
		time.Sleep(time.Hour) // nobody reads
		if n := readFor(time.Second); n > rate+rate/8 {
			t.Errorf("%d bytes in the second after a pause: it caught up", n)
		}
		peer.SetRate(c, 1)
		if n := readFor(5 * time.Second); n < 4 || n > 6 {
			t.Errorf("%d bytes in 5 s at one a second", n)
		}
	})
}

func TestPacedStalledWakesForARateADeadlineAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := peer.NewPaced(source{}, peer.Stalled)
		type result struct {
			n   int
			err error
		}
		results := make(chan result)
		read := func() {
			n, err := c.Read(make([]byte, 10))
			results <- result{n, err}
		}
		expect := func(what string, ok func(result) bool) {
			t.Helper()
			if r := <-results; !ok(r) {
				t.Errorf("%s: %+v", what, r)
			}
		}
		asleep := func() {
			t.Helper()
			time.Sleep(time.Hour)
			select {
			case r := <-results:
				t.Fatalf("it read: %+v", r)
			default:
			}
		}
		go read()
		asleep()
		peer.SetRate(c, 0)
		expect("a rate", func(r result) bool { return r.n == 10 && r.err == nil })

		peer.SetRate(c, peer.Stalled)
		go read()
		asleep()
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		expect("a deadline", func(r result) bool { return errors.Is(r.err, os.ErrDeadlineExceeded) })

		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go read()
		asleep()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		expect("close", func(r result) bool { return errors.Is(r.err, net.ErrClosed) && !errors.Is(r.err, io.EOF) })
	})
}

// late is a connection whose bytes come just when it is stalled.
type late struct {
	net.Conn
	stall func()
}

func (l *late) Read(b []byte) (int, error) {
	if l.stall != nil {
		l.stall()
		l.stall = nil
		return copy(b, "late"), nil
	}
	return copy(b, "next"), nil
}
func (*late) SetReadDeadline(time.Time) error { return nil }

func TestPacedHoldsWhatCameWithTheStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &late{}
		c := peer.NewPaced(conn, 0)
		conn.stall = func() { peer.SetRate(c, peer.Stalled) }
		read := make(chan string)
		go func() {
			b := make([]byte, 100)
			for range 3 {
				n, err := c.Read(b)
				if err != nil {
					t.Errorf("read: %v", err)
				}
				read <- string(b[:n])
			}
		}()
		time.Sleep(time.Hour)
		select {
		case got := <-read:
			t.Fatalf("a stalled connection was read: %q", got)
		default:
		}
		peer.SetRate(c, 16) // steps of two bytes
		if got := <-read + <-read + <-read; got != "latene" {
			t.Errorf("after the stall came %q, want what came with it first", got)
		}
	})
}
