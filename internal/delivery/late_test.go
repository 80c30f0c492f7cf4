package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/topiclog/logtest"
)

// broker is a stand-in for one: it makes the logs of topics, whose positions come late.
type broker struct {
	mu    sync.Mutex
	logs  map[string]topiclog.Log
	held  chan struct{} // closed: positions come
	fails error         // of all appends, later
}

func (b *broker) open(_, topic string, deliver topiclog.Deliver) topiclog.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	inner := &slow{Log: topiclog.NewMemory("epoch-"+topic, topiclog.Limits{Records: 1 << 20}), of: b}
	b.logs[topic] = logtest.Late(inner, deliver)
	return b.logs[topic]
}

// slow is a log that places nothing while its broker is held.
type slow struct {
	topiclog.Log
	of *broker
}

func (s *slow) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	<-s.of.held
	if s.of.fails != nil {
		return topiclog.Position{}, nil, s.of.fails
	}
	return s.Log.Append(r)
}

// brokered is a rig whose topics have late logs.
func brokered(t *testing.T, o delivery.Options) (*rig, *broker) {
	b := &broker{logs: make(map[string]topiclog.Log), held: make(chan struct{})}
	close(b.held)
	o.Log = b.open
	return newRig(t, o), b
}

// hold makes positions wait until the returned function is called.
func (b *broker) hold() (release func()) {
	held := make(chan struct{})
	b.held = held
	return sync.OnceFunc(func() { close(held) })
}

// Positions that come late: every shard sees one order, also who joins meanwhile; publishers are told the position and the
// outcome; nothing is held afterwards.
func TestLateLogsKeepTheOrder(t *testing.T) {
	const publishers, each, shards = 6, 60, 3
	r, _ := brokered(t, options(shards, topic("a", deep()), topic("b", deep())))
	clients, told := r.rush(publishers, each, func(string) {})
	for name, at := range told {
		tails(t, clients, name, byOffset(at))
	}
	if last := r.ns.LastOf("a"); last.Offset != publishers*each/2 || last.Previous != last.Offset-1 || last.Epoch != "epoch-a" {
		t.Errorf("the last is at %+v", last)
	}
	if sent := r.publish("a", "1").Receipt(t.Context()); sent.Subscribers != shards || !sent.Complete {
		t.Errorf("receipt %+v", sent)
	}
	if held := r.account(); held != 0 {
		t.Errorf("%d bytes held", held)
	}
}

// A publisher waits for its position as long as it may; what it did not wait for is delivered all the same, and a log that
// fails is a refusal that leaves nothing behind.
func TestPublisherWaitsForItsPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(1, topic("ticks", latest()))
		o.BudgetBytes = 1 << 30
		r, b := brokered(t, o)
		c := r.connect(0)
		c.join("ticks")
		release := b.hold()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Publish(short, r.ns, "ticks", &delivery.Publication{Payload: []byte("1")}, true); !errors.Is(err, delivery.ErrUndecided) || !errors.Is(err, delivery.ErrBusy) {
			t.Errorf("a publisher that has waited in vain: %v", err)
		}
		patient := make(chan error)
		go func() {
			sent, err := r.Publish(t.Context(), r.ns, "ticks", &delivery.Publication{Payload: []byte("2")}, true)
			if err == nil && sent.Offset != 2 {
				err = fmt.Errorf("offset %d", sent.Offset)
			}
			patient <- err
		}()
		synctest.Wait()
		if got := c.received(); len(got) != 0 {
			t.Errorf("delivered before it was placed: %q", got[0].text)
		}
		release()
		if err := <-patient; err != nil {
			t.Error(err)
		}
		if got := sequence(c, "ticks"); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("read %q", got)
		}
		b.fails = topiclog.ErrFull
		if _, err := r.Publish(t.Context(), r.ns, "ticks", &delivery.Publication{Payload: []byte("3")}, true); !errors.Is(err, delivery.ErrBusy) || !errors.Is(err, topiclog.ErrFull) {
			t.Errorf("a log that is full: %v", err)
		}
		if held := r.account(); held != 0 || r.ns.Declared("ticks").AllRefused() != 2 {
			t.Errorf("%d bytes held, %d refused", held, r.ns.Declared("ticks").AllRefused())
		}
		release = b.hold()
		stuck := make(chan error)
		go func() {
			_, err := r.Publish(t.Context(), r.ns, "ticks", &delivery.Publication{Payload: []byte("4")}, true)
			stuck <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); r.Close() }()
		release()
		<-closed
		t.Logf("who published while the hub was closed is told %v", <-stuck)
	})
}

// Records of other nodes come through the log, between this node's, and to whom they are for.
func TestRecordsOfOtherNodesAreDelivered(t *testing.T) {
	r, b := brokered(t, options(2, topic("ticks", latest()), topic("sure", certain())))
	one, two := r.connect(0), r.connect(1)
	var id string
	one.do(func() {
		s := one.conn.OpenSocket(r.ns, one.conn.NewSocketID(), "alice", one)
		id = s.ID
		if err := s.Join("red"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"ticks", "sure"} {
			if err := s.Subscribe(name, delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
				t.Error(err)
			}
		}
	})
	two.join("ticks", "sure")
	tap := r.Tap("/feed", "")
	defer tap.Close()
	now := time.Now().UnixNano()
	to := []topiclog.Recipient{{}, {Principal: "alice"}, {Socket: id}, {Room: "red"}, {Principal: "bob"}}
	for _, name := range []string{"ticks", "sure"} {
		r.publish(name, `"mine"`)
		for n, whom := range to {
			record := &topiclog.Record{Namespace: "/feed", Topic: name, ID: fmt.Sprint("other", n), At: now, To: whom, Payload: fmt.Appendf(nil, "%d", n)}
			if n == 0 {
				record.Expires = now + int64(time.Hour)
			}
			_, later, err := b.logs[name].Append(record)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := later.Wait(t.Context()); err != nil || at.Offset != uint64(n+2) {
				t.Errorf("%s: placed at %+v, %v", name, at, err)
			}
		}
		stale := &topiclog.Record{Namespace: "/feed", Topic: name, ID: "stale", At: now - 2, Expires: now - 1, Payload: []byte(`"stale"`)}
		_, later, err := b.logs[name].Append(stale)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := later.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got, want := sequence(one, name), []string{`"mine"`, "0", "1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("%s: who is meant read %q, want %q", name, got, want)
		}
		if got, want := sequence(two, name), []string{`"mine"`, "0"}; !slices.Equal(got, want) {
			t.Errorf("%s: who is not meant read %q, want %q", name, got, want)
		}
	}
	if n := len(tap.C); n != 2*(1+len(to)+1) {
		t.Errorf("%d observed", n)
	}
}

// A publisher who has not waited for the position and tries again under the same id publishes nothing twice: the second attempt
// waits for what becomes of the first, and is done itself only if that failed.
func TestAnUnsettledPublicationIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := brokered(t, options(1, topic("ticks", latest())))
		c := r.connect(0)
		c.join("ticks")
		tap := r.Tap("/feed", "")
		defer tap.Close()
		send := func(ctx context.Context, payload string) (*delivery.Pending, error) {
			return r.Publish(ctx, r.ns, "ticks", &delivery.Publication{ID: payload, Payload: []byte(payload)}, true)
		}
		giveUp := func(payload string) (release func()) {
			release = b.hold()
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := send(short, payload); !errors.Is(err, delivery.ErrUndecided) || !errors.Is(err, delivery.ErrBusy) {
				t.Errorf("a publisher that has waited in vain: %v", err)
			}
			return release
		}
		release := giveUp("1")
		again := make(chan error)
		go func() {
			sent, err := send(t.Context(), "1")
			if err == nil && (!sent.Duplicate || sent.Offset != 1 || !sent.Receipt(t.Context()).Complete) {
				err = fmt.Errorf("%+v", sent)
			}
			again <- err
		}()
		synctest.Wait()
		release()
		if err := <-again; err != nil {
			t.Errorf("the second attempt: %v", err)
		}
		if sent, err := send(t.Context(), "1"); err != nil || !sent.Duplicate || sent.Offset != 1 {
			t.Errorf("the third attempt: %+v, %v", sent, err)
		}
		if got := sequence(c, "ticks"); !slices.Equal(got, []string{"1"}) || len(tap.C) != 1 {
			t.Errorf("read %q, %d observed", got, len(tap.C))
		}

		b.fails = topiclog.ErrFull
		release = giveUp("2")
		release()
		synctest.Wait()
		b.fails = nil
		if sent, err := send(t.Context(), "2"); err != nil || sent.Duplicate {
			t.Errorf("after an attempt that failed late: %+v, %v", sent, err)
		}
		if got := sequence(c, "ticks"); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("read %q", got)
		}
	})
}

// What another node's clients alone get, its emits, takes a place here, and nobody gets anything.
func TestVolatileRecordsOfOtherNodesAreSkipped(t *testing.T) {
	r, b := brokered(t, options(1, topic("ticks", latest())))
	c := r.connect(0)
	c.join("ticks")
	r.publish("ticks", "1")
	_, later, err := b.logs["ticks"].Append(&topiclog.Record{Namespace: "/feed", Topic: "ticks", At: time.Now().UnixNano(), Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	at, err := later.Wait(t.Context())
	if last := r.ns.LastOf("ticks"); err != nil || last != at || at.Offset != 2 {
		t.Errorf("placed at %+v, the last is %+v, %v", at, last, err)
	}
	r.publish("ticks", "3")
	if got := sequence(c, "ticks"); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("read %q", got)
	}
}

// Publishers that wait for their positions hold no room: the log's goroutine needs it to deliver what they wait for.
func TestWaitingForAPositionTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 6 << 20 // two of them leave too little of an inbox for one more
		big := latest()
		big.MaxBytes = 2 * each
		r, b := brokered(t, options(1, topic("big", big)))
		r.connect(0).join("big")
		release := b.hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sent := make(chan error)
		for range 2 {
			go func() {
				_, err := r.Publish(ctx, r.ns, "big", &delivery.Publication{Payload: make([]byte, each), Binary: true}, false)
				sent <- err
			}()
		}
		synctest.Wait()
		release()
		for range 2 {
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
	})
}
