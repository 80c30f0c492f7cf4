package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey"
)

// Bounds of GET /api/clients.
const (
	defaultClients = 100
	maxClients     = 1000
	surveyTimeout  = 5 * time.Second
	maxCut         = 10_000 // what the hub remembers
)

var sortKeys = map[string]survey.SortKey{"": survey.ByLag, "lag": survey.ByLag, "bytes": survey.ByBytes, "drops": survey.ByDrops, "loss": survey.ByLoss}

// clientsRequest is the query of GET /api/clients.
type clientsRequest struct {
	survey.Query
	sorted  bool // an order was asked for
	groupBy string
	cut     bool
}

// clientsAnswer is the answer to GET /api/clients. Groups take the place of
// Clients when asked for, and add up the Listed clients, not all.
type clientsAnswer struct {
	Total   int             `json:"total"`   // clients that match
	Lagging int             `json:"lagging"` // of them, with a message older than a second
	Losing  int             `json:"losing"`  // of them, with a lane that loses
	Listed  int             `json:"listed"`
	Clients []survey.Client `json:"clients,omitempty"`
	Groups  []group         `json:"groups,omitempty"`
}

// group adds up the listed clients that have something in common.
type group struct {
	Name     string `json:"name"`
	Clients  int    `json:"clients"`
	Lagging  int    `json:"lagging"`
	Losing   int    `json:"losing"`
	Depth    int    `json:"depth"`
	Bytes    int    `json:"bytes"`
	InFlight int    `json:"inFlight"`
	Spilled  int    `json:"spilled"`
	Dropped  uint64 `json:"dropped"`
	OldestMs int64  `json:"oldestAgeMs"`

	LossShare    float64 `json:"lossShare,omitempty"` // the largest of its clients
	SpilledBytes int64   `json:"spilledBytes,omitempty"`
}

// clients serves GET /api/clients: who lags.
func (a *api) clients(w http.ResponseWriter, r *http.Request) error {
	q, err := parseClients(r)
	if err != nil {
		return err
	}
	if q.Among = callerOf(r.Context()).allow.Namespaces; q.Namespace != "" {
		if err := callerOf(r.Context()).admit(q.Namespace); err != nil {
			return err
		}
	}
	if err := a.askable(&q.Query); err != nil {
		return err
	}
	var found survey.Found
	if q.cut {
		found = q.fromCut(a.Hub.Cut(maxCut))
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), surveyTimeout)
		defer cancel()
		if found, err = a.Hub.Survey(ctx, q.Query); err != nil {
			return fmt.Errorf("walk over the clients: %w", err)
		}
	}
	out := clientsAnswer{Total: found.Total, Lagging: found.Lagging, Losing: found.Losing, Listed: len(found.Clients)}
	if q.groupBy == "" {
		out.Clients = found.Clients
	} else {
		out.Groups = groupClients(found.Clients, q.groupBy, q.Sort)
	}
	return writeJSON(w, http.StatusOK, out)
}

// askable refuses a question about a namespace or topic that does not exist: that it has no clients would be the answer
// to another one. "" is any.
func (a *api) askable(q *survey.Query) error {
	namespace, topic := q.Namespace, q.Topic
	switch {
	case topic == "" && namespace == "":
		return nil
	case topic == "":
		_, err := a.namespace(namespace)
		return err
	case namespace != "":
		_, err := a.declared(namespace, topic)
		return err
	}
	for _, among := range orAll(q.Among) {
		if a.Hub.Declares(among, topic) {
			return nil
		}
	}
	return refuse(base.CodeUnknown, "topic: %q is not declared in any namespace%s", topic, patternAdvice(topic))
}

// orAll are namespaces as Hub.Declares has them: "" for any.
func orAll(namespaces []string) []string {
	if namespaces == nil {
		return []string{""}
	}
	return namespaces
}

func parseClients(r *http.Request) (clientsRequest, error) {
	q := parseQuery(r.URL)
	order := q.choice("sort", "lag", "bytes", "drops", "loss")
	c := clientsRequest{sorted: order != "", groupBy: q.choice("groupBy", "topic", "principal", "address", "agent", "server"), cut: q.flag("cut")}
	otherwise := defaultClients
	if c.groupBy != "" {
		otherwise = maxClients
	}
	c.Query = survey.Query{
		Sort: sortKeys[order], Limit: q.count("limit", otherwise, 1, maxClients),
		Namespace: q.text("namespace"), Topic: q.text("topic"), Principal: q.text("principal"), ID: q.text("id"),
	}
	if addr := q.address("address"); addr.IsValid() {
		c.Address = addr.String()
	}
	return c, q.end()
}

// fromCut selects among clients that were cut, newest first unless an order was
// asked for.
func (q *clientsRequest) fromCut(cut []survey.Client) survey.Found {
	var s survey.Found
	for i := range cut {
		v := &cut[i]
		if !q.matches(v) {
			continue
		}
		s.Total++
		if lags(v) {
			s.Lagging++
		}
		if v.Losing {
			s.Losing++
		}
		s.Clients = append(s.Clients, *v)
	}
	if q.sorted {
		slices.SortStableFunc(s.Clients, func(a, b survey.Client) int { return cmp.Compare(rank(&b, q.Sort), rank(&a, q.Sort)) })
	}
	s.Clients = s.Clients[:min(q.Limit, len(s.Clients))]
	return s
}

func (q *clientsRequest) matches(v *survey.Client) bool {
	for _, c := range [...]struct{ want, is string }{
		{q.Namespace, v.Namespace}, {q.Principal, v.Principal}, {q.Address, v.Address}, {q.ID, v.ID},
	} {
		if c.want != "" && c.want != c.is {
			return false
		}
	}
	if q.Among != nil && !slices.Contains(q.Among, v.Namespace) {
		return false
	}
	return q.Topic == "" || slices.ContainsFunc(v.Lanes, func(l survey.Lane) bool { return base.TopicNamed(q.Topic, l.Topic) })
}

func lags(v *survey.Client) bool { return v.OldestMs > survey.LagAfter.Milliseconds() }

func rank(v *survey.Client, by survey.SortKey) int64 {
	switch by {
	case survey.ByBytes:
		return int64(v.Bytes) + v.SpilledBytes
	case survey.ByDrops:
		return int64(v.Dropped)
	case survey.ByLoss:
		return int64(v.LossShare * 1e6)
	default:
		return v.OldestMs
	}
}

// groupClients adds clients up by what they have in common. By topic, a client is
// in the group of each of its lanes; the events lane's name is "".
func groupClients(clients []survey.Client, by string, order survey.SortKey) []group {
	groups := make(map[string]*group)
	add := func(name string, part survey.Client) {
		g := groups[name]
		if g == nil {
			g = &group{Name: name}
			groups[name] = g
		}
		g.add(&part)
	}
	for i := range clients {
		v := &clients[i]
		switch by {
		case "principal":
			add(v.Principal, *v)
		case "address":
			add(v.Address, *v)
		case "agent":
			add(v.Agent, *v)
		case "server":
			add(v.Server, *v)
		case "topic":
			for _, l := range v.Lanes {
				add(l.Topic, laneAsClient(&l))
			}
		}
	}
	list := make([]group, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.rank(order), a.rank(order)), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// laneAsClient is what a client would be that had only this lane.
func laneAsClient(l *survey.Lane) survey.Client {
	v := survey.Client{Depth: l.Depth, Bytes: l.Bytes, InFlight: l.InFlight, OldestMs: l.OldestMs, Spilled: l.Spilled, SpilledBytes: l.SpilledBytes}
	for _, n := range l.Drops {
		v.Dropped += n
	}
	if l.Loss != nil {
		v.Losing, v.LossShare = l.Loss.Losing, l.Loss.Share
	}
	return v
}

func (g *group) add(v *survey.Client) {
	g.Clients++
	if lags(v) {
		g.Lagging++
	}
	if v.Losing {
		g.Losing++
	}
	g.LossShare = max(g.LossShare, v.LossShare)
	g.Depth += v.Depth
	g.Bytes += v.Bytes
	g.InFlight += v.InFlight
	g.Spilled += v.Spilled
	g.SpilledBytes += v.SpilledBytes
	g.Dropped += v.Dropped
	g.OldestMs = max(g.OldestMs, v.OldestMs)
}

func (g *group) rank(by survey.SortKey) int64 {
	return rank(&survey.Client{Bytes: g.Bytes, SpilledBytes: g.SpilledBytes, Dropped: g.Dropped, OldestMs: g.OldestMs, LossShare: g.LossShare}, by)
}
