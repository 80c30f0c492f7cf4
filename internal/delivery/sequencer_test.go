package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
)

// deep is a best-effort policy that drops nothing in these tests.
func deep() lane.Policy {
	return lane.Policy{Overflow: base.Disconnect, MaxMessages: 1 << 20, MaxBytes: 64 << 20, Weight: 1}
}

// rush has several publish to the topics "a" and "b" of r, each so often, while a client of each shard subscribes to both; what
// comes after is done after each publication. It returns what was published, by topic and offset.
func (r *rig) rush(publishers, each int, after func(payload string)) (clients []*client, told map[string]map[uint64]string) {
	names := []string{"a", "b"}
	shards := len(r.Shards())
	told = make(map[string]map[uint64]string)
	for _, name := range names {
		told[name] = make(map[uint64]string)
	}
	for i := range shards {
		c := r.connect(i)
		clients = append(clients, c)
		if c.join(); i == 0 {
			c.subscribe(c.conn.Sockets()[0], "a", delivery.SubscribeOptions{})
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				name, payload := names[i%2], fmt.Sprint(p*each+i)
				sent := r.publish(name, payload)
				mu.Lock()
				told[name][sent.Offset] = payload
				mu.Unlock()
				after(payload)
				if c := clients[i%shards]; p == 0 && i < 2*shards {
					c.subscribe(c.conn.Sockets()[0], names[i/shards], delivery.SubscribeOptions{})
				}
			}
		})
	}
	all.Wait()
	return clients, told
}

// tails fails unless each client has read what was published, from somewhere on, and the first of a topic "a" all of it.
func tails(t *testing.T, clients []*client, name string, want []string) {
	t.Helper()
	for i, c := range clients {
		got := sequence(c, name)
		if name == "a" && i == 0 && len(got) != len(want) {
			t.Errorf("who was there first read %d of %d", len(got), len(want))
		}
		if len(got) > len(want) || !slices.Equal(got, want[len(want)-len(got):]) {
			t.Errorf("%s: client %d read\n%q, published\n%q", name, i, got, want)
		}
	}
}

// byOffset is what was published by offset, which has no gaps.
func byOffset(at map[uint64]string) (payloads []string) {
	for o := uint64(1); o <= uint64(len(at)); o++ {
		payloads = append(payloads, at[o])
	}
	return payloads
}

// A topic has one order, the same on every shard, also for those who join while
// it is being published to; emits have one order per namespace.
func TestEveryShardSeesOneOrder(t *testing.T) {
	const publishers, each = 6, 150
	o := options(4, topic("a", deep()), topic("b", deep()))
	o.Namespaces[0].Events = deep()
	r := newRig(t, o)
	clients, told := r.rush(publishers, each, func(payload string) {
		if err := r.Emit(t.Context(), r.ns, "news", delivery.Emission{Frame: event("news", payload)}, delivery.Target{}); err != nil {
			t.Errorf("emit: %v", err)
		}
	})
	for name, at := range told {
		tails(t, clients, name, byOffset(at))
	}
	emits := sequence(clients[0], "news")
	if len(emits) != publishers*each {
		t.Errorf("%d of %d emits", len(emits), publishers*each)
	}
	tails(t, clients, "news", emits)
}

// sequence is what a client read under one name.
func sequence(c *client, name string) (out []string) {
	for _, p := range c.received() {
		if p.name() == name {
			out = append(out, string(p.args[1]))
		}
	}
	return out
}

// fillInbox leaves no room for publications on a blocked shard; there must be a
// subscriber of "filler" there.
func (r *rig) fillInbox() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // takes what room there is, and waits for none
	for _, size := range []int{1 << 20, 1} {
		for {
			_, err := r.Publish(ctx, r.ns, "filler", &delivery.Publication{Payload: make([]byte, size), Binary: true}, false)
			if errors.Is(err, delivery.ErrBusy) {
				break
			}
			if err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// All shards or none: a publication that finds no room anywhere is nowhere, and
// what it had reserved is given back.
func TestBusyPublicationIsDeliveredNowhere(t *testing.T) {
	r := newRig(t, options(2, topic("ticks", deep()), topic("filler", deep())))
	free, full := r.connect(0), r.connect(1)
	free.join("ticks")
	full.join("ticks", "filler")
	release := r.block(full.shard)
	r.fillInbox()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3000 { // more than the room on the other shard, were it kept
		_, err := r.Publish(ctx, r.ns, "ticks", &delivery.Publication{Payload: []byte(`"lost"`)}, true)
		if !errors.Is(err, delivery.ErrBusy) {
			t.Fatalf("published into a full inbox: %v", err)
		}
	}
	if got := r.ns.Declared("ticks").AllRefused(); got != 3000 {
		t.Errorf("%d counted as refused, want 3000", got)
	}
	release()
	sent := r.publish("ticks", `"found"`)
	if sent.Offset != 1 {
		t.Errorf("refused publications took offsets: the first is %d", sent.Offset)
	}
	for _, c := range []*client{free, full} {
		if got := sequence(c, "ticks"); !slices.Equal(got, []string{`"found"`}) {
			t.Errorf("client read %q", got)
		}
	}
	if held := r.account(); held != 0 {
		t.Errorf("%d bytes held", held)
	}
}

func TestPublishWaitsForRoomAsLongAsItMay(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", deep()), topic("filler", deep())))
	c := r.connect(0)
	c.join("ticks", "filler")
	release := r.block(c.shard)
	r.fillInbox()
	done := make(chan error)
	go func() {
		_, err := r.Publish(context.Background(), r.ns, "ticks", &delivery.Publication{Payload: []byte("1")}, false)
		done <- err
	}()
	release()
	if err := <-done; err != nil {
		t.Errorf("publish: %v", err)
	}
	if got := sequence(c, "ticks"); len(got) != 1 {
		t.Errorf("client read %q", got)
	}
}

// Publishers that wait for room do not wait for a hub that is closed.
func TestCloseReleasesWaitingPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options(1, topic("ticks", deep()), topic("filler", deep())))
		c := r.connect(0)
		c.join("ticks", "filler")
		release := r.block(c.shard)
		r.fillInbox()
		ctx, cancel := context.WithTimeout(t.Context(), longAgo)
		defer cancel()
		done := make(chan error, 6)
		for range cap(done) { // each takes the whole inbox
			go func() {
				_, err := r.Publish(ctx, r.ns, "ticks", &delivery.Publication{Payload: make([]byte, delivery.InboxRoom), Binary: true}, false)
				done <- err
			}()
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); r.Close() }()
		synctest.Wait()
		release()
		<-closed
		for range cap(done) {
			if err := <-done; errors.Is(err, delivery.ErrBusy) {
				t.Error("a publisher waited for a closed hub until its own deadline")
			}
		}
		if _, err := r.Publish(ctx, r.ns, "ticks", &delivery.Publication{Payload: []byte("1")}, false); !errors.Is(err, delivery.ErrClosed) {
			t.Errorf("publish after close: %v", err)
		}
	})
}

// Large messages each take a whole inbox, on shards that are subscribed to in
// descending order meanwhile: room is taken in one order, so nobody waits for ever.
func TestReservationsDoNotDeadlock(t *testing.T) {
	const shards = 4
	last := latest()
	last.MaxMessages, last.MaxBytes = 1, 16<<20
	r := newRig(t, options(shards, topic("*", last)))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 * shards {
		c := r.stalled(i % shards)
		s := c.join()
		wg.Go(func() {
			for n := shards; ; n-- {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprint("t", (n+i)&3)
				c.do(func() {
					if !s.Unsubscribe(name) {
						_ = s.Subscribe(name, delivery.SubscribeOptions{}, func(delivery.Subscription) {})
					}
				})
			}
		})
	}
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			payload := make([]byte, delivery.InboxRoom*5/8) // two of them are too many
			for i := range 8 {
				if _, err := r.Publish(t.Context(), r.ns, fmt.Sprint("t", (p+i)&3), &delivery.Publication{Payload: payload, Binary: true}, false); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	publishers.Wait()
	close(stop)
	wg.Wait()
}

func TestPublishingAnIDTwiceIsOnePublication(t *testing.T) {
	r := newRig(t, options(2, topic("ticks", latest())))
	c := r.connect(1)
	c.join("ticks")
	var mu sync.Mutex
	offsets, first := make(map[uint64]bool), 0
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got, err := r.Publish(t.Context(), r.ns, "ticks", &delivery.Publication{Payload: []byte("1"), ID: "order-1"}, false)
			if err != nil {
				t.Errorf("publish: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if offsets[got.Offset] = true; !got.Duplicate {
				first++
			}
			if got.MessageID != "order-1" {
				t.Errorf("message id %q", got.MessageID)
			}
		})
	}
	wg.Wait()
	if first != 1 || len(offsets) != 1 {
		t.Errorf("%d were the first, at offsets %v", first, offsets)
	}
	if got := sequence(c, "ticks"); len(got) != 1 {
		t.Errorf("client read %q", got)
	}
	r.publishWith("ticks", delivery.Publication{Payload: []byte("2"), ID: "order-2"})
	if got := sequence(c, "ticks"); len(got) != 2 {
		t.Errorf("client read %q", got)
	}
}

// A first attempt that failed does not stand in the way of the second, which may
// have been waiting for it.
func TestFailedAttemptLeavesItsIDFree(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", deep()), topic("filler", deep())))
	c := r.connect(0)
	c.join("ticks", "filler")
	release := r.block(c.shard)
	r.fillInbox()
	attempt := func(ctx context.Context) error {
		_, err := r.Publish(ctx, r.ns, "ticks", &delivery.Publication{Payload: []byte("1"), ID: "x"}, false)
		return err
	}
	short, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- attempt(short) }()
	go func() { second <- attempt(t.Context()) }()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := attempt(ended); !errors.Is(err, delivery.ErrBusy) {
		t.Errorf("an attempt that may not wait: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, delivery.ErrBusy) {
		t.Errorf("the attempt that gave up: %v", err)
	}
	release()
	if err := <-second; err != nil {
		t.Errorf("the attempt that waited: %v", err)
	}
	if got := sequence(c, "ticks"); len(got) != 1 {
		t.Errorf("client read %q", got)
	}
}

func TestTooLargeForAnyLaneIsToldToThePublisher(t *testing.T) {
	r := newRig(t, options(1, topic("ticks", latest())))
	_, err := r.Publish(t.Context(), r.ns, "ticks", &delivery.Publication{Payload: []byte(fill(1 << 20))}, false)
	if !errors.Is(err, delivery.ErrTooLarge) {
		t.Errorf("publish: %v", err)
	}
	err = r.Emit(t.Context(), r.ns, "news", delivery.Emission{Frame: event("news", fill(2<<20))}, delivery.Target{})
	if !errors.Is(err, delivery.ErrTooLarge) {
		t.Errorf("emit: %v", err)
	}
}
