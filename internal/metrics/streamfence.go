package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// streamFenceFamilies lists what streamFence has made, for Describe.
var streamFenceFamilies []family

// spellings is one figure under StreamFence's names: README's (JS) and the
// article's (Java). protocol.md 3.11.
type spellings []family

func streamFence(kind prometheus.ValueType, js, java, help string, labels ...string) (s spellings) {
	for _, name := range []string{js, java} {
		if name != "" {
			s = append(s, family{prometheus.NewDesc(name, help, labels, nil), kind})
		}
	}
	streamFenceFamilies = append(streamFenceFamilies, s...)
	return s
}

func sfCounter(js, java, help string, labels ...string) spellings {
	return streamFence(prometheus.CounterValue, "streamfence_"+js, "wsserver_"+java, help, labels...)
}

// StreamFence's names for our figures. What is missing, and why, is in
// docs/metrics.md.
var (
	sfOpened        = sfCounter("connections_total", "connections_opened_total", "weir_sockets_opened_total", "namespace")
	sfClosed        = sfCounter("disconnections_total", "connections_closed_total", "weir_sockets_closed_total", "namespace")
	sfActive        = streamFence(prometheus.GaugeValue, "", "wsserver_connections_active", "weir_sockets", "namespace")
	sfReceived      = sfCounter("messages_received_total", "messages_received_total", "weir_received_total", "namespace", "topic")
	sfReceivedBytes = sfCounter("messages_received_bytes_total", "bytes_received_total", "weir_received_bytes_total", "namespace", "topic")
	sfAuthRejected  = sfCounter("auth_rejected_total", "auth_rejected_total", "weir_auth_rejected_total", "namespace")
	sfAuthLimited   = sfCounter("auth_rate_limited_total", "auth_rate_limited_total", "weir_auth_rate_limited_total", "namespace")

	sfPublished = sfCounter("messages_published_total", "messages_published_total", "weir_published_total", "namespace", "topic")
	sfOverflow  = sfCounter("queue_overflow_total", "queue_overflow_total", "weir_dropped_total of a full lane", "namespace", "topic", "reason")
	sfRetries   = sfCounter("retries_total", "retry_count_total", "weir_retries_total", "namespace", "topic")
	sfExhausted = sfCounter("retries_exhausted_total", "retry_exhausted_total", "weir_retries_exhausted_total", "namespace", "topic")
	sfDropped   = sfCounter("messages_dropped_total", "messages_dropped_total", "weir_dropped_total of all reasons", "namespace", "topic")
	sfSpilled   = sfCounter("messages_spilled_total", "messages_spilled_total", "weir_spilled_total", "namespace", "topic")
	sfCoalesced = sfCounter("messages_coalesced_total", "messages_coalesced_total", "weir_coalesced_total", "namespace", "topic")
)

// overflowReasons are the drops that StreamFence counts as queue overflows.
var overflowReasons = []base.Reason{base.ReasonOverflow, base.ReasonRejected, base.ReasonTooLarge}

func collectStreamFence(s sink, h *delivery.Hub, x Extra) {
	for _, n := range sortedNamespaces(h) {
		f := x.Namespaces[n.Path]
		s.both(sfOpened, f.Opened, n.Path)
		s.both(sfClosed, f.Closed, n.Path)
		s.both(sfActive, f.connected(), n.Path)
		s.both(sfReceived, f.Received, n.Path, "")
		s.both(sfReceivedBytes, f.ReceivedBytes, n.Path, "")
		s.both(sfAuthRejected, f.AuthRejected, n.Path)
		for _, d := range n.Topics() {
			s.streamFenceTopic(d)
		}
	}
	s.both(sfAuthLimited, x.AuthRateLimited, "")
}

func (s sink) streamFenceTopic(d *delivery.Declared) {
	namespace, topic, t := d.Namespace.Path, d.Spec.Name, d.Totals()
	s.both(sfPublished, d.Published.Load(), namespace, topic)
	s.both(sfRetries, t.Retries, namespace, topic)
	s.both(sfExhausted, t.Dropped[base.ReasonExhausted], namespace, topic)
	s.both(sfCoalesced, t.Coalesced, namespace, topic)
	if d.Spec.Journal {
		s.both(sfSpilled, t.Spills, namespace, topic)
	}
	var all uint64
	for _, n := range t.Dropped {
		all += n
	}
	s.both(sfDropped, all, namespace, topic)
	for _, r := range overflowReasons {
		s.both(sfOverflow, t.Dropped[r], namespace, topic, r.String())
	}
}

func (s sink) both(names spellings, v uint64, labels ...string) {
	for _, f := range names {
		s.put(f, float64(v), labels...)
	}
}
