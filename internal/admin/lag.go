package admin

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/latency"
	"github.com/streamweir/weir/internal/survey"
)

// How the board looks: how many clients it lists, how many topics it walks over
// one by one when there are more clients than that, for how long its answer is
// good, and over how long it judges the loops.
const (
	boardClients = 1000
	boardTopics  = 16
	boardFor     = time.Second
	loopWindow   = 10 * time.Second
)

// lagAnswer is the answer to GET /api/lag.
type lagAnswer struct {
	Node    string      `json:"node,omitempty"` // where all nodes are asked
	Verdict verdict     `json:"verdict"`
	At      time.Time   `json:"at"`
	Clients int         `json:"clients"`
	Lagging int         `json:"lagging"`
	Losing  int         `json:"losing"`           // clients of which a lane drops a tenth, or replaces half, of what is published for it
	Losers  []loserView `json:"losers,omitempty"` // those who lose most
	Topics  []topicLag  `json:"topics"`           // those somebody waits for, the oldest first; then all others as declared
	Behind  behindView  `json:"behind"`           // what waits on disk
	Disk    []trouble   `json:"disk,omitempty"`   // what is wrong with the journal's
	Budget  budgetView  `json:"budget"`
	Loop    loopView    `json:"loop"`
	Inbox   inboxView   `json:"inbox"`

	TopicsLeftOut int `json:"topicsLeftOut,omitempty"` // where all nodes are asked
}

// topicLag is how old the oldest message of each waiting lane of a topic is. The
// topic "" is plain events.
type topicLag struct {
	Namespace string     `json:"namespace"`
	Topic     string     `json:"topic"`
	Clients   int        `json:"clients"`
	Lagging   int        `json:"lagging"`
	Oldest    ageSummary `json:"oldestAgeMs"`
	Behind    behindView `json:"behind,omitzero"`     // of them, those who are behind the topic's log
	Rates     *rateView  `json:"perSecond,omitempty"` // of the declaration: a pattern's are those of all its topics
}

type ageSummary struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

type budgetView struct {
	HeldBytes   int64   `json:"heldBytes"`
	BudgetBytes int64   `json:"budgetBytes"` // 0: none
	Ratio       float64 `json:"ratio"`

	By map[string]int64 `json:"by,omitempty"` // what is held, by what it is for
}

type loopView struct {
	P999Ms  float64 `json:"p999Ms"`
	Seconds float64 `json:"seconds"` // over how long it was measured
}

type inboxView struct {
	Tasks        int `json:"tasks"`
	Publications int `json:"publications"`
}

// board remembers the last answer, so that many who look cost one walk, and since
// when most clients lag.
type board struct {
	mu     sync.Mutex // held over the walk, which is bounded: whoever comes meanwhile wants its result
	answer lagAnswer
	since  time.Time // most clients lag since then, as far as anyone has looked; zero: they do not
	loops  [2]loopSample
	rates  rates
}

// loopSample is what the loops had counted at one moment.
type loopSample struct {
	at    time.Time
	steps latency.Distribution
}

// lag serves GET /api/lag.
func (a *api) lag(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	everywhere := q.everywhere()
	if err := q.end(); err != nil {
		return err
	}
	if everywhere {
		ctx, cancel := context.WithTimeout(r.Context(), surveyTimeout)
		defer cancel()
		all, err := a.Views.lagOfAll(ctx)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, all)
	}
	answer, err := a.Views.board.look(a.Hub, a.Troubles())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (b *board) look(h *delivery.Hub, disk []trouble) (lagAnswer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Sub(b.answer.At) < boardFor {
		return b.answer, nil
	}
	// Not the request's context: the answer is for everyone who waits.
	ctx, cancel := context.WithTimeout(context.Background(), surveyTimeout)
	defer cancel()
	found, err := b.survey(ctx, h)
	if err != nil {
		return lagAnswer{}, fmt.Errorf("walk over the clients: %w", err)
	}
	t := tallyClients(found.Clients)
	topics := t.waiting()
	if found.Total > len(found.Clients) {
		if topics, err = refine(ctx, h, topics); err != nil {
			return lagAnswer{}, err
		}
	}
	lost, err := findLosses(ctx, h, found.Losing)
	if err != nil {
		return lagAnswer{}, err
	}
	now = time.Now() // the walks may have taken a while
	shares := t.topicShares(topics)
	topics = b.rated(h, topics, now)
	b.note(&found, now)
	b.answer = b.write(h, &found, topics, now)
	e := evidence{
		clients: found.Total, lagging: found.Lagging, topics: shares, networks: t.networkShares(),
		loop: time.Duration(b.answer.Loop.P999Ms * float64(time.Millisecond)), publications: b.answer.Inbox.Publications,
		budget: b.answer.Budget.Ratio, since: b.since, disk: disk,
	}
	b.answer.Disk, b.answer.Behind = disk, behindAll(h, &found)
	b.answer.Losing, b.answer.Losers = found.Losing, lost.named
	b.answer.Verdict = e.judge(&lost)
	return b.answer, nil
}

// rated adds to the topics that somebody waits for their rates, and all other declared
// ones: that nobody waits for a topic does not say that nothing happens to it.
func (b *board) rated(h *delivery.Hub, topics []topicLag, now time.Time) []topicLag {
	named := make(map[topicName]bool, len(topics))
	for i := range topics {
		t := &topics[i]
		named[topicName{t.Namespace, t.Topic}] = true
		if n := h.Namespace(t.Namespace); n != nil && t.Topic != "" {
			if d := n.Declared(t.Topic); d != nil {
				t.Rates = new(b.rates.of(d, now))
			}
		}
	}
	for _, n := range namespacesOf(h) {
		for _, d := range n.Topics() {
			if !named[topicName{n.Path, d.Spec.Name}] {
				topics = append(topics, topicLag{
					Namespace: n.Path, Topic: d.Spec.Name, Clients: int(d.Subscribers()), Rates: new(b.rates.of(d, now)),
				})
			}
		}
	}
	return topics
}

// refine counts all clients of the topics, where the list was too short: a walk
// over all for each, so only for the worst of them.
func refine(ctx context.Context, h *delivery.Hub, topics []topicLag) ([]topicLag, error) {
	topics = topics[:min(len(topics), boardTopics)]
	for i := range topics {
		t := &topics[i]
		if t.Topic == "" {
			continue // the events lane cannot be asked for by name: what the list knows must do
		}
		s, err := h.Survey(ctx, survey.Query{Sort: survey.ByLag, Limit: 1, Namespace: t.Namespace, Topic: t.Topic})
		if err != nil {
			return nil, fmt.Errorf("walk over the clients of %s: %w", t.Topic, err)
		}
		t.Clients, t.Lagging = s.Total, s.Lagging
		if len(s.Clients) > 0 {
			t.Oldest.Max = s.Clients[0].OldestMs
		}
		t.Oldest.P50 = min(s.Ages.Quantile(0.5).Milliseconds(), t.Oldest.Max)
		t.Oldest.P99 = min(s.Ages.Quantile(0.99).Milliseconds(), t.Oldest.Max)
	}
	return topics, nil
}

// note keeps track of since when most clients lag. The first look reckons with
// what has waited already.
func (b *board) note(found *survey.Found, now time.Time) {
	if part(found.Lagging, found.Total) < most {
		b.since = time.Time{}
		return
	}
	if b.since.IsZero() {
		b.since = now.Add(-min(found.Ages.Quantile(0.5), oldestOf(found)))
	}
}

func oldestOf(found *survey.Found) time.Duration {
	if len(found.Clients) == 0 {
		return 0
	}
	return time.Duration(found.Clients[0].OldestMs) * time.Millisecond
}

func (b *board) write(h *delivery.Hub, found *survey.Found, topics []topicLag, now time.Time) lagAnswer {
	out := lagAnswer{At: now, Clients: found.Total, Lagging: found.Lagging, Topics: topics, Budget: budgetOf(h)}
	if out.Topics == nil {
		out.Topics = []topicLag{}
	}
	var steps latency.Distribution
	for _, sh := range h.Shards() {
		s := sh.Stats()
		out.Inbox.Tasks += s.Tasks
		out.Inbox.Publications += s.Jobs
		steps = plus(steps, s.Loop)
	}
	out.Loop = b.loopSince(loopSample{now, steps})
	return out
}

// loopSince judges the loops over the last ten to twenty seconds: all the time
// before would hide what is wrong now. The first looks see all there was.
func (b *board) loopSince(s loopSample) loopView {
	if s.at.Sub(b.loops[1].at) >= loopWindow {
		b.loops[0], b.loops[1] = b.loops[1], s
	}
	from := b.loops[0]
	steps := minus(s.steps, from.steps)
	v := loopView{P999Ms: milliseconds(steps.Quantile(0.999))}
	if !from.at.IsZero() {
		v.Seconds = s.at.Sub(from.at).Round(time.Second).Seconds()
	}
	return v
}

func budgetOf(h *delivery.Hub) budgetView {
	v := budgetView{HeldBytes: h.Held(), BudgetBytes: h.Budget()}
	if v.BudgetBytes > 0 {
		v.Ratio = float64(v.HeldBytes) / float64(v.BudgetBytes)
	}
	return v
}

func plus(a, b latency.Distribution) latency.Distribution {
	for i := range a.Counts {
		a.Counts[i] += b.Counts[i]
	}
	a.Sum += b.Sum
	return a
}

func minus(a, b latency.Distribution) latency.Distribution {
	for i := range a.Counts {
		a.Counts[i] -= b.Counts[i]
	}
	a.Sum -= b.Sum
	return a
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
