package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/survey/top"
)

// cluster is the other nodes of a test: each answers a question as it likes.
type cluster struct {
	nodes   map[string]func(asked []byte) []byte
	missing []string
	asked   chan struct{} // unless nil: an Ask says so, and waits for goOn
	goOn    chan struct{}
}

func (c *cluster) Name() string { return "here" }

func (c *cluster) Ask(_ context.Context, asked []byte, use func([]byte) (understood, whole bool)) *admin.Nodes {
	if c.asked != nil {
		c.asked <- struct{}{}
		<-c.goOn
	}
	n := &admin.Nodes{Answered: 1, Missing: slices.Clone(c.missing)}
	for name, answer := range c.nodes {
		understood, whole := use(answer(asked))
		if understood {
			n.Answered++
		}
		if !whole {
			n.Missing = append(n.Missing, name)
		}
	}
	slices.Sort(n.Missing)
	return n
}

// among sets a node up among others.
func among(t *testing.T, c *cluster) *fixture {
	t.Helper()
	return setUp(t, func(o *admin.Options) {
		o.Views = admin.NewViews(o.Hub, func() []metrics.Trouble { return nil }, c)
	})
}

// page is an answer with clients of these ids, ranked by how many there are behind.
func page(t *testing.T, ids ...string) []byte {
	t.Helper()
	p := &survey.Page{Total: 100, Lagging: 10}
	for i, id := range ids {
		e, err := survey.Encode(&survey.Client{ID: id, Node: "there", Lanes: []survey.Lane{{Topic: "prices"}}}, top.Rank{By: int64(len(ids) - i), ID: id})
		if err != nil {
			t.Fatal(err)
		}
		p.Clients = append(p.Clients, e)
	}
	return survey.AppendPage(nil, p, 1<<20)
}

// Nodes that answer with more than was asked for, with less than there is, or with what is no answer, are named, and what they
// say beyond is not used.
func TestAnswersOfOtherNodesAreBoundedAndJudged(t *testing.T) {
	raw := func(text string) []byte {
		return survey.AppendPage(nil, &survey.Page{Total: 7, Clients: []survey.Encoded{{Rank: top.Rank{By: 1 << 40, ID: "x"}, JSON: []byte(text)}}}, 1<<20)
	}
	short := survey.AppendPage(nil, &survey.Page{Total: 50, Short: true}, 1<<20)
	for name, row := range map[string]struct {
		answer          []byte
		listed, total   int
		answered, named bool
	}{
		"two clients":             {page(t, "b", "c"), 2, 101, true, false},
		"more than asked for":     {page(t, "b", "c", "d"), 1, 1, false, true},
		"clients left out":        {short, 1, 51, true, true},
		"nothing":                 {nil, 1, 1, false, true},
		"no page":                 {[]byte("hello"), 1, 1, false, true},
		"a client that is none":   {raw(`[1]`), 1, 1, false, true},
		"no JSON":                 {raw(`{"id":`), 1, 1, false, true},
		"an object, as it stands": {raw(`{"new":{"field":1}}`), 2, 8, true, false},
	} {
		c := &cluster{nodes: map[string]func([]byte) []byte{"there": func([]byte) []byte { return row.answer }}}
		f := among(t, c)
		f.connect(connection{principal: "own"})
		a := get[struct {
			Total, Listed int
			Clients       []json.RawMessage
			Nodes         admin.Nodes
		}](f, "/api/clients?scope=cluster&limit=2")
		want := admin.Nodes{Answered: 1}
		if row.answered {
			want.Answered = 2
		}
		if row.named {
			want.Missing = []string{"there"}
		}
		if a.Total != row.total || len(a.Clients) != row.listed || a.Listed != row.listed || fmt.Sprint(a.Nodes) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, want %d of %d, %+v", name, a, row.listed, row.total, want)
		}
	}
	// Read for groups, what has another form than this version's is not understood.
	c := &cluster{nodes: map[string]func([]byte) []byte{"there": func([]byte) []byte { return raw(`{"depth":"many"}`) }}}
	if a := get[struct{ Nodes admin.Nodes }](among(t, c), "/api/clients?scope=cluster&groupBy=principal"); a.Nodes.Whole() {
		t.Errorf("%+v", a)
	}
}

// A client that nobody has is unknown only where all have answered.
func TestClientThatMayBeOnASilentNodeIsNotUnknown(t *testing.T) {
	c := &cluster{nodes: map[string]func([]byte) []byte{"there": func([]byte) []byte { return page(t) }}}
	f := among(t, c)
	if w := f.do(http.MethodGet, "/api/clients/x", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	c.missing = []string{"silent"}
	if w := f.do(http.MethodGet, "/api/clients/x", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "silent") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	c.nodes["there"] = func([]byte) []byte { return page(t, "x") }
	if v := get[survey.Client](f, "/api/clients/x"); v.ID != "x" || v.Node != "there" {
		t.Errorf("%+v", v)
	}
}

// So many ask all nodes at the same time, and no more: what they are answered is held meanwhile.
func TestQuestionsToAllNodesAreFew(t *testing.T) {
	c := &cluster{asked: make(chan struct{}), goOn: make(chan struct{})}
	f := among(t, c)
	const seats = 4
	done := make(chan int)
	for range seats {
		go func() { done <- f.do(http.MethodGet, "/api/clients?scope=cluster", "").Code }()
		<-c.asked
	}
	for _, path := range []string{"/api/clients?scope=cluster", "/api/lag?scope=cluster"} {
		if w := f.do(http.MethodGet, path, ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	close(c.goOn)
	for range seats {
		if code := <-done; code != http.StatusOK {
			t.Errorf("answered %d", code)
		}
	}
}

// The verdict of all nodes is the worst of theirs, says who has it, and what is not known.
func TestVerdictOfAllNodesIsTheWorst(t *testing.T) {
	says := func(node, kind, sentence string, lagging int) func([]byte) []byte {
		b, err := json.Marshal(map[string]any{"node": node, "clients": 10, "lagging": lagging, "verdict": map[string]any{"kind": kind, "sentence": sentence}})
		if err != nil {
			t.Fatal(err)
		}
		return func([]byte) []byte { return append([]byte{1}, b...) }
	}
	nobody := says("n", "nobody", "Nobody.", 0)
	for _, row := range []struct {
		nodes          map[string]func([]byte) []byte
		missing        []string
		kind, sentence string
	}{
		{nil, nil, "nobody", "Nobody lags: no message waits for more than a second for any of 0 clients, and nobody loses many."},
		{map[string]func([]byte) []byte{"n": nobody, "m": nobody}, nil, "nobody", "Nobody lags: no message waits for more than a second for any of 20 clients, and nobody loses many."},
		{map[string]func([]byte) []byte{"n": nobody}, []string{"gone"}, "nobody", "Nobody lags: no message waits for more than a second for any of 10 clients, and nobody loses many. Not all is known: these have not answered in full: gone."},
		{map[string]func([]byte) []byte{"n": nobody, "x": says("x", "topic", "X.", 3), "y": says("y", "everyone", "Y.", 9), "d": says("d", "disk", "D.", 0), "z": says("z", "node", "Z.", 1)}, nil, "disk", "d: D. y: Y. x: X. Something is wrong on 1 nodes more."},
		{map[string]func([]byte) []byte{"x": func([]byte) []byte { return []byte("\x01{") }}, nil, "nobody", "Nobody lags: no message waits for more than a second for any of 0 clients, and nobody loses many. Not all is known: these have not answered in full: x."},
		{map[string]func([]byte) []byte{"x": func([]byte) []byte { return append([]byte("\x01{}"), bytes.Repeat([]byte(" "), 1<<20)...) }}, nil, "nobody", "Nobody lags: no message waits for more than a second for any of 0 clients, and nobody loses many. Not all is known: these have not answered in full: x."},
	} {
		f := among(t, &cluster{nodes: row.nodes, missing: row.missing})
		a := get[struct {
			Verdict struct{ Kind, Sentence string }
			ByNode  []json.RawMessage
		}](f, "/api/lag?scope=cluster")
		if a.Verdict.Kind != row.kind || a.Verdict.Sentence != row.sentence || len(a.ByNode) == 0 {
			t.Errorf("%+v, want %s, %s", a, row.kind, row.sentence)
		}
	}
}

// A node answers what it knows how to, in so many bytes, and nothing else.
func TestNodeAnswersWithinItsBytes(t *testing.T) {
	f := setUp(t)
	v := admin.NewViews(f.hub, func() []metrics.Trouble { return nil }, &cluster{})
	for i := range 50 {
		f.connect(connection{principal: fmt.Sprint("p", i), shard: i % 2, topics: []string{"prices"}})
	}
	for _, most := range []int{10_000, 2000, 100} {
		b := v.Answer(t.Context(), []byte("\x01"+`{"clients":{"Limit":1000,"Topic":"prices"}}`), most)
		p, err := survey.ParsePage(b, 1000)
		if err != nil || p.Total != 50 || !p.Short || len(b) > most {
			t.Errorf("in %d bytes: %d of %d, short %t, %v", most, len(p.Clients), p.Total, p.Short, err)
		}
	}
	if b := v.Answer(t.Context(), []byte("\x01"+`{"lag":true}`), 1<<20); !bytes.Contains(b, []byte(`"clients":50`)) || !bytes.Contains(b, []byte(`"node":"here"`)) {
		t.Errorf("%s", b)
	}
	if b := v.Answer(t.Context(), []byte("\x01"+`{"lag":true}`), 10); b != nil {
		t.Errorf("%d bytes in 10", len(b))
	}
	for _, asked := range []string{"", "\x02{}", "\x01{}", "\x01" + `{"lag":true,"clients":{}}`, "\x01" + `{"clients":{"Limit":1001}}`, "\x01" + `{"clients":{"Shape":"round"}}`, "\x01" + `{"clients":{"Sort":200}}`} {
		if b := v.Answer(t.Context(), []byte(asked), 1<<20); b != nil {
			t.Errorf("%q is answered %q", asked, b)
		}
	}
}

// FuzzParseQuestion: whatever another node asks is refused, or a question with the bounds of this one's own.
func FuzzParseQuestion(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		again, ok := admin.ParseQuestion(b)
		if !ok {
			return
		}
		if twice, ok := admin.ParseQuestion(again); !ok || !bytes.Equal(twice, again) {
			t.Errorf("%q is asked as %q, and that as %q", b, again, twice)
		}
	})
}

// FuzzParseLag: whatever another node answers about who lags is refused, or shown as it is.
func FuzzParseLag(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := admin.ParseLag(b); ok && !json.Valid(b[1:]) {
			t.Errorf("%q is shown", b)
		}
	})
}
