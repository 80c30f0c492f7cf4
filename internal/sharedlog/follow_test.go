package sharedlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/sharedlog"
	"github.com/streamweir/weir/internal/topiclog"
)

// wished counts what a node asks of its broker and hears of it.
type wished struct {
	*node
	mu      sync.Mutex
	follows int // now
	reads   int
}

func (w *wished) count(follows, reads int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follows += follows
	w.reads += reads
}

func (w *wished) counts() (follows, reads int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.follows, w.reads
}

func (w *wished) Follow(ctx context.Context, logs ...string) error {
	w.count(1, 0)
	return w.node.Follow(ctx, logs...)
}

func (w *wished) Unfollow(logs ...string) {
	w.mu.Lock()
	w.follows = 0
	w.mu.Unlock()
	w.node.Unfollow(logs...)
}

func (w *wished) Read(ctx context.Context, log string, after uint64, most cluster.Limit) (cluster.Page, error) {
	w.count(0, 1)
	return w.node.Read(ctx, log, after, most)
}

// A log that is not followed costs nothing, whatever others append; what is appended here has its place and is delivered all the
// same. Followed, it goes on from that moment.
func TestLogIsDeliveredWhileItIsFollowed(t *testing.T) {
	b := cluster.NewMemory()
	w := &wished{node: join(t, b, nil)}
	s := newSeen(t)
	s.alone = true
	log, err := w.logs.Open(t.Context(), w, sharedlog.Options{Namespace: "/feed", Topic: "ticks", Keep: 1000, Deliver: s.deliver})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	_, opening := w.counts()
	theirs := open(t, join(t, b, nil), 1000, func(topiclog.Placement) {})
	both := func(round int) {
		for i := range 20 {
			for who, l := range map[string]*sharedlog.Log{"theirs": theirs, "mine": log} {
				if err := put(t, l, fmt.Sprint(who, round, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var want []string
	mine := func(round int) {
		for i := range 20 {
			want = append(want, fmt.Sprint("mine", round, i))
		}
	}
	both(1)
	if mine(1); !slices.Equal(s.ids, want) {
		t.Errorf("alone it delivers %q", s.ids)
	}
	b.Cut()
	both(2)
	mine(2)
	if follows, reads := w.counts(); follows != 0 || reads != opening || !slices.Equal(s.ids, want) {
		t.Errorf("not followed it has cost %d subscriptions and %d reads, and delivers %q", follows, reads-opening, s.ids)
	}
	if err := log.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	end, err := w.Member.Read(t.Context(), sharedlog.Name("/feed", "ticks"), cluster.MaxOffset-1, cluster.Limit{})
	if span := log.Span(); err != nil || span.Last != end.Last {
		t.Errorf("it is followed from %d, and the log is at %d, %v", span.Last, end.Last, err)
	}
	before := len(s.ids)
	both(3)
	s.until(before + 40)
	if got := s.ids[:before]; !slices.Equal(got, want) {
		t.Errorf("of what was before it delivers %q", got)
	}
	log.Unfollow()
	both(4)
	if follows, _ := w.counts(); follows != 0 {
		t.Error("it is still subscribed")
	}
	if err := log.Follow(t.Context()); err != nil { // what follows is known to be there when that has returned
		t.Fatal(err)
	}
	b.Stop()
	log.Unfollow()
	if err := log.Follow(t.Context()); !errors.Is(err, cluster.ErrAway) {
		t.Errorf("with a broker that is away: %v", err)
	}
}

// Publishers here and elsewhere go on while the log is followed and not, again and again: every append is answered, what is
// delivered has one order, and while it is followed nothing is missing.
func TestFollowingAgainAndAgainKeepsTheOrder(t *testing.T) {
	b := cluster.NewMemory()
	n := join(t, b, nil)
	s := newSeen(t)
	s.alone = true
	log := open(t, n, 1<<20, s.deliver)
	theirs := open(t, join(t, b, nil), 1<<20, func(topiclog.Placement) {})
	over := make(chan struct{})
	var publishers sync.WaitGroup
	for who, l := range map[string]*sharedlog.Log{"theirs": theirs, "mine": log} {
		publishers.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-over:
					return
				default:
				}
				if err := put(t, l, fmt.Sprint(who, k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		log.Unfollow()
		if err := log.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(over)
	publishers.Wait()
	const marked = "last"
	if err := put(t, theirs, marked); err != nil {
		t.Fatal(err)
	}
	for names := s.names(); !slices.Contains(names, marked); names = s.names() {
		s.until(len(names) + 1)
	}
	times := make(map[string]int)
	for _, id := range s.names() {
		times[id]++
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("%q is delivered %d times", id, n)
		}
	}
}

func (s *seen) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}
