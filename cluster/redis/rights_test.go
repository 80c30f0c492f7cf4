package redis_test

import (
	"errors"
	"os"
	"regexp"
	"testing"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/redistest"
)

// joinAs joins as a user who may do so much.
func joinAs(t *testing.T, s *redistest.Redis, user, rights string) (cluster.Member, *ear) {
	t.Helper()
	s.Do("ACL SETUSER " + user + " on >p " + rights)
	b, err := redis.New(redis.Options{URL: "redis://" + user + ":p@" + s.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	e := newEar()
	m, err := b.Join(t.Context(), "a", e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m, e
}

// An append that is stored, and whose script fails then, is not refused: it may be there.
func TestAppendThatFailsOnceItIsStoredIsUndecided(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for user, rights := range map[string]string{
		"hushed": "~* +@all resetchannels &weir:ch:* &weir:probe:*", "forgetful": "~* &* +@all -set",
	} {
		m, _ := joinAs(t, s, user, rights)
		if _, err := m.Append(t.Context(), user, cluster.AppendOptions{Keep: 10}, []byte("x")); !errors.Is(err, cluster.ErrUndecided) || errors.Is(err, cluster.ErrAway) {
			t.Errorf("%s: %v", user, err)
		}
	}
	if p, err := join(t, s.Addr(), "", newEar()).Read(t.Context(), "hushed", 0, cluster.Limit{Entries: 10, Bytes: 100}); err != nil || len(p.Entries) != 1 {
		t.Errorf("what nobody was told of is there as %+v, %v", p, err)
	}
}

// The rights that the guide names are enough for all that a member does.
func TestRightsOfTheGuideAreEnough(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^ACL SETUSER weir on >\S+ (.*)$`).FindSubmatch(guide)
	if rights == nil {
		t.Fatal("the guide names no rights")
	}
	s := redistest.Start(t)
	m, e := joinAs(t, s, "weir", string(rights[1]))
	if err := errors.Join(m.Subscribe(t.Context(), "c", "d"), m.Follow(t.Context(), "l"), m.Publish(t.Context(), "c", nil)); err != nil {
		t.Fatal(err)
	}
	m.Unsubscribe("d")
	for range 50 { // and blocks are to go
		if _, err := m.Append(t.Context(), "l", cluster.AppendOptions{Keep: 3}, []byte("x"), []byte("y")); err != nil {
			t.Fatal(err)
		}
		<-e.entries
		<-e.entries
	}
	if p, err := m.Read(t.Context(), "l", 0, cluster.Limit{Entries: 10, Bytes: 100}); err != nil || len(p.Entries) != 3 {
		t.Errorf("%+v, %v", p, err)
	}
	s.Do("DEL weir:log:{l}") // the stream is lost and its state is not
	if _, err := m.Append(t.Context(), "l", cluster.AppendOptions{Keep: 3}, []byte("x")); err != nil {
		t.Error(err)
	}
	if up := m.State(); !up.Up {
		t.Errorf("%+v", up)
	}
}
