package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/redistest"
)

// TestNodeThatWasKilledLeavesNoGhosts: while the lease of a killed node runs, whatever is asked of all nodes is answered by the
// others, and the answer names it; afterwards nothing of it is left.
func TestNodeThatWasKilledLeavesNoGhosts(t *testing.T) {
	betweenNodes(t)
	s := redistest.Start(t)
	o := onNode(t, s.Addr(), "a")
	o.Management.ReceiptTimeout = 500 * time.Millisecond
	a := start(t, o)
	replying(t, a, "one")
	c := startNode(t, s.Addr(), "c")
	whole(t, a, "map[a:1 c:1]")
	c.kill()
	const of = "/api/clients?scope=cluster&sort=id"
	var problems []string
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if p := list(t, a, of); p.Total != 1 || p.Nodes.Answered != 1 || !slices.Equal(p.Nodes.Missing, []string{"c"}) {
		wrong("clients: %+v", p)
	}
	if p := list(t, a, of+"&topic=plain"); p.Total != 0 || !slices.Equal(p.Nodes.Missing, []string{"c"}) {
		wrong("who is subscribed: %+v", p)
	}
	if p := list(t, a, "/api/clients/somebody"); p.Error.Code != "unavailable" || !strings.HasSuffix(p.Error.Message, ": c") {
		wrong("one client: %+v", p.Error)
	}
	if text := manage(t, a, http.MethodGet, "/api/lag?scope=cluster", ""); !strings.Contains(text, "have not answered in full: c.") {
		wrong("who lags: %s", text)
	}
	if said, err := ask(t, a.Lookup("/feed").All(), time.Second, "x"); !errors.Is(err, weir.ErrTimeout) || !strings.HasSuffix(err.Error(), "not all have answered: node c") || len(said) != 1 {
		wrong("a question to clients: %v, %v", said, err)
	}
	tell := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.Lookup("/feed").ServerSideAsk(ctx, "x")
		return err
	}
	if err := tell(); !errors.Is(err, weir.ErrTimeout) || !strings.HasSuffix(err.Error(), "not all nodes have answered: c") {
		wrong("a question to nodes: %v", err)
	}
	if len(problems) > 0 && metric(t, a, "weir_cluster_nodes") == 2 { // else the lease has ended meanwhile, on a slow machine
		t.Error(strings.Join(problems, "\n"))
	}
	eventually(t, "the lease is over", func() bool { return metric(t, a, "weir_cluster_nodes") == 1 })
	if p := list(t, a, of); p.Total != 1 || p.Nodes.Answered != 1 || len(p.Nodes.Missing) != 0 || p.Nodes.Unknown {
		t.Errorf("clients, afterwards: %+v", p)
	}
	if p := list(t, a, "/api/clients/somebody"); p.Error.Code != "unknown" {
		t.Errorf("one client, afterwards: %+v", p.Error)
	}
	if said, err := ask(t, a.Lookup("/feed").All(), patience, "x"); err != nil || len(said) != 1 {
		t.Errorf("a question to clients, afterwards: %v, %v", said, err)
	}
	if err := tell(); err != nil {
		t.Errorf("a question to nodes, afterwards: %v", err)
	}
}
