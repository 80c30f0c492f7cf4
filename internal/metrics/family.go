package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/weir/internal/latency"
)

// family is one metric name with its help, labels and kind.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType // unused by histograms
}

// families lists what declare has made, for Describe.
var families []family

func declare(kind prometheus.ValueType, name, help string, labels ...string) family {
	f := family{prometheus.NewDesc("weir_"+name, help, labels, nil), kind}
	families = append(families, f)
	return f
}

func counter(name, help string, labels ...string) family {
	return declare(prometheus.CounterValue, name, help, labels...)
}

func gauge(name, help string, labels ...string) family {
	return declare(prometheus.GaugeValue, name, help, labels...)
}

func histogram(name, help string, labels ...string) family {
	return declare(prometheus.UntypedValue, name, help, labels...)
}

// The names of docs/metrics.md, which lists them all, and a test compares the two.
var (
	connected       = gauge("sockets", "Sockets in the namespace.", "namespace")
	opened          = counter("sockets_opened_total", "Sockets that joined the namespace.", "namespace")
	closed          = counter("sockets_closed_total", "Sockets that left the namespace.", "namespace")
	received        = counter("received_total", "Events received from clients.", "namespace")
	receivedBytes   = counter("received_bytes_total", "Bytes of events received from clients.", "namespace")
	authRejected    = counter("auth_rejected_total", "Tokens refused.", "namespace")
	authUnavailable = counter("auth_unavailable_total", "Tokens that could not be checked: Authenticate failed.", "namespace")
	schemaViolation = counter("schema_violations_total", "Events and publications that were not as their JSON Schema says; with dry_run, that were let through.", "namespace", "schema", "dry_run")
	noHandler       = counter("no_handler_total", "Events from clients that nothing handles.", "namespace")

	eventsSkipped  = counter("events_skipped_total", "Events from clients not handled: the application had disconnected the client, or the server has stopped.", "namespace")
	answersUnheard = counter("answers_unheard_total", "Answers of handlers to clients that had left.", "namespace")

	published      = counter("published_total", "Publications accepted, once each however many subscribers.", "namespace", "topic")
	publishRefused = counter("publish_refused_total", "Publications refused, by reason: busy, memory_budget, too_large, draining.", "namespace", "topic", "reason")
	publishToWrite = histogram("publish_to_write_seconds", "From publish until the client's kernel took the message.", "namespace", "topic")
	publishToAck   = histogram("publish_to_ack_seconds", "From publish until the client acknowledged the message.", "namespace", "topic")

	subscribers = gauge("subscribers", "Subscriptions to the topic.", "namespace", "topic")
	keptValues  = gauge("kept_messages", "Newest messages kept for who subscribes later.", "namespace", "topic")
	keptEvicted = counter("kept_evicted_total", "Kept messages that gave way to limits, or were too large for them.", "namespace", "topic")

	offered          = counter("offered_total", "Messages offered to lanes, once per client.", "namespace", "topic")
	written          = counter("written_total", "Messages written to clients, each once: repeats are in retries_total.", "namespace", "topic")
	acked            = counter("acked_total", "Messages acknowledged by clients.", "namespace", "topic")
	coalesced        = counter("coalesced_total", "Messages replaced by a newer one before they were written.", "namespace", "topic")
	dropped          = counter("dropped_total", "Messages not delivered to a client, by reason.", "namespace", "topic", "reason")
	expired          = counter("expired_total", "Messages older than their ttl: dropped_total with reason expired.", "namespace", "topic")
	retries          = counter("retries_total", "Messages sent again.", "namespace", "topic")
	retriesExhausted = counter("retries_exhausted_total", "Messages given up after the last send: dropped_total with reason exhausted.", "namespace", "topic")
	queuedMessages   = gauge("queued_messages", "Messages waiting in lanes.", "namespace", "topic")
	queuedBytes      = gauge("queued_bytes", "Bytes waiting in lanes and in flight, counted once per client.", "namespace", "topic")
	inFlight         = gauge("in_flight_messages", "Messages sent and not yet acknowledged.", "namespace", "topic")
	heldBytes        = gauge("held_bytes", "Bytes in memory, a message counted once per shard.", "namespace", "topic")

	spilled         = counter("spilled_total", "Messages that a full lane left to the topic's journal, once per client.", "namespace", "topic")
	spilledMessages = gauge("spilled_messages", "Of them, those that wait there now.", "namespace", "topic")
	spilledBytes    = gauge("spilled_bytes", "Their bytes on the wire, once per client.", "namespace", "topic")
	lanesBehind     = gauge("lanes_behind", "Lanes that are given what they have missed from the topic's log.", "namespace", "topic")

	clientsLagging = gauge("clients_lagging", "Clients with a message that has waited for more than a second.", "namespace")
	clientsLosing  = gauge("clients_losing", "Clients of which a lane drops a tenth, or replaces half, of what is published for it; known from the second scrape on.", "namespace")
	oldestAge      = gauge("oldest_age_seconds", "Age of the message that has waited longest.", "namespace")

	oldestUnread = gauge("journal_oldest_unread_seconds", "Age of the oldest record that a lane which is behind has not been given; 0: none is behind.", "namespace")

	connectionsOpen   = gauge("connections", "Open connections.")
	subscriptionsOpen = gauge("subscriptions", "Subscriptions of all clients.")
	inboxDepth        = gauge("inbox_depth", "What waits for the event loops.", "queue")
	loopSeconds       = histogram("loop_seconds", "Length of the event loops' steps.")
	loopStalls        = counter("loop_stalls_total", "Steps of the event loops that took more than 50 ms.")
	loopLongest       = gauge("loop_longest_seconds", "The longest step of an event loop since the start.")
	memoryHeld        = gauge("memory_held_bytes", "Bytes held for all clients, by what they are for.", "what")
	memoryBudget      = gauge("memory_budget_bytes", "Bound on memory_held_bytes; 0 is none.")
	memoryRatio       = gauge("memory_budget_ratio", "Share of the memory budget in use; 0 without a budget.")
	cuts              = counter("cut_total", "Connections the server has closed, by cause.", "cause")
	left              = counter("left_total", "Connections that ended by the client or its network, by cause.", "cause")
	idsForgotten      = counter("ids_forgotten_total", "Ids of publications forgotten before five minutes were over.")
	unbalanced        = counter("unbalanced_total", "Lanes whose books did not add up: always 0, or a bug.")

	sessions          = gauge("sessions", "Open Engine.IO sessions.", "transport")
	strays            = counter("stray_packets_total", "Packets of clients that say nothing, by kind: answers nobody waits for, pongs nobody has asked for, ignored ones, pings of websockets.", "what")
	requestsRefused   = counter("requests_refused_total", "Requests of clients refused (subscribe, unsubscribe, publish, history), by code.", "reason")
	handshakesRefused = counter("handshakes_refused_total", "Handshakes refused, by reason.", "reason")
	authRateLimited   = counter("auth_rate_limited_total", "Attempts refused because the address had failed too often.")
	authRevoked       = counter("auth_revoked_total", "Tokens refused because they, or their principals, are revoked.")
	revocations       = gauge("revocations", "Tokens and principals that are revoked.")
	clusterUp         = gauge("cluster_up", "1 while the broker can be reached.")
	clusterNodes      = gauge("cluster_nodes", "Nodes of the cluster that were heard lately, with this one.")
	clusterUnsent     = counter("cluster_unsent_total", "What has not gone to other nodes.", "what")
	clusterMissed     = counter("cluster_missed_total", "Gaps in topics' logs that the broker did not keep until this node could read them.")
	clusterRefused    = counter("cluster_refused_total", "Events of other nodes that were refused: too many waited for handlers.")
	clusterUnheard    = counter("cluster_unheard_total", "Messages of other nodes that came and were lost: too much waited for this node.")
	clusterRenumbered = counter("cluster_renumbered_total", "Topics' logs that the broker has lost: they have begun a new epoch.")
	rateLimited       = counter("rate_limited_total", "Events from clients beyond a limit of limits.inbound, by what became of them; with dry_run, what would have.", "server", "action", "dry_run")
	clientsThrottled  = gauge("clients_throttled", "Clients that are not read now, because they send more than limits.inbound allows.", "server")
	rateSenders       = gauge("rate_senders", "Principals and addresses whose rate is remembered for limits.inbound.", "server")
	reconnects        = counter("reconnects_total", "Clients that came back after the server had cut them.")
	tlsExpires        = gauge("tls_certificate_expires_timestamp_seconds", "When the certificate expires, in seconds since 1970.", "server")
	tlsReloads        = counter("tls_certificate_reloads_total", "Certificates whose files had changed: renewed, or refused because they cannot be used.", "server", "result")
	configReloads     = counter("config_reloads_total", "Times the configuration was read again: applied, as far as it can be while the server runs, or refused.", "result")
	configReloaded    = gauge("config_last_reload_timestamp_seconds", "When it was applied last, in seconds since 1970; 0: never.")
	tlsHandshakes     = counter("tls_handshakes_total", "TLS handshakes, by how they ended: done, timeout, gave_way, cleartext, left, failed.", "server", "result")
	hookCalls         = counter("hook_calls_total", "Questions to the application's backend, by how they ended.", "hook", "result")
	hookRunning       = gauge("hook_running", "Calls to the application's backend under way.", "hook")
	hookWaiting       = gauge("hook_waiting", "Clients that wait until one of those has ended.", "hook")
	hookOpen          = gauge("hook_breaker_open", "1 while the application's backend is not asked because it does not answer.", "hook")
	hookSeconds       = histogram("hook_seconds", "How long calls to the application's backend took.", "hook")
	workersRunning    = gauge("workers_running", "Handlers running.")
	workersQueued     = gauge("workers_queued", "Handlers waiting for a worker.")
	outsideRunning    = gauge("outside_running", "Calls of the application's checks running: Authenticate, Use.")
	outsideQueued     = gauge("outside_queued", "Such calls waiting for a place.")
	outsideRefused    = counter("outside_refused_total", "Such calls refused because as many waited as may.")
	handlerPanics     = counter("handler_panics_total", "Handlers that panicked.")
	handlerSeconds    = histogram("handler_seconds", "How long handlers ran, by the events that the application handles.", "namespace", "event")
	handlersOverdue   = gauge("handlers_overdue", "Handlers that run beyond their deadline: they ignore their context.")
	handlersLate      = counter("handlers_late_total", "Handlers that have ended after their deadline.")
	requestsRunning   = gauge("requests_running", "Requests of clients that no loop may wait for, running: publish, history, a subscription that opens a log.")
	requestsQueued    = gauge("requests_queued", "Such requests waiting in their sockets' mailboxes.")
	logDropped        = counter("log_dropped_total", "Log lines dropped because the log's handler did not keep up.")
	eventsDropped     = counter("events_dropped_total", "Calls of the application's Events callbacks dropped because they did not keep up.", "event")
	eventsPanics      = counter("events_panics_total", "Calls of the application's Events callbacks that panicked.", "event")

	journalAppends     = counter("journal_appends_total", "Records written to the journal.")
	journalBytesIn     = counter("journal_append_bytes_total", "Bytes written for them.")
	journalRefused     = counter("journal_refused_total", "Records that the journal did not take: disk (an error of it, or maxBytes), busy (too much waited for it).", "reason")
	journalSync        = histogram("journal_sync_seconds", "How long syncs of the journal's files took.")
	journalUnsynced    = counter("journal_syncs_failed_total", "Syncs that have failed: what was confirmed may not outlive the machine.")
	journalReads       = counter("journal_reads_total", "Reads for lanes that are behind and for history: answered from memory, or from the disk.", "from")
	journalReadsFailed = counter("journal_reads_failed_total", "Reads that an error of the disk has ended.")
	journalBlocks      = counter("journal_blocks_read_total", "Blocks read from the disk.")
	journalDamaged     = counter("journal_damaged_total", "Times that something on the disk was not what had been written.")
	journalTorn        = counter("journal_torn_total", "Ends of files that were never completed, as after a crash, and were cut off.")
	journalGaveWay     = counter("journal_gave_way_total", "Segments removed because the journal had as many bytes as it may.")
	journalRefusing    = gauge("journal_refusing_topics", "Topics whose log has not taken what was published last.")
	journalTrouble     = gauge("journal_trouble", "1 while the disk of the journal is in trouble, by what it is.", "what")
	journalUsed        = gauge("journal_used_bytes", "Bytes of all files of the journal.")
	journalLimit       = gauge("journal_limit_bytes", "As many as they may have.")
	journalResting     = gauge("journal_resting_bytes", "Of them, those of topics that nobody uses.")
	journalAside       = gauge("journal_aside_bytes", "Of them, those of damaged files that were set aside.")
	journalBytes       = gauge("journal_bytes", "Bytes on the disk of topics in use.", "namespace", "topic")
	journalSegments    = gauge("journal_segments", "Files they are in.", "namespace", "topic")
	journalOpen        = gauge("journal_open_files", "Files of the journal that are open to be written.")
	journalToSync      = gauge("journal_unsynced_bytes", "Bytes written and not synced.", "namespace", "topic")

	buildInfo = gauge("build_info", "What is running; always 1.", "version", "revision", "goversion")
)

// sink takes the metrics of one scrape.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) put(f family, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(f.desc, f.kind, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	s.ch <- m
}

func (s sink) histogram(f family, d latency.Distribution, labels ...string) {
	buckets := make(map[float64]uint64, len(d.Counts)-1)
	var n uint64
	for i, c := range d.Counts {
		n += c
		if i < len(d.Counts)-1 { // the last is +Inf, which is the count
			buckets[latency.UpperBound(i).Seconds()] = n
		}
	}
	m, err := prometheus.NewConstHistogram(f.desc, n, d.Sum.Seconds(), buckets, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	s.ch <- m
}
