package weir

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/build"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/metrics"
)

// counters are figures of the whole server that the hub does not know.
type counters struct {
	authLimited atomic.Uint64
	authRevoked atomic.Uint64
	panics      atomic.Uint64 // of the application's code, caught
	requests    guard.Tally   // clients' delivery events refused, by code
}

// figures are those of one namespace.
type figures struct {
	opened, closed          atomic.Uint64
	received, receivedBytes atomic.Uint64
	authRejected, noHandler atomic.Uint64
	authUnavailable         atomic.Uint64
	skipped, unheard        atomic.Uint64 // events not handled; answers to clients that had left
	strays                  atomic.Uint64 // answers that nobody waits for
}

// codeNames name Engine.IO's error codes (protocol.md 1.1) for the metric
// weir_handshakes_refused_total.
var codeNames = [...]string{"transport", "unknown_session", "method", "bad_request", link.RefusedOrigin, link.RefusedVersion}

// extra collects the figures the hub does not know, for metrics and the
// management API.
func (s *Server) extra() metrics.Extra {
	e := metrics.Extra{
		Since:    s.began,
		Sessions: map[string]int{}, Refused: map[string]uint64{}, Strays: map[string]uint64{"answer": 0}, Namespaces: map[string]metrics.NamespaceFigures{},
		AuthRateLimited: s.count.authLimited.Load(), Reconnects: s.comers.Back(),
		AuthRevoked: s.count.authRevoked.Load(), Revocations: s.revoked.Len(),
	}
	e.Overdue, e.Late = s.handling.overdue(time.Now()), s.handling.late.Load()
	w := s.workers.Stats()
	e.LogDropped = s.lines.Dropped()
	e.EventsDropped, e.EventsPanics = s.herald.read(&s.herald.dropped), s.herald.read(&s.herald.panics)
	e.Workers = metrics.Workers{Running: w.Running, Queued: w.Queued, Panics: w.Panics + s.count.panics.Load()}
	o := s.outside.Stats()
	e.Workers.Panics += o.Panics + s.readers.Stats().Panics + s.requests.Stats().Panics
	r := s.requests.Stats()
	e.RequestsRunning, e.RequestsQueued = r.Running, r.Queued
	e.Outside = metrics.Outside{Running: o.Running, Queued: o.Queued, Refused: o.Refused}
	e.Build = metrics.Build{Version: build.Version(), Revision: build.Revision(), GoVersion: runtime.Version()}
	for _, d := range s.doors {
		st := d.Stats()
		e.Sessions["polling"] += int(st.Polling)
		e.Sessions["websocket"] += int(st.WebSocket)
		for code, n := range st.Refused {
			e.Refused[codeNames[code]] += n
		}
		for k, n := range st.Strays {
			e.Strays[engineio.Stray(k).String()] += n
		}
		d.Refused(func(reason string, n uint64) { e.Refused[reason] += n })
	}
	e.Cluster = s.fleet.figures()
	for _, d := range s.doors {
		if d.Inbound != nil {
			e.Inbound = append(e.Inbound, d.inboundFigures())
		}
	}
	for _, t := range s.tls {
		e.TLS = append(e.TLS, t.figures())
	}
	if f := s.extras.Reloads; f != nil {
		r := f()
		e.Reloads = &metrics.Reloads{Applied: r.Applied, Refused: r.Refused, Last: r.Last}
	}
	e.Hooks = s.hookFigures()
	e.Requests = s.count.requests.Read()
	e.Journal = s.disk.figures()
	for path, n := range s.byPath.All() {
		n.readTimes(func(event string, d *latency.Distribution) {
			e.Handler.Join(d)
			e.Handlers = append(e.Handlers, metrics.HandlerTime{Namespace: path, Event: event, Took: *d})
		})
		c := &n.count
		e.Strays["answer"] += c.strays.Load()
		e.Namespaces[path] = metrics.NamespaceFigures{
			Opened: c.opened.Load(), Closed: c.closed.Load(), Received: c.received.Load(),
			ReceivedBytes: c.receivedBytes.Load(), AuthRejected: c.authRejected.Load(), AuthUnavailable: c.authUnavailable.Load(), NoHandler: c.noHandler.Load(),
			EventsSkipped: c.skipped.Load(), AnswersUnheard: c.unheard.Load(),
			Schemas: n.schemas.Load().figures(),
		}
	}
	return e
}
