package loadtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// watch is slow clients of s.
func watch(s *server) *loadtest.Watch {
	return &loadtest.Watch{
		Target: loadtest.Target{URL: s.url, Namespace: "/", Timeout: 5 * time.Second}, Clients: 3, Topic: "tick", Read: 50_000, ReceiveBuffer: 8 << 10,
	}
}

// until runs w until a view is as wanted, publishing on the way.
func until(t *testing.T, w *loadtest.Watch, publish func(), ok func(loadtest.View) bool) loadtest.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var met loadtest.View
	err := w.Run(ctx, func(v loadtest.View) {
		t.Log(v)
		publish()
		if met.Clients == 0 && ok(v) {
			met = v
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if met.Clients == 0 {
		t.Fatal("never seen")
	}
	return met
}

func TestWatchTellsTheAgeOfOurMessages(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	n := 0
	publish := func() {
		for range 10 {
			s.publish(fmt.Appendf(nil, `{"n":%d,"t":%d,"pad":""}`, n, swarm.Clock()-3_000_000))
			n++
		}
	}
	v := until(t, watch(s), publish, func(v loadtest.View) bool { return v.Age.Of == 3 })
	if v.Connected != 3 || v.Messages.Least < 10 || v.Newest.Most < 9 || v.Age.Least < 3*time.Second || v.Age.Most > time.Minute {
		t.Errorf("%+v, want 3 clients that read what was 3 s old", v)
	}
}

func TestWatchReadsTheAgeWhereItIsTold(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`{"time":%d}`, `{"metadata":{"messageId":"a"},"payload":{"time":%d}}`} {
		s := serve(t, faults{})
		w := watch(s)
		w.AgeField = "/time"
		publish := func() { s.publish(fmt.Appendf(nil, payload, time.Now().Add(-time.Hour).UnixMilli())) }
		v := until(t, w, publish, func(v loadtest.View) bool { return v.Age.Of > 0 })
		if v.Age.Least < time.Hour || v.Age.Most > 2*time.Hour {
			t.Errorf("%s: age %+v, want an hour", payload, v.Age)
		}
	}
}

func TestWatchedClientsComeBackAfterACut(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	cut := false
	v := until(t, watch(s), func() {
		if !cut {
			s.cutAll()
			cut = true
		}
	}, func(v loadtest.View) bool { return len(v.Cut) > 0 && v.Connected == 3 })
	if n := v.Cut["eof"] + v.Cut["reset"]; n != 3 {
		t.Errorf("%d cuts seen: %v, want 3", n, v.Cut)
	}
}

func TestStalledClientsSubscribeAndReadNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	w := watch(s)
	w.Read = 0
	v := until(t, w, func() { s.publish([]byte(`{"n":1,"t":1}`)) }, func(v loadtest.View) bool { return v.Connected == 3 && v.At > 2*time.Second })
	if v.Messages.Most != 0 {
		t.Errorf("%+v: stalled clients have read", v)
	}
}

func TestWatchWorksOverTLS(t *testing.T) {
	t.Parallel()
	s, trust := serveTLS(t, faults{})
	w := watch(s)
	w.TLS = trust
	v := until(t, w, func() { s.publish([]byte(`{"n":7}`)) }, func(v loadtest.View) bool { return v.Newest.Of == 3 })
	if v.Newest.Least != 7 {
		t.Errorf("%+v, want message 7", v.Newest)
	}
	w.TLS = nil
	if err := w.Run(t.Context(), func(loadtest.View) {}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v, want an error about it", err)
	}
}

func TestWatchRefusesTargetsOffThisMachine(t *testing.T) {
	w := loadtest.Watch{Target: loadtest.Target{URL: "https://192.0.2.1", Namespace: "/", Timeout: time.Second}, Clients: 1}
	if err := w.Run(t.Context(), func(loadtest.View) {}); !errors.Is(err, loadtest.ErrNotOwned) {
		t.Errorf("%v, want ErrNotOwned", err)
	}
}
