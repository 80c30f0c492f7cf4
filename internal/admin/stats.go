package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/metrics"
)

// topicView is a declared topic with its figures over all clients. The figures of
// a pattern are those of all its topics.
type topicView struct {
	Namespace   string      `json:"namespace"`
	Topic       string      `json:"topic"`
	Mode        string      `json:"deliveryMode"`
	Overflow    string      `json:"overflowAction"`
	MaxMessages int         `json:"maxQueuedMessagesPerClient"`
	MaxBytes    int         `json:"maxQueuedBytesPerClient"`
	TTLMs       int64       `json:"ttlMs"`
	Published   uint64      `json:"published"`
	Refused     uint64      `json:"refused"`
	Rates       rateView    `json:"perSecond"`
	Subscribers int64       `json:"subscribers"`
	Names       []nameView  `json:"names,omitempty"` // on request: the topics of a pattern, those with most subscribers first
	Kept        keptView    `json:"kept"`
	Books       books       `json:"books"`
	ToWrite     latencyView `json:"publishToWrite"`
	ToAck       latencyView `json:"publishToAck,omitzero"`
}

// nameView is one topic by its name.
type nameView struct {
	Topic       string `json:"topic"`
	Subscribers int64  `json:"subscribers"`
}

// keptView is the values that are kept for later subscribers.
type keptView struct {
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Evicted  uint64 `json:"evicted"` // gave way to the limits, or were too large for them
}

// maxNames bounds how many topics of a pattern are listed.
const maxNames = 1000

// books are promise P5 in JSON: offered = written or acked + coalesced + drops +
// queued + in flight + spilled.
type books struct {
	Offered   uint64            `json:"offered"`
	Written   uint64            `json:"written"`
	Acked     uint64            `json:"acked"`
	Retries   uint64            `json:"retries"`
	Coalesced uint64            `json:"coalesced"`
	Drops     map[string]uint64 `json:"drops,omitempty"`
	Queued    int64             `json:"queued"`
	InFlight  int64             `json:"inFlight"`
	Spilled   int64             `json:"spilled"` // wait in the topic's log, once for each client
	Bytes     int64             `json:"bytes"`
	HeldBytes int64             `json:"heldBytes"`
}

// latencyView is a distribution of durations since the start; quantiles are upper
// bounds, within a factor of two.
type latencyView struct {
	Count  uint64  `json:"count"`
	P50Ms  float64 `json:"p50Ms"`
	P99Ms  float64 `json:"p99Ms"`
	P999Ms float64 `json:"p999Ms"`
}

// topics serves GET /api/topics.
func (a *api) topics(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	path, topic, names := q.text("namespace"), q.text("topic"), q.count("names", 0, 0, maxNames)
	if err := q.end(); err != nil {
		return err
	}
	who := callerOf(r.Context())
	list := slices.DeleteFunc(a.sortedNamespaces(), func(n *delivery.Namespace) bool { return !who.mine(n.Path) })
	if path != "" {
		if err := who.admit(path); err != nil {
			return err
		}
		n, err := a.namespace(path)
		if err != nil {
			return err
		}
		list = []*delivery.Namespace{n}
	}
	out, now := []topicView{}, time.Now()
	for _, n := range list {
		for _, d := range n.Topics() {
			if topic != "" && d.Spec.Name != topic && n.Declared(topic) != d {
				continue
			}
			v := viewTopic(d)
			v.Rates = a.Views.board.rates.of(d, now)
			if names > 0 {
				v.Names = viewNames(d, names)
			}
			out = append(out, v)
		}
	}
	if len(out) == 0 && topic != "" {
		return refuse(base.CodeUnknown, "no topic %q", topic)
	}
	return writeJSON(w, http.StatusOK, struct {
		Topics []topicView `json:"topics"`
	}{out})
}

// viewNames lists the topics of a declaration with most subscribers.
func viewNames(d *delivery.Declared, most int) []nameView {
	list := d.Presence()
	slices.SortFunc(list, func(a, b delivery.Presence) int {
		return cmp.Or(cmp.Compare(b.Subscribers, a.Subscribers), cmp.Compare(a.Topic, b.Topic))
	})
	out := []nameView{}
	for _, p := range list[:min(most, len(list))] {
		out = append(out, nameView(p))
	}
	return out
}

func (a *api) sortedNamespaces() []*delivery.Namespace { return namespacesOf(a.Hub) }

func namespacesOf(h *delivery.Hub) []*delivery.Namespace {
	return slices.SortedFunc(maps.Values(h.Namespaces()), func(a, b *delivery.Namespace) int { return cmp.Compare(a.Path, b.Path) })
}

func viewTopic(d *delivery.Declared) topicView {
	p, k := d.Spec.Policy, d.Kept()
	write, ack := d.Latency()
	v := topicView{
		Namespace: d.Namespace.Path, Topic: d.Spec.Name, Mode: p.Mode.String(), Overflow: p.Overflow.String(),
		MaxMessages: p.MaxMessages, MaxBytes: p.MaxBytes, TTLMs: d.Spec.TTL.Milliseconds(),
		Published: d.Published.Load(), Refused: d.AllRefused(), Subscribers: d.Subscribers(),
		Kept: keptView{k.Values, k.Bytes, k.Evicted}, Books: viewBooks(d.Totals()), ToWrite: viewLatency(write),
	}
	if d.Reliable() {
		v.ToAck = viewLatency(ack)
	}
	return v
}

func viewBooks(t delivery.Totals) books {
	b := books{
		Offered: t.Offered, Written: t.Written, Acked: t.Acked, Retries: t.Retries, Coalesced: t.Coalesced,
		Queued: t.Queued, InFlight: t.InFlight, Spilled: t.Spilled, Bytes: t.Bytes, HeldBytes: t.Held,
	}
	for r, n := range t.Dropped {
		if n > 0 {
			if b.Drops == nil {
				b.Drops = make(map[string]uint64)
			}
			b.Drops[base.Reason(r).String()] = n
		}
	}
	return b
}

func viewLatency(d latency.Distribution) latencyView {
	return latencyView{
		Count: d.Count(), P50Ms: milliseconds(d.Quantile(0.5)), P99Ms: milliseconds(d.Quantile(0.99)), P999Ms: milliseconds(d.Quantile(0.999)),
	}
}

// statsAnswer is the answer to GET /api/stats.
type statsAnswer struct {
	Build         buildView                `json:"build"`
	Since         time.Time                `json:"since,omitzero"` // the process runs since then
	Configuration configurationView        `json:"configuration"`
	Connections   int64                    `json:"connections"`
	Sockets       int64                    `json:"sockets"`
	Subscriptions int64                    `json:"subscriptions"`
	Sessions      map[string]int           `json:"sessions"` // by transport
	Namespaces    map[string]namespaceView `json:"namespaces"`
	Cuts          map[string]uint64        `json:"cuts"`    // by cause; causes that have not happened are left out
	Left          map[string]uint64        `json:"left"`    // connections that ended by the client or its network, likewise
	Refused       map[string]uint64        `json:"refused"` // handshakes, by reason
	Budget        budgetView               `json:"budget"`
	Shards        []shardView              `json:"shards"`
	Workers       workersView              `json:"workers"`
	Outside       outsideView              `json:"outside"`
	Handlers      latencyView              `json:"handlers"`
	Journal       *journalView             `json:"journal,omitempty"` // nil: no topic needs one
	Unbalanced    uint64                   `json:"unbalanced"`        // lanes whose books did not add up: 0, or a bug
}

type buildView struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	GoVersion string `json:"goVersion"`
}

// configurationView says which configuration is in force: what GET /api/config shows.
type configurationView struct {
	Hash     string    `json:"hash"`              // of the effective values, secrets masked
	LoadedAt time.Time `json:"loadedAt,omitzero"` // at the start: there is no reload yet
}

type namespaceView struct {
	Opened       uint64 `json:"opened"`
	Closed       uint64 `json:"closed"`
	Received     uint64 `json:"received"`
	AuthRejected uint64 `json:"authRejected"`
	AuthFailed   uint64 `json:"authUnavailable"` // tokens that could not be checked
	NoHandler    uint64 `json:"noHandler"`
	Skipped      uint64 `json:"eventsSkipped"`
	Unheard      uint64 `json:"answersUnheard"`
	Events       books  `json:"events"` // plain events and answers
}

type shardView struct {
	Connections   int64       `json:"connections"`
	Sockets       int64       `json:"sockets"`
	Subscriptions int64       `json:"subscriptions"`
	HeldBytes     int64       `json:"heldBytes"`
	Inbox         inboxView   `json:"inbox"`
	Turns         latencyView `json:"turns"`
}

type workersView struct {
	Running int    `json:"running"`
	Queued  int    `json:"queued"`
	Panics  uint64 `json:"panics"`
}

type outsideView struct {
	Running int    `json:"running"`
	Queued  int    `json:"queued"`
	Refused uint64 `json:"refused"`
}

// stats serves GET /api/stats.
func (a *api) stats(w http.ResponseWriter, _ *http.Request) error {
	x := a.Extra()
	out := statsAnswer{
		Build: buildView(x.Build), Workers: workersView(x.Workers), Outside: outsideView(x.Outside), Handlers: viewLatency(x.Handler),
		Sessions: orEmpty(x.Sessions), Refused: orEmpty(x.Refused), Namespaces: a.viewNamespaces(x),
		Since: x.Since, Configuration: configurationView{Hash: hashOf(a.State.Config()), LoadedAt: x.Since},
		Cuts: make(map[string]uint64), Left: make(map[string]uint64), Budget: budgetOf(a.Hub), Unbalanced: a.Hub.Unbalanced.Load(),
		Journal: viewJournal(x.Journal),
	}
	out.Budget.By = make(map[string]int64)
	for account, held := range a.Hub.Accounts() {
		out.Budget.By[budget.Account(account).String()] = held
	}
	for c := range base.Cause(base.Causes) {
		ended := out.Cuts
		if c.Leaves() {
			ended = out.Left
		}
		if n := a.Hub.Cuts(c); n > 0 {
			ended[c.String()] = n
		}
	}
	for _, sh := range a.Hub.Shards() {
		s := sh.Stats()
		out.Connections += s.Connections
		out.Sockets += s.Sockets
		out.Subscriptions += s.Subscriptions
		out.Shards = append(out.Shards, shardView{
			Connections: s.Connections, Sockets: s.Sockets, Subscriptions: s.Subscriptions, HeldBytes: s.HeldBytes,
			Inbox: inboxView{s.Tasks, s.Jobs}, Turns: viewLatency(s.Loop),
		})
	}
	return writeJSON(w, http.StatusOK, out)
}

// hashOf names a configuration: equal ones have equal names.
func hashOf(configuration any) string {
	b, err := json.Marshal(configuration)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

func (a *api) viewNamespaces(x metrics.Extra) map[string]namespaceView {
	out := make(map[string]namespaceView)
	for path, n := range a.Hub.Namespaces() {
		f := x.Namespaces[path]
		out[path] = namespaceView{
			Opened: f.Opened, Closed: f.Closed, Received: f.Received, AuthRejected: f.AuthRejected, AuthFailed: f.AuthUnavailable, NoHandler: f.NoHandler,
			Skipped: f.EventsSkipped, Unheard: f.AnswersUnheard,
			Events: viewBooks(n.EventTotals()),
		}
	}
	return out
}

// orEmpty makes a missing map an empty one: {} in JSON, not null.
func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
