package systemtest_test

import (
	"bufio"
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// views lists all clients of the server.
func views(t testing.TB, srv *weir.Server) []weir.ClientView {
	t.Helper()
	list, err := srv.Clients(context.Background(), weir.ClientQuery{Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// balanced recomputes the books of every lane of every client from its parts
// (promise P5). reliable names the topics whose messages are done when they are
// acknowledged, not when they are written.
func balanced(t testing.TB, srv *weir.Server, reliable ...string) {
	t.Helper()
	acked := map[string]bool{}
	for _, topic := range reliable {
		acked[topic] = true
	}
	for _, v := range views(t, srv) {
		for _, l := range v.Lanes {
			sum := l.Written
			if acked[l.Topic] {
				sum = l.Acked
			}
			sum += l.Coalesced + uint64(l.Depth) + uint64(l.Spilled)
			for _, n := range l.Drops {
				sum += n
			}
			if sum != l.Offered || !l.Balanced {
				t.Errorf("client %s, lane %q: offered %d, accounted for %d: %+v", v.ID, l.Topic, l.Offered, sum, l)
			}
		}
	}
	if n := srv.Unbalanced(); n != 0 {
		t.Errorf("%d closed lanes did not balance", n)
	}
}

// settledTotals checks the books of a topic over all clients there have been, from
// the metrics, once everybody has left: what was offered is accounted for.
func settledTotals(t testing.TB, srv *weir.Server, topic, done string) {
	t.Helper()
	at := func(name string) float64 { return metric(t, srv, "weir_"+name, `topic="`+topic+`"`) }
	offered, sum := at("offered_total"), at(done)+at("coalesced_total")+at("dropped_total")
	if offered == 0 || offered != sum {
		t.Errorf("topic %s: offered %v, accounted for %v", topic, offered, sum)
	}
}

// metric adds up the samples of one metric whose labels contain all of labels, as GET
// /metrics shows them.
func metric(t testing.TB, srv *weir.Server, name string, labels ...string) (sum float64) {
	t.Helper()
	w := httptest.NewRecorder()
	srv.Management().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("GET /metrics: %d %s", w.Code, w.Body)
	}
	found := false
	lines := bufio.NewScanner(w.Body)
	lines.Buffer(nil, 1<<20)
scan:
	for lines.Scan() {
		line := lines.Text()
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		found = true
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue scan
			}
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("sample %q: %v", line, err)
		}
		sum += v
	}
	if !found {
		t.Fatalf("GET /metrics: no sample of %s", name)
	}
	return sum
}
