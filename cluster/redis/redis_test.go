package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/clustertest"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/enginetest"
	"github.com/streamweir/weir/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, addr, prefix string) *redis.Broker {
	t.Helper()
	b, err := redis.New(redis.Options{URL: "redis://" + addr, KeyPrefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The suite, through a proxy that cuts and deafens.
func TestRedisIsABroker(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--client-output-buffer-limit", "pubsub 4mb 1mb 1")
	clustertest.Run(t, func(t testing.TB) *clustertest.Engine {
		s.Do("FLUSHALL")
		p := enginetest.NewProxy(t, s.Addr())
		return &clustertest.Engine{
			Broker:  open(t, p.Addr(), ""),
			Cut:     func(testing.TB) { p.Cut() },
			Stop:    func(testing.TB) { p.Refuse(true); p.Cut() },
			Start:   func(testing.TB) { p.Refuse(false) },
			Forget:  func(testing.TB) { s.Do("FLUSHALL") },
			Deafen:  func(testing.TB) { p.Deafen() },
			Overrun: 64<<20/(64<<10) + 100,
		}
	})
}

// The suite, with the process killed and started again, which tells nobody, and clients killed by the engine.
func TestRedisThatIsKilledIsABroker(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	clustertest.Run(t, func(t testing.TB) *clustertest.Engine {
		s.Do("FLUSHALL")
		return &clustertest.Engine{
			Broker: open(t, s.Addr(), ""),
			Cut:    func(testing.TB) { s.Do("CLIENT KILL TYPE normal"); s.Do("CLIENT KILL TYPE pubsub") },
			Stop:   func(testing.TB) { s.Kill() },
			Start:  func(testing.TB) { s.Restart(false) },
			Forget: func(testing.TB) { s.Kill(); s.Restart(true) },
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []redis.Options{
		{}, {URL: "http://x"}, {URL: "redis://a:1?addr=b:2"}, {URL: "redis://a:1", KeyPrefix: "{x}"}, {URL: "redis://a:1", LogTTL: 1},
		{URL: "redis://a:1?master_set=x"}, {URL: "redis://a:1", Sentinel: redis.Sentinel{Master: "m", Addresses: []string{"b:1"}}},
		{Sentinel: redis.Sentinel{Master: "m"}}, {Sentinel: redis.Sentinel{Addresses: []string{"b:1"}}},
		{Sentinel: redis.Sentinel{Master: "m", Addresses: []string{"b"}}}, {Sentinel: redis.Sentinel{Master: "m", Addresses: []string{"b:1"}, Username: "u"}},
	} {
		if _, err := redis.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if _, err := redis.New(redis.Options{URL: "redis://u:secret@[::1"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is told: %v", err)
	}
}

// Who waits for a Redis that is not there is told after each attempt which one it is and why, without its password.
func TestWhoWaitsForRedisIsTold(t *testing.T) {
	t.Parallel()
	p := enginetest.NewProxy(t, redistest.Start(t).Addr())
	p.Refuse(true)
	b, err := redis.New(redis.Options{URL: "redis://:secret@" + p.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &patient{newEar(), make(chan error, 10_000)}
	over := make(chan error)
	go func() {
		_, err := b.Join(ctx, "a", w)
		over <- err
	}()
	for range 2 {
		if text := (<-w.why).Error(); !strings.Contains(text, "redis at "+p.Addr()) || strings.Contains(text, "secret") {
			t.Errorf("it is told %s", text)
		}
	}
	cancel()
	if err := <-over; !errors.Is(err, cluster.ErrAway) {
		t.Errorf("%v", err)
	}
}
