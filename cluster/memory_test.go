package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/clustertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryIsABroker(t *testing.T) {
	clustertest.Run(t, func(testing.TB) *clustertest.Engine {
		m := cluster.NewMemory()
		return &clustertest.Engine{
			Broker:  m,
			Cut:     func(testing.TB) { m.Cut() },
			Stop:    func(testing.TB) { m.Stop() },
			Start:   func(testing.TB) { m.Start() },
			Forget:  func(testing.TB) { m.Forget() },
			Overrun: 64<<20/(64<<10) + 100,
		}
	})
}

// Who joins while the engine is away is told when the patience is over.
func TestJoinWaitsForTheEngine(t *testing.T) {
	m := cluster.NewMemory()
	m.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Join(ctx, "a", nil); !errors.Is(err, cluster.ErrAway) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// patient is a listener that is told why its Join waits.
type patient struct {
	cluster.Listener
	why chan error
}

func (p *patient) Waiting(why error) { p.why <- why }

// Who joins while the engine is away is told why, and has joined when it is there.
func TestJoinSaysWhyItWaits(t *testing.T) {
	m := cluster.NewMemory()
	m.Stop()
	p := &patient{why: make(chan error, 10)}
	go func() {
		if err := <-p.why; err == nil || err.Error() != "it was stopped" {
			t.Errorf("%v", err)
		}
		m.Start()
	}()
	k, err := m.Join(t.Context(), "a", p)
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

func TestOffsetsAscendWithTheClock(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		at   time.Time
		want uint64
	}{
		{time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), 1},
		{now, 365*86_400_000<<12 + 1},
		{now.Add(time.Millisecond), (365*86_400_000+1)<<12 + 1},
	} {
		if got := cluster.OffsetAt(row.at); got != row.want {
			t.Errorf("%s: %d, want %d", row.at, got, row.want)
		}
	}
	if got := cluster.OffsetAt(time.Date(2094, 1, 1, 0, 0, 0, 0, time.UTC)); got >= cluster.MaxOffset {
		t.Errorf("in 2094: %d", got)
	}
}
