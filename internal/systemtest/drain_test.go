package systemtest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// drainState is what /api/drain answers.
type drainState struct {
	Draining                    bool
	Clients, Left, SentAway     int
	ClientsPerSecond            int
	SecondsLeft, TimeoutSeconds float64
	CutAtTimeout                int
}

func askDrain(t *testing.T, srv *weir.Server, method string) (a drainState) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/api/drain", nil)
	r.Header.Set("Content-Type", "application/json")
	srv.Management().ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code >= http.StatusBadRequest {
		t.Fatalf("%s /api/drain: %d %s (%v)", method, w.Code, w.Body, err)
	}
	return a
}

// At the default rate everybody is sent away, on whatever shard: nobody is left to be cut at the end.
func TestDrainAtTheDefaultRateSendsAwayTheClientsOfEveryShard(t *testing.T) {
	for _, c := range []struct{ shards, rate, clients int }{{2, 20, 10}, {11, 0, 60}, {16, 0, 60}} {
		o := weir.Options{Shards: c.shards, Namespaces: []weir.NamespaceOptions{{Path: "/"}}, Drain: weir.DrainOptions{ClientsPerSecond: c.rate, Timeout: patience}}
		log := new(logbook)
		o.Logger = log.logger()
		srv := start(t, o)
		for range c.clients {
			dial(t, addr(srv), "/", nil, dialOptions{})
		}
		if a := askDrain(t, srv, "GET"); a.Draining || a.Left != c.clients || a.SecondsLeft <= 0 {
			t.Errorf("%d shards: before the drain: %+v", c.shards, a)
		}
		if err := srv.Drain(t.Context()); err != nil {
			t.Errorf("%d shards: %v", c.shards, err)
		}
		a := askDrain(t, srv, "GET")
		if a.Clients != c.clients || a.SentAway != c.clients || a.Left != 0 || a.CutAtTimeout != 0 {
			t.Errorf("%d shards: %+v", c.shards, a)
		}
		eventually(t, "the server says how it stopped", func() bool { return len(log.lines("msg=stopped")) == 1 })
		if line := log.lines("msg=stopped")[0]; !strings.Contains(line, "cut=0") || !strings.Contains(line, "sent_away=") {
			t.Error(line)
		}
	}
}

// The application, a signal and an operator join one drain.
func TestDrainIsOneHoweverManyAskForIt(t *testing.T) {
	log := new(logbook)
	o := weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}, Logger: log.logger(), Drain: weir.DrainOptions{ClientsPerSecond: 100, Timeout: patience}}
	srv := start(t, o)
	for range 50 {
		dial(t, addr(srv), "/", nil, dialOptions{})
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := srv.Drain(context.Background()); err != nil {
				t.Error(err)
			}
		})
		if a := askDrain(t, srv, "POST"); !a.Draining || a.Clients != 50 || a.ClientsPerSecond != 100 {
			t.Errorf("%+v", a)
		}
	}
	all.Wait()
	if n := len(log.told(t, srv, "msg=draining")); n != 1 {
		t.Errorf("%d drains began", n)
	}
	if a := askDrain(t, srv, "GET"); a.SentAway != 50 {
		t.Errorf("%+v", a)
	}
}

// Their feed does not stand still while others are sent away (protocol.md 5).
func TestPublishesAreServedUntilTheLastClientHasGone(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Shards = 1
	o.Namespaces[0].ClientPublish = true
	o.Drain = weir.DrainOptions{ClientsPerSecond: 1, Timeout: patience}
	srv := start(t, o)
	first := dial(t, addr(srv), "/feed", nil, dialOptions{})
	first.subscribe("/feed", "prices")
	others := make([]*peer, 40) // who came last leaves first, so that first stays for 40 s
	for i := range others {
		others[i] = dialRaw(t, addr(srv), dialOptions{})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = srv.Drain(ended) // it goes on
	publish(t, srv, "prices", "go")
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/api/publish", strings.NewReader(`{"namespace":"/feed","topic":"prices","payload":"http"}`))
	r.Header.Set("Content-Type", "application/json")
	srv.Management().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("publish over HTTP while draining: %d %s", w.Code, w.Body)
	}
	for _, want := range []string{"go", "http"} {
		if got := first.next(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	first.emit("/feed", 7, "publish", map[string]any{"topic": "prices", "payload": "client"})
	got := first.next() + first.next()
	if !strings.Contains(got, `"client"`) || !strings.Contains(got, `43/feed,7[{"messageId"`) && !strings.Contains(got, `"ok":true`) {
		t.Errorf("a client's publish while draining: %s", got)
	}
	for _, p := range append(others, first) {
		_ = p.conn.Close()
	}
	if err := srv.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// Those who are left at the end of the time are closed, counted, and told about.
func TestDrainCountsWhomItsTimeoutCuts(t *testing.T) {
	log := new(logbook)
	o := weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/"}}, Logger: log.logger(), Drain: weir.DrainOptions{ClientsPerSecond: 1, Timeout: 100 * time.Millisecond}}
	srv := start(t, o)
	for range 5 {
		dial(t, addr(srv), "/", nil, dialOptions{})
	}
	if err := srv.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "5 of 5 clients") {
		t.Errorf("Drain: %v", err)
	}
	eventually(t, "the server says how it stopped", func() bool { return len(log.lines("msg=stopped")) == 1 })
	if begun := log.lines("msg=\"draining"); len(begun) != 1 || !strings.Contains(begun[0], "cut_at_timeout=5") {
		t.Errorf("%q", begun)
	}
	if line := log.lines("msg=stopped")[0]; !strings.Contains(line, "clients=5 sent_away=0 cut=5") {
		t.Error(line)
	}
}
