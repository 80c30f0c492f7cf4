package systemtest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
)

// As TestFloodOfUnfinishedMessagesEndsAtTheBudget, over polling: bodies that limits.inbound has wait.
func TestFloodOfThrottledBodiesEndsAtTheBudget(t *testing.T) {
	const budget, clients = 4 << 20, 12
	var packets []string
	for i := range 30_000 {
		packets = append(packets, fmt.Sprintf("40/none%d,", i))
	}
	body := strings.Join(packets, "\x1e")
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			so.Namespaces = feed(weir.TopicOptions{Name: "prices"}).Namespaces
			so.Limits.Inbound = []weir.InboundLimit{{Events: "connect", Messages: 1, Window: ages}}
			srv := start(t, weir.Options{Servers: []weir.ServerOptions{so}, Memory: weir.MemoryOptions{BudgetBytes: budget}})
			beside := newBystander(t, srv)
			var all []*poller
			for range clients {
				all = append(all, newPoller(t, addr(srv)))
			}
			ctx, stop := context.WithCancel(t.Context())
			var posts sync.WaitGroup
			defer posts.Wait()
			defer stop()
			for _, p := range all {
				posts.Go(func() {
					r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					if answer, err := http.DefaultClient.Do(r); err == nil { // else it was cut
						_ = answer.Body.Close()
					}
				})
			}
			eventually(t, "some are cut, and the budget is kept", func() bool {
				held, _ := srv.HeldBytes()
				return metric(t, srv, "weir_cut_total", `cause="memory_budget"`) > 0 && held < budget
			})
			if n := metric(t, srv, "weir_cut_total", `cause="memory_budget"`); n >= clients {
				t.Errorf("all %v were cut", n)
			}
			beside.undisturbed() // it was not cut
		})
	}
}
