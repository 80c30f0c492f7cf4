package systemtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// listed is an answer to /api/clients of all nodes.
type listed struct {
	Total, Listed int
	Clients       []weir.ClientView
	Groups        []struct {
		Name    string
		Clients int
	}
	Nodes *struct {
		Answered int
		Missing  []string
		Unknown  bool
	}
	Error struct{ Code, Message string }
}

// list asks a node for clients.
func list(t *testing.T, srv *weir.Server, path string) (a listed) {
	t.Helper()
	if err := json.Unmarshal([]byte(manage(t, srv, http.MethodGet, path, "")), &a); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return a
}

// TestClientsAreListedOverAllNodes: one order, page by page; one client with the node that has it; groups; and one verdict.
func TestClientsAreListedOverAllNodes(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e *engine) {
		a, b := e.node("a"), e.node("b")
		var ids []string
		at := make(map[string]string)
		for i := range 5 {
			name, srv := "a", a
			if i%2 == 1 {
				name, srv = "b", b
			}
			c := gather(t, srv, []string{"plain", "kept"}[:i%3]...)
			ids, at[c.sid] = append(ids, c.sid), name
		}
		slices.Sort(ids)
		whole(t, a, "map[a:3 b:2]")
		var pages []string
		for after := ""; ; after = pages[len(pages)-1] {
			p := list(t, b, "/api/clients?scope=cluster&sort=id&limit=2&after="+after)
			if len(p.Clients) == 0 {
				break
			}
			if want := 5 - len(pages); p.Total != want || p.Nodes == nil || p.Nodes.Answered != 2 || p.Listed > 2 {
				t.Errorf("a page behind %q: %+v, want a total of %d", after, p, want)
			}
			for _, c := range p.Clients {
				pages = append(pages, c.ID)
				if c.Node != at[c.ID] {
					t.Errorf("a client of %s is shown on %q", at[c.ID], c.Node)
				}
			}
		}
		if !slices.Equal(pages, ids) {
			t.Errorf("the pages have %q, want %q", pages, ids)
		}
		for _, c := range list(t, a, "/api/clients?scope=cluster").Clients {
			pages = pages[1:]
			if c.ID != ids[len(ids)-len(pages)-1] {
				t.Errorf("clients that do not lag are not in the order of their ids: %s", c.ID)
			}
		}
		if p := list(t, a, "/api/clients?scope=cluster&topic=plain&limit=1"); p.Total != 3 || p.Listed != 1 || p.Nodes.Answered != 2 {
			t.Errorf("of one topic: %+v", p)
		}
		if p := list(t, a, "/api/clients?scope=cluster&groupBy=topic"); len(p.Groups) != 3 || p.Groups[0].Clients+p.Groups[1].Clients+p.Groups[2].Clients != 9 {
			t.Errorf("grouped: %+v", p.Groups)
		}
		if p := list(t, a, "/api/clients"); p.Total != 3 || p.Nodes != nil || p.Clients[0].Node != "" {
			t.Errorf("of this node: %+v", p)
		}
		for _, id := range ids {
			var v weir.ClientView
			if err := json.Unmarshal([]byte(manage(t, a, http.MethodGet, "/api/clients/"+id, "")), &v); err != nil || v.ID != id || v.Node != at[id] {
				t.Errorf("one client: %+v, %v", v, err)
			}
		}
		if p := list(t, a, "/api/clients/nobody"); p.Error.Code != "unknown" {
			t.Errorf("no client: %+v", p.Error)
		}
		var lag struct {
			Clients int
			Verdict struct{ Kind, Sentence string }
			ByNode  []struct {
				Node    string
				Clients int
			}
		}
		text := manage(t, b, http.MethodGet, "/api/lag?scope=cluster", "")
		if err := json.Unmarshal([]byte(text), &lag); err != nil || lag.Clients != 5 || fmt.Sprint(lag.ByNode) != "[{a 3} {b 2}]" ||
			lag.Verdict.Kind != "nobody" || !strings.Contains(lag.Verdict.Sentence, "any of 5 clients") {
			t.Errorf("%s, %v", text, err)
		}
	})
}
