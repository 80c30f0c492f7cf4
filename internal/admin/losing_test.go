package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// slowReader is a client whose connection takes one message whenever it is let.
type slowReader struct {
	client
	credit int
}

func (c *slowReader) Window() int { return c.credit }

func (c *slowReader) Write(p []byte, _ base.Packing) (int, error) {
	c.credit = 0
	return len(p), nil
}

// read lets the client take one message.
func (f *fixture) read(c *slowReader, sh *delivery.Shard) {
	f.on(sh, func() {
		c.credit = 1
		c.conn.Writable()
	})
}

func (f *fixture) slow(shard int, address, topic string) *slowReader {
	f.t.Helper()
	c := &slowReader{client: client{address: address, server: "default"}}
	sh := f.hub.Shards()[shard]
	f.on(sh, func() {
		c.conn = sh.Open(c, c)
		c.socket = c.conn.OpenSocket(f.hub.Namespace("/feed"), c.conn.NewSocketID(), "slow", c)
		if err := c.socket.Subscribe(topic, delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
			f.t.Error(err)
		}
	})
	return c
}

type losingAnswer struct {
	lagAnswer
	Verdict struct{ Kind, Problem, Subject, Sentence string }
	Losing  int
	Losers  []struct {
		ID, Topic, Principal string
		Share, Seconds       float64
		Dropped, Replaced    uint64
	}
	Topics []struct {
		Topic     string
		Clients   int
		PerSecond struct{ Published, Written, Dropped, Seconds float64 }
	}
}

// TestClientsThatLoseAreNamedThoughNothingWaitsLong is the README's own case: 20 of 200
// clients read a feed under DROP_OLDEST at a tenth of its rate. Nobody lags, and they get
// a tenth of what is published.
func TestClientsThatLoseAreNamedThoughNothingWaitsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		var slow []*slowReader
		for i := range 200 {
			address := fmt.Sprintf("10.0.%d.%d", i%7, i)
			if i%10 == 0 {
				slow = append(slow, f.slow(i%2, address, "prices"))
				continue
			}
			f.connect(connection{shard: i % 2, address: address, topics: []string{"prices"}})
		}
		feed := func(seconds int) {
			for i := range seconds * 20 {
				f.publish("prices")
				time.Sleep(50 * time.Millisecond)
				if i%10 == 9 {
					for j, c := range slow {
						f.read(c, f.hub.Shards()[j*10%2])
					}
				}
			}
		}
		feed(5)
		get[losingAnswer](f, "/api/lag") // what the books say may be of long ago
		feed(15)
		v := get[losingAnswer](f, "/api/lag")
		if v.Lagging != 0 || v.Losing != 20 || v.Verdict.Problem != "loss" || v.Verdict.Kind != "topic" || v.Verdict.Subject != "prices of /feed" {
			t.Fatalf("%d lag, %d lose, %+v", v.Lagging, v.Losing, v.Verdict)
		}
		if s := v.Verdict.Sentence; !strings.Contains(s, "20 of 200 clients") || !strings.Contains(s, "lose 90 %") {
			t.Errorf("%s", s)
		}
		if l := v.Losers; len(l) != 10 || l[0].Share < 0.85 || l[0].Share > 0.95 || l[0].Principal != "slow" || l[0].Topic != "prices" || l[0].Replaced != 0 {
			t.Errorf("%+v", l)
		}
		if p := v.Topics[0]; p.Topic != "prices" || p.PerSecond.Published < 19 || p.PerSecond.Published > 21 || p.PerSecond.Dropped < 300 || p.PerSecond.Written < 3000 {
			t.Errorf("rates: %+v", p)
		}
		clients := get[clientsAnswer](f, "/api/clients?sort=loss&limit=3")
		if c := clients.Clients; len(c) != 3 || !c[0].Losing || c[0].LossShare < 0.85 || c[0].Principal != "slow" {
			t.Errorf("%+v", c)
		}
		groups := get[struct {
			Groups []struct {
				Name      string
				Losing    int
				LossShare float64
			}
		}](f, "/api/clients?sort=loss&groupBy=principal").Groups
		if g := groups; len(g) != 2 || g[0].Name != "slow" || g[0].Losing != 20 || g[0].LossShare < 0.85 || g[1].Losing != 0 {
			t.Errorf("by principal: %+v", g)
		}
		f.on(f.hub.Shards()[0], func() { slow[0].conn.RecordCut(base.CauseSlowConsumer) })
		if a := get[struct{ Losing int }](f, "/api/clients?cut=1"); a.Losing != 1 {
			t.Errorf("of one that was cut while it lost %d lose", a.Losing)
		}
		f.publish("prices")
		time.Sleep(30 * time.Second) // nothing is published any more: what was lost is past
		get[losingAnswer](f, "/api/lag")
		time.Sleep(15 * time.Second)
		get[losingAnswer](f, "/api/lag")
		time.Sleep(15 * time.Second)
		if v := get[losingAnswer](f, "/api/lag"); v.Losing != 0 {
			t.Errorf("a minute after the last message %d lose: %s", v.Losing, v.Verdict.Sentence)
		}
	})
}

// TestLossVerdictNamesWhatThoseWhoLoseHaveInCommon.
func TestLossVerdictNamesWhatThoseWhoLoseHaveInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		var slow []*slowReader
		for i := range 12 {
			f.connect(connection{address: fmt.Sprintf("10.0.1.%d", i), topics: []string{"prices"}})
			if i < 5 {
				slow = append(slow, f.slow(0, fmt.Sprintf("192.0.2.%d", i), "prices"))
			}
		}
		for range 2 {
			for range 200 {
				f.publish("prices")
				time.Sleep(10 * time.Millisecond)
				for _, c := range slow {
					if time.Now().UnixMilli()%100 == 0 {
						f.read(c, f.hub.Shards()[0])
					}
				}
			}
			get[losingAnswer](f, "/api/lag")
		}
		v := get[losingAnswer](f, "/api/lag").Verdict
		if v.Problem != "loss" || v.Kind != "network" || v.Subject != "192.0.2.0/24" {
			t.Errorf("%+v", v)
		}
	})
}
