package demo_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/cmd/weir/internal/demo"
	"github.com/streamweir/weir/internal/wire/ws"
)

// chatter writes packets nobody needs to a client as fast as it takes them. It returns how many bytes it has taken
// since the last call.
func chatter(l *link) (taken func() int) {
	frame := ws.AppendFrame(nil, ws.Text, []byte("6"+strings.Repeat("x", 47)))
	var total atomic.Int64
	go func() {
		for {
			n, err := l.conn.Write(frame)
			total.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return func() int {
		synctest.Wait()
		return int(total.Swap(0))
	}
}

func TestPaceIsKeptByItsClients(t *testing.T) {
	for _, rate := range []int{demo.MinRate, 4 << 10, demo.MaxRate} {
		synctest.Test(t, func(t *testing.T) {
			const seconds = 60
			p := newFar(t)
			_, stop := p.run(demo.NewPace(demo.Setting{Rate: rate}))
			defer stop()
			taken := chatter(p.join("id"))
			time.Sleep(seconds * time.Second)
			most, least := rate*seconds+rate/8, rate*seconds*9/10
			if got := taken(); got > most || got < least {
				t.Errorf("rate %d: took %d bytes in %d s, want %d to %d", rate, got, seconds, least, most)
			}
		})
	}
}

func TestPaceChangesForAllItsClientsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := demo.NewPace(demo.Setting{Rate: 1024})
		var taken []func() int
		var stops []func()
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		for range 3 {
			p := newFar(t)
			_, stop := p.run(pace)
			stops = append(stops, stop)
			taken = append(taken, chatter(p.join("id")))
		}
		expect := func(when string, least, most int) {
			t.Helper()
			for i, f := range taken {
				if got := f(); got < least || got > most {
					t.Errorf("%s: client %d took %d bytes, want %d to %d", when, i, got, least, most)
				}
			}
		}
		time.Sleep(10 * time.Second)
		expect("10 s at 1 KiB/s", 9<<10, 11<<10)
		pace.Set(demo.Setting{Rate: 1024, Stalled: true})
		expect("before the stall", 0, 128)
		time.Sleep(time.Hour)
		expect("stalled", 0, 0)
		pace.Set(demo.Setting{Rate: 1024})
		time.Sleep(10 * time.Second)
		expect("10 s after the stall, which is not made up for", 9<<10, 11<<10)
		pace.Set(demo.Setting{Rate: demo.MinRate})
		time.Sleep(10 * time.Second)
		expect("10 s at the lowest rate", demo.MinRate*9, demo.MinRate*11)
	})
}

func TestPaceAwaitReturnsWithTheStallOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := demo.NewPace(demo.Setting{Stalled: true})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- pace.Await(ctx) }()
		time.Sleep(time.Hour)
		select {
		case err := <-ended:
			t.Fatalf("Await returned %v during the stall", err)
		default:
		}
		pace.Set(demo.Setting{})
		if err := <-ended; err != nil {
			t.Errorf("Await returned %v after the stall", err)
		}
		pace.Set(demo.Setting{Stalled: true})
		go func() { ended <- pace.Await(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Await returned %v after its context ended", err)
		}
	})
}
