// Package metrics shows the server's figures as Prometheus metrics: readers of
// snapshots, which cost a message nothing (docs/metrics.md).
package metrics

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/latency"
)

// Options shape a Collector.
type Options struct {
	Hub   *delivery.Hub
	Extra func() Extra // called once per scrape, from any goroutine; nil = none
	// StreamFence adds StreamFence's names, in both spellings (protocol.md 3.11).
	StreamFence bool
}

// Collector is the server as a prometheus.Collector. It may be registered with
// several registries and is safe for concurrent use. A scrape reads counters; only
// the lag gauges walk over the clients, at most once a second.
type Collector struct {
	hub         *delivery.Hub
	extra       func() Extra
	streamFence bool
	lag         lagGauge
}

// New returns a collector; the hub need not run yet.
func New(o Options) *Collector {
	if o.Extra == nil {
		o.Extra = func() Extra { return Extra{} }
	}
	return &Collector{hub: o.Hub, extra: o.Extra, streamFence: o.StreamFence}
}

// Registry returns a registry of its own with the collector, the Go runtime's and
// the process's figures: what /metrics of a server shows.
func (c *Collector) Registry() (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	for _, x := range []prometheus.Collector{
		c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(x); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
	if c.streamFence {
		for _, f := range streamFenceFamilies {
			ch <- f.desc
		}
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s, x := sink{ch}, c.extra()
	for _, n := range sortedNamespaces(c.hub) {
		s.put(connected, float64(x.Namespaces[n.Path].connected()), n.Path)
		collectNamespace(s, n, x.Namespaces[n.Path])
	}
	c.collectLag(s)
	collectNode(s, c.hub)
	collectDoor(s, x)
	if x.Journal != nil {
		collectJournal(s, c.hub, x.Journal)
	}
	if c.streamFence {
		collectStreamFence(s, c.hub, x)
	}
}

func sortedNamespaces(h *delivery.Hub) []*delivery.Namespace {
	var list []*delivery.Namespace
	for _, n := range h.Namespaces() {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *delivery.Namespace) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

func collectNamespace(s sink, n *delivery.Namespace, x NamespaceFigures) {
	s.put(opened, float64(x.Opened), n.Path)
	s.put(closed, float64(x.Closed), n.Path)
	s.put(received, float64(x.Received), n.Path)
	s.put(receivedBytes, float64(x.ReceivedBytes), n.Path)
	s.put(authRejected, float64(x.AuthRejected), n.Path)
	s.put(authUnavailable, float64(x.AuthUnavailable), n.Path)
	s.put(noHandler, float64(x.NoHandler), n.Path)
	s.put(eventsSkipped, float64(x.EventsSkipped), n.Path)
	s.put(answersUnheard, float64(x.AnswersUnheard), n.Path)
	for _, f := range x.Schemas {
		s.put(schemaViolation, float64(f.Violations), n.Path, f.Name, "false")
		s.put(schemaViolation, float64(f.Dry), n.Path, f.Name, "true")
	}
	s.books(n.EventTotals(), n.Path, eventsLane)
	for _, d := range n.Topics() {
		topic := d.Spec.Name
		s.put(published, float64(d.Published.Load()), n.Path, topic)
		for r := range d.Refused {
			s.put(publishRefused, float64(d.Refused[r].Load()), n.Path, topic, delivery.Refusal(r).String())
		}
		k := d.Kept()
		s.put(subscribers, float64(d.Subscribers()), n.Path, topic)
		s.put(keptValues, float64(k.Values), n.Path, topic)
		s.put(keptEvicted, float64(k.Evicted), n.Path, topic)
		totals := d.Totals()
		s.books(totals, n.Path, topic)
		if d.Spec.Journal {
			s.put(spilled, float64(totals.Spills), n.Path, topic)
			s.put(spilledMessages, float64(totals.Spilled), n.Path, topic)
			s.put(spilledBytes, float64(totals.SpilledBytes), n.Path, topic)
			s.put(lanesBehind, float64(totals.Behind), n.Path, topic)
		}
		write, ack := d.Latency()
		s.histogram(publishToWrite, write, n.Path, topic)
		if d.Reliable() {
			s.put(acked, float64(totals.Acked), n.Path, topic)
			s.put(retries, float64(totals.Retries), n.Path, topic)
			s.put(retriesExhausted, float64(totals.Dropped[base.ReasonExhausted]), n.Path, topic)
			s.put(inFlight, float64(totals.InFlight), n.Path, topic)
			s.histogram(publishToAck, ack, n.Path, topic)
		}
	}
}

// eventsLane is the topic label of the lanes that carry plain events and answers.
const eventsLane = ""

// books are what every kind of lane has (promise P5).
func (s sink) books(t delivery.Totals, namespace, topic string) {
	s.put(offered, float64(t.Offered), namespace, topic)
	s.put(written, float64(t.Written), namespace, topic)
	s.put(coalesced, float64(t.Coalesced), namespace, topic)
	s.put(expired, float64(t.Dropped[base.ReasonExpired]), namespace, topic)
	s.put(queuedMessages, float64(t.Queued), namespace, topic)
	s.put(queuedBytes, float64(t.Bytes), namespace, topic)
	s.put(heldBytes, float64(t.Held), namespace, topic)
	for r := range base.Reason(base.Reasons) {
		s.put(dropped, float64(t.Dropped[r]), namespace, topic, r.String())
	}
}

func collectNode(s sink, h *delivery.Hub) {
	var connections, subscriptions int64
	var tasks, jobs int
	var loop latency.Distribution
	var stalls uint64
	var longest time.Duration
	for _, sh := range h.Shards() {
		st := sh.Stats()
		connections += st.Connections
		subscriptions += st.Subscriptions
		tasks, jobs = tasks+st.Tasks, jobs+st.Jobs
		loop = merge(loop, st.Loop)
		stalls, longest = stalls+st.Stalls, max(longest, st.Longest)
	}
	s.put(connectionsOpen, float64(connections))
	s.put(subscriptionsOpen, float64(subscriptions))
	s.put(inboxDepth, float64(tasks), "tasks")
	s.put(inboxDepth, float64(jobs), "publications")
	s.histogram(loopSeconds, loop)
	s.put(loopStalls, float64(stalls))
	s.put(loopLongest, longest.Seconds())
	for a, held := range h.Accounts() {
		s.put(memoryHeld, float64(held), budget.Account(a).String())
	}
	s.put(memoryBudget, float64(h.Budget()))
	ratio := 0.0
	if b := h.Budget(); b > 0 {
		ratio = float64(h.Held()) / float64(b)
	}
	s.put(memoryRatio, ratio)
	for cause := range base.Cause(base.Causes) {
		ended := cuts
		if cause.Leaves() {
			ended = left
		}
		s.put(ended, float64(h.Cuts(cause)), cause.String())
	}
	s.put(unbalanced, float64(h.Unbalanced.Load()))
	s.put(idsForgotten, float64(h.IDsForgotten()))
}

func merge(a, b latency.Distribution) latency.Distribution {
	for i := range a.Counts {
		a.Counts[i] += b.Counts[i]
	}
	a.Sum += b.Sum
	return a
}

func collectCluster(s sink, c *Cluster) {
	if c == nil {
		return
	}
	up := 0.0
	if c.Up {
		up = 1
	}
	s.put(clusterUp, up)
	s.put(clusterNodes, float64(c.Nodes))
	s.put(clusterMissed, float64(c.Missed))
	s.put(clusterRefused, float64(c.Refused))
	s.put(clusterUnheard, float64(c.Unheard))
	s.put(clusterRenumbered, float64(c.Renumbered))
	for kind, n := range c.Unsent {
		s.put(clusterUnsent, float64(n), kind)
	}
}

func collectDoor(s sink, x Extra) {
	collectCluster(s, x.Cluster)
	for transport, n := range x.Sessions {
		s.put(sessions, float64(n), transport)
	}
	for reason, n := range x.Refused {
		s.put(handshakesRefused, float64(n), reason)
	}
	for code, n := range x.Requests {
		s.put(requestsRefused, float64(n), code)
	}
	s.put(authRateLimited, float64(x.AuthRateLimited))
	s.put(authRevoked, float64(x.AuthRevoked))
	s.put(revocations, float64(x.Revocations))
	for i := range x.Inbound {
		collectInbound(s, &x.Inbound[i])
	}
	if r := x.Reloads; r != nil {
		s.put(configReloads, float64(r.Applied), "applied")
		s.put(configReloads, float64(r.Refused), "refused")
		at := 0.0
		if !r.Last.IsZero() {
			at = float64(r.Last.Unix())
		}
		s.put(configReloaded, at)
	}
	for kind, n := range x.Strays {
		s.put(strays, float64(n), kind)
	}
	s.put(reconnects, float64(x.Reconnects))
	s.put(workersRunning, float64(x.Workers.Running))
	s.put(workersQueued, float64(x.Workers.Queued))
	s.put(outsideRunning, float64(x.Outside.Running))
	s.put(outsideQueued, float64(x.Outside.Queued))
	s.put(outsideRefused, float64(x.Outside.Refused))
	s.put(handlerPanics, float64(x.Workers.Panics))
	for i := range x.Handlers {
		h := &x.Handlers[i]
		s.histogram(handlerSeconds, h.Took, h.Namespace, h.Event)
	}
	s.put(handlersOverdue, float64(x.Overdue))
	s.put(handlersLate, float64(x.Late))
	s.put(requestsRunning, float64(x.RequestsRunning))
	s.put(requestsQueued, float64(x.RequestsQueued))
	s.put(logDropped, float64(x.LogDropped))
	for event, n := range x.EventsDropped {
		s.put(eventsDropped, float64(n), event)
	}
	for event, n := range x.EventsPanics {
		s.put(eventsPanics, float64(n), event)
	}
	for _, t := range x.TLS {
		collectTLS(s, t)
	}
	for i := range x.Hooks {
		collectHook(s, &x.Hooks[i])
	}
	s.put(buildInfo, 1, x.Build.Version, x.Build.Revision, x.Build.GoVersion)
}

func collectHook(s sink, h *Hook) {
	for result, n := range h.Calls {
		s.put(hookCalls, float64(n), h.Hook, result)
	}
	s.put(hookRunning, float64(h.Running), h.Hook)
	s.put(hookWaiting, float64(h.Waiting), h.Hook)
	open := 0.0
	if h.Open {
		open = 1
	}
	s.put(hookOpen, open, h.Hook)
	s.histogram(hookSeconds, h.Took, h.Hook)
}

func collectTLS(s sink, t TLS) {
	if !t.Expires.IsZero() {
		s.put(tlsExpires, float64(t.Expires.Unix()), t.Server)
	}
	s.put(tlsReloads, float64(t.Renewed), t.Server, "renewed")
	s.put(tlsReloads, float64(t.Refused), t.Server, "refused")
	for result, n := range t.Handshakes {
		s.put(tlsHandshakes, float64(n), t.Server, result)
	}
}

func (c *Collector) collectLag(s sink) {
	for _, l := range c.lag.read(context.Background(), c.hub) {
		s.put(clientsLagging, float64(l.lagging), l.namespace)
		s.put(clientsLosing, float64(l.losing), l.namespace)
		s.put(oldestAge, l.oldest.Seconds(), l.namespace)
		s.put(oldestUnread, l.unread.Seconds(), l.namespace)
	}
}

func collectInbound(s sink, in *Inbound) {
	for _, b := range in.Beyond {
		s.put(rateLimited, float64(b.Events), in.Server, b.Action, strconv.FormatBool(b.DryRun))
	}
	s.put(clientsThrottled, float64(in.Throttled), in.Server)
	s.put(rateSenders, float64(in.Senders), in.Server)
}
