package delivery_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/topiclog"
)

// remote is a log that comes from elsewhere, as far as following it is concerned.
type remote struct {
	topiclog.Log
	mu      sync.Mutex
	follows bool
	times   int
	fails   error
}

func (l *remote) Follow(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times++
	l.follows = l.fails == nil
	return l.fails
}

func (l *remote) Unfollow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.follows = false
}

func (l *remote) want(t *testing.T, when string, follows bool, times int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.follows != follows || l.times != times {
		t.Errorf("%s it is followed: %t, after %d times", when, l.follows, l.times)
	}
}

// remoteRig has topics whose logs come from elsewhere.
func remoteRig(t *testing.T, specs ...delivery.TopicSpec) (*rig, map[string]*remote) {
	logs := make(map[string]*remote)
	for i := range specs {
		specs[i].Journal = true
		logs[specs[i].Name] = &remote{Log: topiclog.NewMemory("e", topiclog.Limits{})}
	}
	o := options(2, specs...)
	o.Open = func(_ *delivery.Declared, name string, _ topiclog.Deliver) (topiclog.Log, error) {
		return logs[name], nil
	}
	r := newRig(t, o)
	if err := r.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, logs
}

// A topic hears others from when somebody needs it until a minute after nobody does; what is published here has its place
// all the while.
func TestTopicHearsOthersWhileItIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logs := remoteRig(t, topic("ticks", latest()))
		log := logs["ticks"]
		r.publish("ticks", "1")
		log.want(t, "published to", false, 0)
		c := r.connect(0)
		s := c.join()
		subscribe := func() (err error) {
			c.do(func() { err = s.Subscribe("ticks", delivery.SubscribeOptions{}, func(delivery.Subscription) {}) })
			return err
		}
		if err := subscribe(); !errors.Is(err, delivery.ErrOpening) || r.ns.Ready("ticks") {
			t.Errorf("a subscription before it hears: %v", err)
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := r.ns.Hear(t.Context(), "ticks"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := subscribe(); err != nil || !r.ns.Ready("ticks") {
			t.Fatal(err)
		}
		log.want(t, "with a subscriber", true, 1)
		time.Sleep(10 * time.Minute)
		log.want(t, "ten minutes later", true, 1)
		c.do(func() { s.Unsubscribe("ticks") })
		time.Sleep(30 * time.Second)
		log.want(t, "soon after the last has left", true, 1)
		time.Sleep(3 * time.Minute)
		log.want(t, "long after", false, 1)
		if sent := r.publish("ticks", "2"); sent.Offset != 2 {
			t.Errorf("published at %+v", sent.Placed)
		}
		log.fails = errors.New("away")
		if _, err := r.ns.Hear(t.Context(), "ticks"); !errors.Is(err, delivery.ErrLog) || r.ns.Ready("ticks") {
			t.Errorf("a log that cannot be followed: %v", err)
		}
		log.want(t, "which has failed", false, 2)
	})
}

// Who observes needs it too, and so does a topic that keeps its newest values for who comes later.
func TestObserversAndSnapshotsHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newest := keeping("newest", latest().Overflow, 8, 1000)
		newest.Snapshot = true
		r, logs := remoteRig(t, topic("ticks", latest()), topic("other", latest()), newest)
		synctest.Wait()
		logs["newest"].want(t, "from the beginning", true, 1)
		tap := r.Tap("/feed", "ticks")
		synctest.Wait()
		logs["ticks"].want(t, "observed", true, 1)
		logs["other"].want(t, "not observed", false, 0)
		time.Sleep(10 * time.Minute)
		logs["ticks"].want(t, "still observed", true, 1)
		tap.Close()
		time.Sleep(3 * time.Minute)
		logs["ticks"].want(t, "not observed any more", false, 1)
		logs["newest"].want(t, "long after", true, 1)
	})
}
