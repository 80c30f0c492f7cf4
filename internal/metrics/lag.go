package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// How long a walk over the clients may take, and how long its result is good for:
// several scrapers cost one walk.
const (
	walkTimeout = time.Second
	lagFor      = time.Second
)

// lagGauge is the result of the last walk over the clients.
type lagGauge struct {
	mu   sync.Mutex
	at   time.Time
	last []namespaceLag
}

type namespaceLag struct {
	namespace string
	lagging   int
	losing    int
	oldest    time.Duration
	unread    time.Duration // age of the oldest record that a lane behind waits for
}

// read returns the lag of each namespace. If a walk does not end in time, its
// namespace and those after it are left out: no figure is better than an old one.
// The lock is held over the walk so that scrapes at the same time share it; nobody
// else takes it, and the walk is bounded.
func (g *lagGauge) read(ctx context.Context, h *delivery.Hub) []namespaceLag {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.at) < lagFor {
		return g.last
	}
	ctx, cancel := context.WithTimeout(ctx, walkTimeout)
	defer cancel()
	g.last = g.last[:0:0]
	for _, n := range sortedNamespaces(h) {
		s, err := h.Survey(ctx, survey.Query{Namespace: n.Path, Sort: survey.ByLag, Limit: 1})
		if err != nil {
			break
		}
		l := namespaceLag{namespace: n.Path, lagging: s.Lagging, losing: s.Losing, unread: s.Unread}
		if len(s.Clients) > 0 {
			l.oldest = time.Duration(s.Clients[0].OldestMs) * time.Millisecond
		}
		g.last = append(g.last, l)
	}
	g.at = time.Now()
	return g.last
}
