package systemtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// stalledOn returns a client of topic whose connection takes nothing until it reads.
func stalledOn(t *testing.T, srv *weir.Server, topic string) *lean {
	t.Helper()
	c := newLean(t, addr(srv), "/feed", leanOptions{})
	for _, name := range []string{"plug", topic} {
		if err := c.subscribe("/feed", name); err != nil {
			t.Fatal(err)
		}
	}
	heldBack(t, srv, c)
	return c
}

// read returns the next n numbers delivered on topic, passing over others.
func (c *lean) read(t *testing.T, topic string, n int) (got []int) {
	t.Helper()
	for range n {
		v, err := c.number(topic)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got = append(got, v)
	}
	return got
}

// sequence is from, from+1, … of n numbers.
func sequence(from, n int) (out []int) {
	for i := range n {
		out = append(out, from+i)
	}
	return out
}

// outcome publishes and returns what the one subscriber's lane did.
func outcome(t *testing.T, srv *weir.Server, n int, opts ...weir.PublishOption) weir.Receipt {
	t.Helper()
	r := publish(t, srv, "prices", numbered(n, 40), append(opts, weir.WithReceipt())...)
	if !r.Complete {
		t.Fatalf("publish %d: receipt %+v", n, r)
	}
	return r
}

// TestStalledClientReadsWhatThePolicySays: each best-effort action against a client
// whose kernel takes nothing: 100 messages of 10 keys into a lane of 16.
func TestStalledClientReadsWhatThePolicySays(t *testing.T) {
	const total, keys = 100, 10
	for name, c := range map[string]struct {
		overflow weir.Overflow
		want     []int // what it reads
		counted  func(l laneView) uint64
	}{
		"DROP_OLDEST": {weir.DropOldest, sequence(total-16, 16), func(l laneView) uint64 { return l.Drops["overflow"] }},
		"REJECT_NEW":  {weir.RejectNew, sequence(0, 16), func(l laneView) uint64 { return l.Drops["rejected"] }},
		// One for each key, the newest, in the places of the first.
		"COALESCE":      {weir.Coalesce, sequence(total-keys, keys), func(l laneView) uint64 { return l.Coalesced }},
		"SNAPSHOT_ONLY": {weir.SnapshotOnly, sequence(total-1, 1), func(l laneView) uint64 { return l.Coalesced }},
	} {
		ports(t, name, func(t *testing.T, port *weir.TLSOptions) {
			o := feed(plug, weir.TopicOptions{Name: "prices", Overflow: c.overflow, Max: weir.Limits{Messages: 16}})
			srv := start(t, over(port, o))
			client1 := stalledOn(t, srv, "prices")
			for n := range total {
				outcome(t, srv, n, weir.Key(fmt.Sprint(n%keys)))
			}
			l := lane(client(t, srv, client1.sid), "prices")
			if lost := uint64(total - len(c.want)); l.Depth != len(c.want) || c.counted(l) != lost || l.Coalesced+l.Dropped != lost {
				t.Errorf("lane %+v; want %d waiting, %d lost", l, len(c.want), lost)
			}
			if got := client1.read(t, "prices", len(c.want)); !slices.Equal(got, c.want) {
				t.Errorf("read %v, want %v", got, c.want)
			}
			outcome(t, srv, 1000)
			if got := client1.read(t, "prices", 1); got[0] != 1000 {
				t.Errorf("then %v, want the next message published", got)
			}
			balanced(t, srv)
		})
	}
}

// TestCoalesceReplacesInPlace: a value keeps the place of the one it replaces, also
// when keys come in another order the second time, and when a full lane drops.
func TestCoalesceReplacesInPlace(t *testing.T) {
	srv := start(t, feed(plug, weir.TopicOptions{Name: "prices", Overflow: weir.Coalesce, Key: "/pad", Max: weir.Limits{Messages: 4}}))
	c := stalledOn(t, srv, "prices")
	for i, key := range []string{"a", "b", "c", "d", "c", "a"} { // c=4, a=5 in the places of 2 and 0
		outcome(t, srv, i, weir.Key(key))
	}
	if o := outcome(t, srv, 6, weir.Key("e")); o.Dropped != 1 { // pushes a out, the oldest place
		t.Errorf("a full lane: %+v", o)
	}
	outcome(t, srv, 7, weir.Key("a")) // a stands at the end now, and b went
	if got, want := c.read(t, "prices", 4), []int{4, 3, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	balanced(t, srv)
}

func TestReceiptSaysWhatEachLaneDid(t *testing.T) {
	srv := start(t, feed(plug, weir.TopicOptions{Name: "prices", Overflow: weir.RejectNew, Max: weir.Limits{Messages: 2}}))
	stalledOn(t, srv, "prices")
	healthy := newLean(t, addr(srv), "/feed", leanOptions{})
	if err := healthy.subscribe("/feed", "prices"); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		o := outcome(t, srv, n)
		if o.Subscribers != 2 || o.Queued != 2-n/2 || o.Rejected != n/2 {
			t.Errorf("publish %d: %+v", n, o)
		}
		healthy.read(t, "prices", 1)
	}
}

// TestDisconnectActionCutsAndPenalises: the client is cut without a word, told apart
// in the books, and refused with 503 and Retry-After as long as its penalty runs.
func TestDisconnectActionCutsAndPenalises(t *testing.T) {
	cut := make(chan weir.CutEvent, 1)
	o := feed(plug, weir.TopicOptions{Name: "prices", Overflow: weir.DisconnectClient, Max: weir.Limits{Messages: 16}})
	o.Events.Cut = func(e weir.CutEvent) { cut <- e }
	srv := start(t, o)
	c := stalledOn(t, srv, "prices")
	other := newLean(t, addr(srv), "/feed", leanOptions{header: "User-Agent: another\r\n"})
	for n := range 17 {
		publish(t, srv, "prices", numbered(n, 40))
	}
	e := <-cut
	if e.Cause != "slow_consumer" || len(e.Clients) != 1 || e.Clients[0].ID != c.sid || e.Clients[0].Cause != "slow_consumer" {
		t.Fatalf("cut %+v", e)
	}
	if l := lane(e.Clients[0], "prices"); l.Depth != 16 || l.Drops["overflow"] != 1 {
		t.Errorf("its lane when it was cut: %+v", l)
	}
	for {
		_, payload, err := c.message()
		if err != nil {
			break // closed without a packet 41
		}
		if _, ok := numberOf(payload, "plug"); !ok {
			t.Errorf("after the cut: %.60q", payload)
		}
	}
	if n := metric(t, srv, "weir_cut_total", `cause="slow_consumer"`); n != 1 {
		t.Errorf("%v cuts counted", n)
	}
	eventually(t, "its lane is settled", func() bool {
		return metric(t, srv, "weir_dropped_total", `topic="prices"`, `reason="disconnect"`) == 16
	})
	if h := handshake(t, srv, ""); h.status != http.StatusServiceUnavailable || h.retryAfter < 1 {
		t.Errorf("a client under penalty: %+v", h)
	}
	if n := metric(t, srv, "weir_handshakes_refused_total", `reason="slow_consumer"`); n != 1 {
		t.Errorf("%v refusals counted", n)
	}
	if h := handshake(t, srv, "another"); h.status != http.StatusOK {
		t.Errorf("a client of another kind at the same address: %+v", h)
	}
	if err := other.subscribe("/feed", "prices"); err != nil {
		t.Errorf("a connection that was there: %v", err)
	}
}

// TestSlowPenaltyIsTheNamespaces: the one it is configured to, also below the default.
func TestSlowPenaltyIsTheNamespaces(t *testing.T) {
	o := feed(plug, weir.TopicOptions{Name: "prices", Overflow: weir.DisconnectClient, Max: weir.Limits{Messages: 1}})
	o.Namespaces[0].SlowPenalty = time.Second
	srv := start(t, o)
	stalledOn(t, srv, "prices")
	for n := range 2 {
		publish(t, srv, "prices", n)
	}
	eventually(t, "the client is cut", func() bool { return metric(t, srv, "weir_cut_total", `cause="slow_consumer"`) == 1 })
	if h := handshake(t, srv, ""); h.retryAfter > 2 { // 1 to 1.5 s, in whole seconds
		t.Errorf("a penalty of 1 s is told as Retry-After %d", h.retryAfter)
	}
}

// handshaken is how a handshake was answered.
type handshaken struct {
	status     int
	retryAfter int // seconds; 0 = not said
}

// handshake opens a polling session, or is refused.
func handshake(t *testing.T, srv *weir.Server, agent string) (h handshaken) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr(srv)+"/socket.io/?EIO=4&transport=polling", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["User-Agent"] = []string{agent} // "" sends none, as the lean client does
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	h.status = resp.StatusCode
	if after := resp.Header.Get("Retry-After"); after != "" {
		if h.retryAfter, err = strconv.Atoi(after); err != nil {
			t.Fatalf("Retry-After: %v", err)
		}
	}
	var open struct{ SID string }
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if h.status == http.StatusOK && json.Unmarshal(body[1:], &open) == nil {
		p := poller{t: t, url: r.URL.String() + "&sid=" + open.SID}
		p.post("1") // it is not needed any more
	}
	return h
}

func TestMessageOlderThanItsTTLIsNotWritten(t *testing.T) {
	srv := start(t, feed(plug, weir.TopicOptions{Name: "prices", TTL: 30 * time.Millisecond, Max: weir.Limits{Messages: 16}}))
	c := stalledOn(t, srv, "prices")
	for n := range 10 {
		publish(t, srv, "prices", numbered(n, 40))
	}
	publish(t, srv, "prices", numbered(100, 40), weir.TTL(time.Hour)) // the message's own wins
	eventually(t, "the old ones expire without being looked at", func() bool {
		l := lane(client(t, srv, c.sid), "prices")
		return l.Drops["expired"] == 10 && l.Depth == 1
	})
	if got := c.read(t, "prices", 1); got[0] != 100 {
		t.Errorf("read %v, want 100", got)
	}
	balanced(t, srv)
}

// TestFloodedTopicDoesNotHoldUpAReliableOne: the reliable lane has its turn although
// the best-effort one always has something to write.
func TestFloodedTopicDoesNotHoldUpAReliableOne(t *testing.T) {
	const total = 200
	srv := start(t, feed(weir.TopicOptions{Name: "flood", Weight: 8, Max: weir.Limits{Messages: 1000, Bytes: 8 << 20}},
		orders(weir.TopicOptions{Max: roomy, MaxInFlight: 8})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{receiveBuffer: 32 << 10})
	p.subscribe("/feed", "flood")
	p.subscribe("/feed", "orders")
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = publishNumbers(srv, "flood", 8<<10)(n) // a flood may be refused as busy
			}
		}
	}()
	defer func() { close(stop); <-ended }()
	eventually(t, "the flood's lane is full", func() bool { return lane(client(t, srv, p.sid), "flood").Drops["overflow"] > 0 })
	for i := range total {
		publish(t, srv, "orders", i)
	}
	// Eight are in flight at a time and each turn of the flood is 8 entries, so a
	// reliable message never waits for more than its window's share of turns.
	flood := 0
	for next := 0; next < total; {
		pk := p.packet()
		if pk.name != "orders" {
			if flood++; flood > total*100 {
				t.Fatalf("%d messages of the flood were written before %d reliable ones", flood, next)
			}
			continue
		}
		d := deliveryOf(t, pk)
		if d.n != next {
			t.Fatalf("delivery %+v, want %d", d, next)
		}
		p.ack(d)
		next++
	}
	if flood == 0 {
		t.Error("the flood was starved")
	}
}

func TestMessageLargerThanALaneIsRefusedToItsPublisher(t *testing.T) {
	for name, overflow := range map[string]weir.Overflow{
		"DROP_OLDEST": weir.DropOldest, "REJECT_NEW": weir.RejectNew, "COALESCE": weir.Coalesce,
		"SNAPSHOT_ONLY": weir.SnapshotOnly, "DISCONNECT": weir.DisconnectClient,
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, feed(weir.TopicOptions{Name: "prices", Overflow: overflow, Max: weir.Limits{Bytes: 4 << 10}}))
			c := newLean(t, addr(srv), "/feed", leanOptions{})
			if err := c.subscribe("/feed", "prices"); err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			for _, size := range []int{4 << 10, 1 << 20} {
				if _, err := srv.Publish(ctx, "/feed", "prices", numbered(1, size)); !errors.Is(err, weir.ErrTooLarge) {
					t.Errorf("publish of %d bytes: %v", size, err)
				}
				if err := srv.Namespace("/feed").Emit(t.Context(), "prices", numbered(1, size)); !errors.Is(err, weir.ErrTooLarge) {
					t.Errorf("emit of %d bytes: %v", size, err)
				}
			}
			if n := metric(t, srv, "weir_publish_refused_total", `topic="prices"`); n < 2 {
				t.Errorf("%v refusals counted", n)
			}
			publish(t, srv, "prices", numbered(2, 3<<10))
			if got := c.read(t, "prices", 1); got[0] != 2 {
				t.Errorf("read %v", got)
			}
			balanced(t, srv)
		})
	}
}

// TestReliableLaneThatIsFullRejectsAndSaysSo is promise P6's exception.
func TestReliableLaneThatIsFullRejectsAndSaysSo(t *testing.T) {
	srv := start(t, feed(orders(weir.TopicOptions{MaxInFlight: 2, Max: weir.Limits{Messages: 4}})))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.subscribe("/feed", "orders")
	for i := range 6 {
		want := 0
		if i >= 4 {
			want = 1
		}
		if r := publish(t, srv, "orders", i); r.Rejected != want {
			t.Errorf("publish %d: %d rejected, want %d", i, r.Rejected, want)
		}
	}
	for i := range 4 {
		pk := p.packet()
		for pk.name == "weir:lost" { // the client is told
			if string(pk.args[0]) != `{"topic":"orders","count":2,"reason":"rejected"}` {
				t.Errorf("weir:lost %s", pk.args)
			}
			pk = p.packet()
		}
		d := deliveryOf(t, pk)
		if d.n != i {
			t.Fatalf("delivery %d: %+v", i, d)
		}
		p.ack(d)
	}
	balanced(t, srv, "orders")
}

// TestSubscriptionKeepsItsShapeAfterAnEmitOfTheSameName: an emit may have opened the
// topic's lane before the client subscribes; what the subscription asks for holds.
func TestSubscriptionKeepsItsShapeAfterAnEmitOfTheSameName(t *testing.T) {
	srv := start(t, feed(plug, weir.TopicOptions{Name: "prices", Max: weir.Limits{Messages: 2}}))
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	if err := srv.Namespace("/feed").Emit(t.Context(), "prices", 1); err != nil {
		t.Fatal(err)
	}
	if pk := p.packet(); pk.name != "prices" || string(pk.args[0]) != "1" {
		t.Fatalf("%s %s", pk.name, pk.args)
	}
	p.subscribe("/feed", "prices", map[string]any{"shape": "envelope", "notifyLoss": true})
	publish(t, srv, "prices", 2)
	if pk := p.packet(); pk.name != "prices" || len(pk.args) != 1 || !strings.Contains(string(pk.args[0]), `"payload":2`) {
		t.Errorf("after subscribing with shape envelope: %s %s", pk.name, pk.args)
	}
	balanced(t, srv)
}

// TestUnsubscribedClientHearsNoMoreOfTheTopic: no delivery, and no news of losses.
func TestUnsubscribedClientHearsNoMoreOfTheTopic(t *testing.T) {
	srv := start(t, feed(plug, orders(weir.TopicOptions{})))
	c := stalledOn(t, srv, "orders")
	for n := range 10 {
		publish(t, srv, "orders", numbered(n, 40))
	}
	if err := c.send(`42/feed,5["unsubscribe",{"topic":"orders"}]`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lane is gone", func() bool {
		return metric(t, srv, "weir_dropped_total", `topic="orders"`, `reason="unsubscribe"`) == 10
	})
	publish(t, srv, "orders", numbered(10, 40))
	const last = 1 << 20
	publish(t, srv, "plug", numbered(last, plugSize))
	for n := 0; n != last; {
		_, m, err := c.message()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(m[:min(len(m), 100)], []byte("orders")) && !bytes.HasPrefix(m, []byte("43/feed,5")) {
			t.Errorf("after unsubscribing: %.100s", m)
		}
		n, _ = numberOf(m, "plug")
	}
}
