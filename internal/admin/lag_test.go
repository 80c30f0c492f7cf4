package admin_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// publish publishes one message that must be accepted.
func (f *fixture) publish(topic string) {
	f.t.Helper()
	if w := f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"`+topic+`","payload":"x"}`); w.Code != http.StatusOK {
		f.t.Fatalf("publish %s: %d %s", topic, w.Code, w.Body)
	}
}

type lagAnswer struct {
	Verdict struct {
		Kind, Subject, Sentence string
		Since                   time.Time
	}
	Clients, Lagging int
	Topics           []struct {
		Namespace, Topic string
		Clients, Lagging int
		OldestAgeMs      struct{ P50, P99, Max int64 }
	}
	Budget struct{ HeldBytes, BudgetBytes int64 }
	Inbox  struct{ Tasks, Publications int }
}

func TestLagFindsTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		for i := range 4 {
			f.connect(connection{shard: i % 2, address: fmt.Sprintf("10.0.%d.1", i), stalled: true, topics: []string{"prices"}})
		}
		f.connect(connection{address: "10.0.9.1", topics: []string{"user:1"}})
		if v := get[lagAnswer](f, "/api/lag"); v.Verdict.Kind != "nobody" || v.Clients != 5 || v.Topics == nil {
			t.Errorf("before: %+v", v)
		}
		f.publish("prices")
		f.publish("user:1")
		time.Sleep(3 * time.Second)
		v := get[lagAnswer](f, "/api/lag")
		if v.Verdict.Kind != "topic" || v.Verdict.Subject != "prices of /feed" || v.Lagging != 4 || len(v.Topics) != 3 {
			t.Fatalf("%+v", v)
		}
		if p := v.Topics[0]; p.Topic != "prices" || p.Clients != 4 || p.Lagging != 4 || p.OldestAgeMs.Max != 3000 || p.OldestAgeMs.P50 != 3000 {
			t.Errorf("prices: %+v", p)
		}
		if v.Budget.HeldBytes == 0 {
			t.Error("no bytes are held, though messages wait")
		}
	})
}

func TestLagFindsTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		for i := range 8 {
			c := connection{shard: i % 2, address: fmt.Sprintf("10.0.0.%d", i), topics: []string{"prices"}}
			if i < 3 {
				c.address, c.stalled = fmt.Sprintf("2001:db8:0:7::%d", i), true
			}
			f.connect(c)
		}
		f.publish("prices")
		time.Sleep(2 * time.Second)
		v := get[lagAnswer](f, "/api/lag")
		if v.Verdict.Kind != "network" || v.Verdict.Subject != "2001:db8:0:7::/64" {
			t.Errorf("%+v", v.Verdict)
		}
	})
}

// Beyond 1,000 clients the list is cut, and topics are counted by walks of their own.
func TestLagCountsBeyondItsList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		for i := range 1100 {
			f.connect(connection{shard: i % 2, stalled: true, topics: []string{"prices", "user:1"}})
		}
		f.publish("prices")
		time.Sleep(5 * time.Second)
		f.publish("user:1")
		time.Sleep(500 * time.Millisecond)
		v := get[lagAnswer](f, "/api/lag")
		if v.Clients != 1100 || v.Lagging != 1100 || v.Verdict.Subject != "prices of /feed" || len(v.Topics) != 4 {
			t.Fatalf("%+v", v)
		}
		if p := v.Topics[0]; p.Topic != "prices" || p.Clients != 1100 || p.Lagging != 1100 || p.OldestAgeMs.Max != 5500 || p.OldestAgeMs.P50 < 4000 || p.OldestAgeMs.P50 > 5500 {
			t.Errorf("prices: %+v", p)
		}
		if p := v.Topics[1]; p.Topic != "user:1" || p.Clients != 1100 || p.Lagging != 0 || p.OldestAgeMs.Max != 500 {
			t.Errorf("user:1: %+v", p)
		}
	})
}

func TestLagSaysSinceWhenEveryoneLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		for range 4 {
			f.connect(connection{stalled: true, topics: []string{"prices", "user:1"}}) // nothing is sent to user:1
		}
		f.publish("prices")
		began := time.Now()
		time.Sleep(10 * time.Second)
		first := get[lagAnswer](f, "/api/lag").Verdict
		if first.Kind != "everyone" || first.Since.Before(began) || first.Since.After(began.Add(5*time.Second)) {
			t.Errorf("first look: %+v, began %s", first, began)
		}
		for range 8 { // the oldest are pushed out, but they lag since then
			f.publish("prices")
		}
		time.Sleep(2 * time.Second)
		if again := get[lagAnswer](f, "/api/lag").Verdict; !again.Since.Equal(first.Since) {
			t.Errorf("since %s, then since %s", first.Since, again.Since)
		}
	})
}

func TestLagLooksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		if v := get[lagAnswer](f, "/api/lag"); v.Clients != 0 {
			t.Errorf("%d clients", v.Clients)
		}
		f.connect(connection{})
		if v := get[lagAnswer](f, "/api/lag"); v.Clients != 0 {
			t.Errorf("looked again at once: %d clients", v.Clients)
		}
		time.Sleep(time.Second)
		if v := get[lagAnswer](f, "/api/lag"); v.Clients != 1 {
			t.Errorf("after a second: %d clients", v.Clients)
		}
	})
}
