package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// roomy is a lane nothing in these tests can overflow.
var roomy = weir.Limits{Messages: 100_000, Bytes: 64 << 20}

func TestManyPublishersOnManyShardsAreSeenInOneOrder(t *testing.T) {
	const publishers, each, subscribers = 8, 250, 12
	topics := []string{"prices", "orders"}
	o := feed(weir.TopicOptions{Name: "prices", Max: roomy},
		weir.TopicOptions{
			Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, Max: roomy, MaxInFlight: publishers * each,
			AckTimeout: time.Hour, // nobody acknowledges: a redelivery would be one too many
		})
	o.Shards = 4
	srv := start(t, o)
	clients := crowd(t, addr(srv), "prices", subscribers, leanOptions{})
	for _, c := range clients {
		if err := c.subscribe("/feed", "orders"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				for _, topic := range topics {
					if err := publishNumbers(srv, topic, 64)(p*each + i); err != nil {
						t.Errorf("publisher %d: %v", p, err)
					}
				}
			}
		})
	}
	seen := make([]map[string][]int, subscribers)
	for i, c := range clients {
		wg.Go(func() { seen[i] = readTopics(t, c, topics, publishers*each) })
	}
	wg.Wait()
	for _, topic := range topics {
		checkPublishersKeepTheirOrder(t, topic, seen[0][topic], each)
		for i := range seen {
			if !slices.Equal(seen[i][topic], seen[0][topic]) {
				t.Errorf("topic %s: subscriber %d saw another order than subscriber 0", topic, i)
			}
		}
	}
}

// readTopics reads until each topic has delivered n numbers, and returns them.
func readTopics(t *testing.T, c *lean, topics []string, n int) map[string][]int {
	got := map[string][]int{}
	for range n * len(topics) {
		_, payload, err := c.message()
		if err != nil {
			t.Errorf("client %s: %v", c.sid, err)
			return got
		}
		for _, topic := range topics {
			if n, ok := numberOf(payload, topic); ok {
				got[topic] = append(got[topic], n)
			}
		}
	}
	return got
}

// checkPublishersKeepTheirOrder: publisher p sent p*each, p*each+1, …
func checkPublishersKeepTheirOrder(t *testing.T, topic string, seen []int, each int) {
	t.Helper()
	next := map[int]int{}
	for _, n := range seen {
		if p := n / each; n%each != next[p] {
			t.Fatalf("topic %s: message %d of publisher %d came as its number %d", topic, n%each, p, next[p])
		}
		next[n/each]++
	}
}

// TestAttachmentsAreNeverInterleaved reads raw frames: after a header that announces
// attachments nothing comes but they, in the order of their numbers.
func TestAttachmentsAreNeverInterleaved(t *testing.T) {
	const each, subscribers = 150, 4
	o := feed(weir.TopicOptions{Name: "binary", Max: roomy}, weir.TopicOptions{Name: "prices", Max: roomy})
	o.Namespaces[0].EventsLane = roomy
	o.Shards = 4
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").On("ask", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
			return e.Reply(ctx, []byte("ack-0"), []byte("ack-1"))
		})
	})
	clients := crowd(t, addr(srv), "prices", subscribers, leanOptions{})
	for _, c := range clients {
		if err := c.subscribe("/feed", "binary"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	work := func(f func(i int) error) {
		wg.Go(func() {
			for i := range each {
				if err := f(i); err != nil {
					t.Errorf("step %d: %v", i, err)
					return
				}
			}
		})
	}
	ns := srv.Namespace("/feed")
	for range 2 {
		work(func(int) error {
			_, err := srv.Publish(context.Background(), "/feed", "binary", []byte("binary-0"))
			return err
		})
		work(func(int) error {
			return ns.Emit(t.Context(), "files", []byte("files-0"), map[string]any{"deep": []any{[]byte("files-1"), []byte("files-2")}})
		})
		work(publishNumbers(srv, "prices", 300))
		work(func(i int) error { return ns.Emit(t.Context(), "text", i) })
	}
	for _, c := range clients {
		work(func(i int) error { return c.send(fmt.Sprintf(`42/feed,%d["ask"]`, i)) })
		wg.Go(func() {
			if err := checkAttachments(c, 2*4*each+each); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// checkAttachments reads packets, each with all its attachments right behind it.
func checkAttachments(c *lean, packets int) error {
	for i := range packets {
		head, err := c.text()
		if err != nil {
			return fmt.Errorf("packet %d: %w", i, err)
		}
		if head[1] != '5' && head[1] != '6' {
			continue
		}
		count, _, _ := strings.Cut(head[2:], "-")
		n, err := strconv.Atoi(count)
		if err != nil {
			return fmt.Errorf("header %q: %w", head, err)
		}
		kind := "ack"
		if head[1] == '5' {
			_, rest, _ := strings.Cut(head, `["`)
			kind, _, _ = strings.Cut(rest, `"`)
		}
		for k := range n {
			op, b, err := c.frame() // also control frames and pings would be in between
			if want := fmt.Sprintf("%s-%d", kind, k); err != nil || op != ws.Binary || string(b) != want {
				return fmt.Errorf("after %q: frame of type %d, %q, %w; want %s", head, op, b, err, want)
			}
		}
	}
	return nil
}

func TestEmitAckEmitDisconnectKeepTheirOrderUnderLoad(t *testing.T) {
	const clients = 200
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Namespaces[0].EventsLane = roomy // the noise must not cut anybody
	o.Shards = 4
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").On("order", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
			return errors.Join(s.Emit(ctx, "a"), e.Reply(ctx, "ack"), s.Emit(ctx, "b"), s.Disconnect(ctx))
		})
	})
	stop := make(chan struct{})
	var load, wg sync.WaitGroup
	for p := range 2 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				_ = publishNumbers(srv, "prices", 500)(i) // load; it may be refused as busy
				_ = srv.Namespace("/feed").Emit(t.Context(), "noise", p, i)
			}
		})
	}
	for range 8 {
		wg.Go(func() {
			for range clients / 8 {
				if err := orderOnce(addr(srv)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	load.Wait()
}

// orderOnce emits one order and checks what comes of it, passing over the noise.
func orderOnce(address string) error {
	c, err := dialLean(address, "/feed", leanOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	if err := c.subscribe("/feed", "prices"); err != nil {
		return err
	}
	if err := c.send(`42/feed,12["order"]`); err != nil {
		return err
	}
	want := []string{`42/feed,["a"]`, `43/feed,12["ack"]`, `42/feed,["b"]`, `41/feed,`}
	for len(want) > 0 {
		m, err := c.text()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", want[0], err)
		}
		if m == want[0] {
			want = want[1:]
		} else if !strings.Contains(m, `"noise"`) && !strings.Contains(m, `"prices"`) {
			return fmt.Errorf("got %q, want %s", m, want[0])
		}
	}
	return nil
}

// TestSubscribeAnswerPrecedesTheFirstDelivery: and says where deliveries begin.
func TestSubscribeAnswerPrecedesTheFirstDelivery(t *testing.T) {
	const clients = 100
	o := feed(weir.TopicOptions{Name: "prices", Max: roomy})
	o.Shards = 4
	srv := start(t, o)
	joined := make([]*lean, clients)
	for i := range joined {
		joined[i] = newLean(t, addr(srv), "/feed", leanOptions{})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ { // offsets begin at 1, so the number is the offset
			select {
			case <-stop:
				return
			default:
			}
			if err := publishNumbers(srv, "prices", 64)(n); err != nil {
				t.Errorf("publish: %v", err)
				return
			}
		}
	})
	for _, c := range joined {
		if err := firstDeliveries(c); err != nil {
			t.Error(err)
		}
		_ = c.conn.Close() // or its lane would fill
	}
	close(stop)
	wg.Wait()
}

func firstDeliveries(c *lean) error {
	if err := c.send(`42/feed,5["weir:subscribe",{"topic":"prices"}]`); err != nil {
		return err
	}
	m, err := c.text()
	if err != nil {
		return err
	}
	body, ok := strings.CutPrefix(m, "43/feed,5")
	if !ok {
		return fmt.Errorf("before the subscribe answer: %.80s", m)
	}
	var answer []struct {
		OK     bool
		Offset int
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer) != 1 || !answer[0].OK {
		return fmt.Errorf("answer %s: %w", body, err)
	}
	for i := range 20 {
		n, err := c.number("prices")
		if err != nil || n != answer[0].Offset+1+i {
			return fmt.Errorf("delivery %d is offset %d, %w; the answer said it begins after %d", i, n, err, answer[0].Offset)
		}
	}
	return nil
}

// TestRedeliveryNeverLetsANewerMessageOvertakeBeyondTheWindow: a message may come
// again, but none comes for the first time that is a window ahead of one that the
// client has not acknowledged (promise P4).
func TestRedeliveryNeverLetsANewerMessageOvertakeBeyondTheWindow(t *testing.T) {
	const window, total = 4, 120
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	srv := start(t, feed(weir.TopicOptions{
		Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, Max: roomy, MaxInFlight: window,
		AckTimeout: 10 * time.Millisecond, RetryBackoff: 1, MaxRetries: 1<<16 - 2,
	}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	for i := range total {
		publish(t, srv, "orders", i)
	}
	acked, newest, repeats := make([]bool, total), -1, 0
	for slices.Contains(acked, false) {
		pk := p.packet()
		if pk.typ != sio.Event || pk.name != "orders" {
			t.Fatalf("%s %s", pk.name, pk.args)
		}
		var n int
		var meta struct {
			MessageID   string
			Redelivered bool
		}
		if err := errors.Join(json.Unmarshal(pk.args[0], &n), json.Unmarshal(pk.args[1], &meta)); err != nil {
			t.Fatal(err)
		}
		switch {
		case n > newest+1:
			t.Fatalf("message %d for the first time after %d", n, newest)
		case n == newest+1:
			newest = n
			if oldest := slices.Index(acked, false); n >= oldest+window || meta.Redelivered {
				t.Fatalf("first delivery of %d (redelivered: %v) while %d is not acknowledged", n, meta.Redelivered, oldest)
			}
		case !meta.Redelivered:
			t.Fatalf("message %d came again without a mark", n)
		default:
			repeats++
		}
		if random.IntN(3) == 0 {
			acked[n] = true
			p.emit("/feed", -1, "ack", map[string]any{"topic": "orders", "messageId": meta.MessageID})
		}
	}
	if repeats == 0 {
		t.Error("nothing was delivered again")
	}
	eventually(t, "every message is settled", func() bool { return lane(client(t, srv, p.sid), "orders").Acked == total })
	balanced(t, srv, "orders")
}
