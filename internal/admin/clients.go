package admin

import (
	"cmp"
	"context"
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

var sortKeys = map[string]survey.SortKey{"": survey.ByLag, "lag": survey.ByLag, "bytes": survey.ByBytes, "drops": survey.ByDrops, "loss": survey.ByLoss, "id": survey.ByID}

// clientsRequest is the query of GET /api/clients.
type clientsRequest struct {
	clientsQuestion
	groupBy    string
	everywhere bool // on all nodes
}

// clientsAnswer is the answer to GET /api/clients. Groups take the place of
// Clients when asked for, and add up the Listed clients, not all.
type clientsAnswer struct {
	Total   int     `json:"total"`   // clients that match
	Lagging int     `json:"lagging"` // of them, with a message older than a second
	Losing  int     `json:"losing"`  // of them, with a lane that loses
	Listed  int     `json:"listed"`
	Clients any     `json:"clients,omitempty"` // as they are, or those of all nodes as JSON
	Groups  []group `json:"groups,omitempty"`

	Nodes *Nodes `json:"nodes,omitempty"` // with scope=cluster
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
	ctx, cancel := context.WithTimeout(r.Context(), surveyTimeout)
	defer cancel()
	if q.everywhere {
		all, err := a.Views.clientsOfAll(ctx, &q.clientsQuestion, q.groupBy != "")
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, all.answer(&q))
	}
	found, err := a.Views.find(ctx, &q.clientsQuestion)
	if err != nil {
		return err
	}
	out := clientsAnswer{Total: found.Total, Lagging: found.Lagging, Losing: found.Losing, Listed: len(found.Clients)}
	switch {
	case q.groupBy != "":
		groups := groupClients(q.groupBy)
		for i := range found.Clients {
			groups.add(&found.Clients[i])
		}
		out.Groups = groups.list(q.Sort)
	case len(found.Clients) > 0:
		out.Clients = found.Clients
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
	order := q.choice("sort", "lag", "bytes", "drops", "loss", "id")
	c := clientsRequest{groupBy: q.choice("groupBy", "topic", "principal", "address", "agent", "server"), everywhere: q.everywhere()}
	c.Cut, c.Newest = q.flag("cut"), order == ""
	otherwise := defaultClients
	if c.groupBy != "" {
		otherwise = maxClients
	}
	c.Query = survey.Query{
		Sort: sortKeys[order], Limit: q.count("limit", otherwise, 1, maxClients),
		Namespace: q.text("namespace"), Topic: q.text("topic"), Principal: q.text("principal"), ID: q.text("id"), After: q.text("after"),
	}
	if c.After != "" && order != "id" {
		q.wrong("after", "only with sort=id: no other order stays as it is from page to page")
	}
	if c.everywhere {
		c.Lanes = clientLanes
	}
	if addr := q.address("address"); addr.IsValid() {
		c.Address = addr.String()
	}
	return c, q.end()
}

// fromCut selects among clients that were cut, newest first unless an order was
// asked for.
func (q *clientsQuestion) fromCut(cut []survey.Client) survey.Found {
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
	if !q.Newest {
		slices.SortStableFunc(s.Clients, func(a, b survey.Client) int { return q.Sort.Rank(&a).Compare(q.Sort.Rank(&b)) })
	}
	s.Clients = s.Clients[:min(q.Limit, len(s.Clients))]
	return s
}

// rank is the place of a client in the order asked for.
func (q *clientsQuestion) rank(v *survey.Client) survey.Rank {
	if q.Cut && q.Newest {
		return survey.Rank{By: v.CutAt.UnixNano(), ID: v.ID}
	}
	return q.Sort.Rank(v)
}

func (q *clientsQuestion) matches(v *survey.Client) bool {
	for _, c := range [...]struct{ want, is string }{
		{q.Namespace, v.Namespace}, {q.Principal, v.Principal}, {q.Address, v.Address}, {q.ID, v.ID},
	} {
		if c.want != "" && c.want != c.is {
			return false
		}
	}
	if (q.After != "" && v.ID <= q.After) || (q.Among != nil && !slices.Contains(q.Among, v.Namespace)) {
		return false
	}
	return q.Topic == "" || slices.ContainsFunc(v.Lanes, func(l survey.Lane) bool { return base.TopicNamed(q.Topic, l.Topic) })
}

func lags(v *survey.Client) bool { return v.OldestMs > survey.LagAfter.Milliseconds() }

// grouping adds clients up by what they have in common. By topic, a client is in the group of each of its lanes; the events
// lane's name is "".
type grouping struct {
	by     string
	groups map[string]*group
}

func groupClients(by string) *grouping { return &grouping{by: by, groups: make(map[string]*group)} }

func (g *grouping) of(name string) *group {
	one := g.groups[name]
	if one == nil {
		one = &group{Name: name}
		g.groups[name] = one
	}
	return one
}

// add adds a client.
func (g *grouping) add(v *survey.Client) {
	switch g.by {
	case "principal":
		g.of(v.Principal).add(v)
	case "address":
		g.of(v.Address).add(v)
	case "agent":
		g.of(v.Agent).add(v)
	case "server":
		g.of(v.Server).add(v)
	case "topic":
		for i := range v.Lanes {
			part := laneAsClient(&v.Lanes[i])
			g.of(v.Lanes[i].Topic).add(&part)
		}
	}
}

// list are the groups in an order of clients.
func (g *grouping) list(order survey.SortKey) []group {
	list := make([]group, 0, len(g.groups))
	for _, one := range g.groups {
		list = append(list, *one)
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
	return by.Rank(&survey.Client{Bytes: g.Bytes, SpilledBytes: g.SpilledBytes, Dropped: g.Dropped, OldestMs: g.OldestMs, Losing: g.Losing > 0, LossShare: g.LossShare}).By
}
