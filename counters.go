package weir

import (
	"maps"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/streamweir/weir/internal/build"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/metrics"
)

// counters are figures of the whole server that the hub does not know.
type counters struct {
	authLimited atomic.Uint64
	handlers    delivery.Histogram
	requests    tally // clients' delivery events refused, by code
}

// figures are those of one namespace.
type figures struct {
	opened, closed          atomic.Uint64
	received, receivedBytes atomic.Uint64
	authRejected, noHandler atomic.Uint64
}

// tally counts by code.
type tally struct {
	mu sync.Mutex
	by map[string]uint64
}

func (t *tally) add(code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = make(map[string]uint64)
	}
	t.by[code]++
}

func (t *tally) read() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.by)
}

// comers counts clients that come back after having been cut, by address: an
// estimate, since many clients may share one.
type comers struct {
	mu   sync.Mutex
	away map[string]int
	back atomic.Uint64
}

// maxAway bounds how many addresses are remembered.
const maxAway = 65_536

func (c *comers) left(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away == nil {
		c.away = make(map[string]int)
	}
	if len(c.away) < maxAway || c.away[address] > 0 {
		c.away[address]++
	}
}

func (c *comers) came(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := c.away[address]; n {
	case 0:
		return
	case 1:
		delete(c.away, address)
	default:
		c.away[address] = n - 1
	}
	c.back.Add(1)
}

// codeNames name Engine.IO's error codes (protocol.md 1.1) for the metric
// weir_handshakes_refused_total.
var codeNames = [...]string{"transport", "unknown_session", "method", "bad_request", "forbidden", "protocol_version"}

// extra collects the figures the hub does not know, for metrics and the
// management API.
func (s *Server) extra() metrics.Extra {
	e := metrics.Extra{
		Sessions: map[string]int{}, Refused: map[string]uint64{}, Namespaces: map[string]metrics.NamespaceFigures{},
		AuthRateLimited: s.count.authLimited.Load(), Reconnects: s.comers.back.Load(),
	}
	e.Handler.Add(&s.count.handlers)
	w := s.workers.Stats()
	e.Workers = metrics.Workers{Running: w.Running, Queued: w.Queued, Panics: w.Panics}
	e.Build = metrics.Build{Version: build.Version(), Revision: build.Revision(), GoVersion: runtime.Version()}
	for _, d := range s.doors {
		st := d.engine.Stats()
		e.Sessions["polling"] += int(st.Polling)
		e.Sessions["websocket"] += int(st.WebSocket)
		for code, n := range st.Refused {
			e.Refused[codeNames[code]] += n
		}
		for r := range d.refused {
			e.Refused[refusalNames[r]] += d.refused[r].Load()
		}
	}
	e.Requests = s.count.requests.read()
	for path, n := range s.byPath {
		c := &n.count
		e.Namespaces[path] = metrics.NamespaceFigures{
			Opened: c.opened.Load(), Closed: c.closed.Load(), Received: c.received.Load(),
			ReceivedBytes: c.receivedBytes.Load(), AuthRejected: c.authRejected.Load(), NoHandler: c.noHandler.Load(),
		}
	}
	return e
}
