package topiclog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/topiclog/logtest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// The keeper in memory, and one whose positions come late made of it, as a broker's do.
func TestMemoryIsALog(t *testing.T) {
	logtest.Run(t, logtest.Keeper{
		Open: func(_ testing.TB, l topiclog.Limits, _ topiclog.Deliver) topiclog.Log {
			return topiclog.NewMemory("e1", l)
		},
		Renumber: func(_ testing.TB, was topiclog.Log, _ topiclog.Deliver) topiclog.Log {
			was.Close()
			return topiclog.NewMemory("e2", topiclog.Limits{Records: 100})
		},
	})
}

func TestLateKeeperIsALog(t *testing.T) {
	logtest.Run(t, logtest.Keeper{
		Open: func(_ testing.TB, l topiclog.Limits, deliver topiclog.Deliver) topiclog.Log {
			if l.Records == 0 {
				return topiclog.NewMemory("e1", l) // what keeps nothing places at once
			}
			return logtest.Late(topiclog.NewMemory("e1", l), deliver)
		},
		Renumber: func(_ testing.TB, was topiclog.Log, deliver topiclog.Deliver) topiclog.Log {
			was.Close()
			return logtest.Late(topiclog.NewMemory("e2", topiclog.Limits{Records: 100}), deliver)
		},
	})
}

// What nobody appends to loses its old records too.
func TestMemoryExpires(t *testing.T) {
	m := topiclog.NewMemory("e", topiclog.Limits{Records: 10, Age: time.Second})
	for n := range 3 {
		if _, _, err := m.Append(&topiclog.Record{At: int64(n) * int64(time.Second), Payload: make([]byte, 10)}); err != nil {
			t.Fatal(err)
		}
	}
	if n, bytes := m.Held(); n != 2 || bytes != 2*(&topiclog.Record{Payload: make([]byte, 10)}).Size() {
		t.Errorf("%d records of %d bytes", n, bytes)
	}
	m.Expire(int64(3*time.Second) + 1)
	if n, bytes := m.Held(); n != 0 || bytes != 0 || m.Span() != (topiclog.Span{Epoch: "e", First: 4, Last: 3, Gave: 3}) {
		t.Errorf("%d records of %d bytes, %+v", n, bytes, m.Span())
	}
	topiclog.NewMemory("e", topiclog.Limits{}).Expire(1)
}

func TestLaterIsWaitedFor(t *testing.T) {
	l := topiclog.NewLater()
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := l.Wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that has ended: %v", err)
	}
	go l.Place(topiclog.Position{Epoch: "e", Offset: 7})
	if at, err := l.Wait(t.Context()); err != nil || at.Offset != 7 {
		t.Errorf("%+v, %v", at, err)
	}
	if at, err := l.Wait(ended); err != nil || at.Offset != 7 {
		t.Errorf("what is known need not be waited for: %+v, %v", at, err)
	}
	l = topiclog.NewLater()
	l.Fail(topiclog.ErrFull)
	if _, err := l.Wait(t.Context()); !errors.Is(err, topiclog.ErrFull) {
		t.Errorf("%v", err)
	}
}

// BenchmarkAppend is one record by what is kept.
func BenchmarkAppend(b *testing.B) {
	for _, keep := range []int{0, 100, 100_000} {
		b.Run(fmt.Sprintf("keep=%d", keep), func(b *testing.B) {
			m := topiclog.NewMemory("e", topiclog.Limits{Records: keep})
			r := &topiclog.Record{Payload: make([]byte, 128)}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Append(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
