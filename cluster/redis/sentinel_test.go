package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/redistest"
)

// watched is a master with a replica, and three sentinels that watch them.
type watched struct {
	t               *testing.T
	master, replica *redistest.Redis
	sentinels       []*redistest.Sentinel
}

func startWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, master: redistest.Start(t)}
	_, port, _ := strings.Cut(w.master.Addr(), ":")
	w.replica = redistest.Start(t, "--replicaof", "127.0.0.1", port)
	for range 3 {
		w.sentinels = append(w.sentinels, redistest.StartSentinel(t, w.master))
	}
	w.settled()
	return w
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-end:
			t.Fatalf("it is not so that %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// settled waits until one server is the master and the other has all it has, and all sentinels know both, and each other. Sentinels
// on a machine that is slow may change their minds meanwhile.
func (w *watched) settled() {
	w.t.Helper()
	eventually(w.t, "there is a master with a replica, and all sentinels know them", func() bool {
		if strings.Contains(w.replica.Try("INFO replication"), "role:master") {
			w.master, w.replica = w.replica, w.master
		}
		agree := strings.Contains(w.master.Try("INFO replication"), "role:master") &&
			strings.Contains(w.replica.Try("INFO replication"), "master_link_status:up")
		for _, s := range w.sentinels {
			agree = agree && strings.Contains(s.Try("INFO sentinel"), "status=ok,address="+w.master.Addr()+",slaves=1,sentinels=3")
		}
		return agree
	})
}

// broker reaches the master by way of the sentinels, of which the first is not there.
func (w *watched) broker() *redis.Broker {
	w.t.Helper()
	addresses := []string{"127.0.0.1:1"}
	for _, s := range w.sentinels {
		addresses = append(addresses, s.Addr())
	}
	b, err := redis.New(redis.Options{Sentinel: redis.Sentinel{Master: redistest.Master, Addresses: addresses}})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// appended appends until that succeeds.
func appended(t *testing.T, m cluster.Member, data string) (at cluster.Position) {
	t.Helper()
	eventually(t, "an append succeeds", func() bool {
		all, err := m.Append(t.Context(), "log", keep, []byte(data))
		if err == nil {
			at = all[0]
		}
		return err == nil
	})
	return at
}

// The sentinels make the replica master, while the old one lives, and when it is killed: subscriptions are on the new one, nothing
// is published to the old, and the log goes on.
func TestMembersFollowTheMaster(t *testing.T) {
	t.Parallel()
	w := startWatched(t)
	e := newEar()
	var members []cluster.Member
	for _, l := range []*ear{e, newEar()} {
		m, err := w.broker().Join(t.Context(), "a", l)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		members = append(members, m)
	}
	if err := errors.Join(members[0].Subscribe(t.Context(), "x", "y"), members[0].Follow(t.Context(), "log")); err != nil {
		t.Fatal(err)
	}
	last := appended(t, members[1], "0")
	replicated := func() {
		t.Helper()
		eventually(t, "the replica has the last entry", func() bool {
			const state = "GET weir:log:{log}:s"
			return w.master.Try(state) == w.replica.Try(state)
		})
	}
	moved := func(round string) {
		t.Helper()
		<-e.lapses
		at := appended(t, members[1], round)
		if at.Previous != last.Offset || at.Epoch != last.Epoch {
			t.Errorf("%s: %+v comes after %+v", round, at, last)
		}
		last = at
		eventually(t, "the subscriptions are on the new master", func() bool {
			return strings.Contains(w.master.Try("PUBSUB CHANNELS"), "weir:ch:y")
		})
		eventually(t, "a message comes", func() bool {
			return members[1].Publish(t.Context(), "x", []byte(round)) == nil && e.has("x "+round)
		})
	}
	replicated()
	if answer := w.sentinels[0].Try("SENTINEL FAILOVER " + redistest.Master); !strings.HasPrefix(answer, "+OK") {
		t.Fatal(answer)
	}
	was := w.master
	eventually(t, "the replica is master", func() bool {
		w.settled()
		return w.master != was
	})
	moved("the old master lives")
	w.settled()
	replicated()
	w.master.Kill()
	w.master = w.replica
	moved("the old master is dead")
}

// A member does not start on sentinels that are away, nor on a master they do not know.
func TestSentinelsThatKnowNothingAreTold(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, s)
	for _, o := range []redis.Sentinel{
		{Master: "other", Addresses: []string{sentinel.Addr()}}, {Master: redistest.Master, Addresses: []string{"127.0.0.1:1"}},
	} {
		b, err := redis.New(redis.Options{Sentinel: o})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = b.Join(ctx, "a", newEar())
		cancel()
		if !errors.Is(err, cluster.ErrAway) || !strings.Contains(err.Error(), "redis "+o.Master+" of the sentinels at") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
