package systemtest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir"
)

// padded is a CONNECT whose auth object has about so many bytes.
func padded(bytes int) string {
	return `40/feed,{"pad":"` + strings.Repeat("x", bytes) + `"}`
}

// What clients have joined with is kept for as long as they are there: it is counted for as long, and has a limit.
func TestAuthObjectsAreCountedAndLimited(t *testing.T) {
	srv, _, _, _ := withChecks(t, weir.ServerOptions{})
	inbound := func() float64 { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) }
	const n, bytes = 8, 60_000
	var peers []*peer
	for range n {
		p := dialRaw(t, addr(srv), dialOptions{})
		p.send(padded(bytes))
		if got := p.next(); !strings.HasPrefix(got, `40/feed,{"sid":`) {
			t.Fatalf("%.200s", got)
		}
		peers = append(peers, p)
	}
	eventually(t, "what is kept is counted", func() bool { h := inbound(); return h >= n*bytes && h < 2*n*bytes })
	peers[0].send("41/feed,")
	eventually(t, "who leaves gives it back", func() bool { return inbound() < n*bytes })
	peers[0].send(padded(70_000))
	if got := peers[0].next(); !strings.HasPrefix(got, `44/feed,{"message":"too_large: `) || !strings.Contains(got, `"data":{"code":"too_large","retryable":false}`) {
		t.Errorf("an auth object that is too large: %.200s", got)
	}
	peers[0].send(padded(bytes))
	if got := peers[0].next(); !strings.HasPrefix(got, `40/feed,{"sid":`) {
		t.Errorf("after it was refused: %.200s", got)
	}
	for _, p := range peers {
		_ = p.conn.Close()
	}
	eventually(t, "all is given back", func() bool { return inbound() == 0 })
}

// Clients that fill the budget with what they join with are cut for it.
func TestAuthObjectsEndAtTheBudget(t *testing.T) {
	const budget, clients = 2 << 20, 60
	so := weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}}
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{so}, Memory: weir.MemoryOptions{BudgetBytes: budget}}, func(s *weir.Server) {
		s.Namespace("/feed").Use(func(context.Context, *weir.Socket) error { return nil })
	})
	for i := range clients { // each of another kind, or the first to be cut would keep the others out
		p, err := tryDial(addr(srv), dialOptions{header: fmt.Sprintf("User-Agent: %d\r\n", i)})
		if err != nil {
			continue // there is no room
		}
		t.Cleanup(func() { _ = p.conn.Close() })
		_ = p.write(padded(60_000)) // it may be cut meanwhile
		_, _ = p.receive()
	}
	eventually(t, "some are cut, and the budget is kept", func() bool {
		held, _ := srv.HeldBytes()
		return metric(t, srv, "weir_cut_total", `cause="memory_budget"`) > 0 && held < budget
	})
	if n := metric(t, srv, "weir_cut_total", `cause="memory_budget"`); n >= clients {
		t.Errorf("all %v were cut", n)
	}
}
