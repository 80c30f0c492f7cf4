package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/survey"
)

// The scopes of GET /api/clients and /api/lag.
const (
	scopeNode    = "node"
	scopeCluster = "cluster"
)

// everywhere takes the parameter scope, and reports whether all nodes are asked.
func (q *query) everywhere() bool { return q.choice("scope", scopeNode, scopeCluster) == scopeCluster }

// seat is a place among those who ask all nodes: what they are answered is held until they give it back.
func (v *Views) seat() (giveBack func(), err error) {
	select {
	case v.asking <- struct{}{}:
		return func() { <-v.asking }, nil
	default:
		return nil, refuse(base.CodeBusy, "%d questions to all nodes are being answered", maxAsking)
	}
}

// merged are the first clients of all nodes.
type merged struct {
	clientsAnswer
	most    int
	clients []memberClient
}

// memberClient is a client of some node.
type memberClient struct {
	rank survey.Rank
	raw  json.RawMessage
}

// take adds what one node has found. A client that is none, or no JSON where that is all that is asked, makes it not understood.
func (m *merged) take(p *survey.Page, read bool) (understood bool) {
	for _, c := range p.Clients {
		if len(c.JSON) == 0 || c.JSON[0] != '{' || !json.Valid(c.JSON) || (read && json.Unmarshal(c.JSON, new(survey.Client)) != nil) {
			return false
		}
	}
	m.Total += p.Total
	m.Lagging += p.Lagging
	m.Losing += p.Losing
	for _, c := range p.Clients {
		m.clients = append(m.clients, memberClient{c.Rank, c.JSON})
	}
	slices.SortStableFunc(m.clients, func(a, b memberClient) int { return a.rank.Compare(b.rank) })
	m.clients = m.clients[:min(m.most, len(m.clients))]
	return true
}

// clientsOfAll finds clients on all nodes, the first q.Limit of all in one order.
func (v *Views) clientsOfAll(ctx context.Context, q *clientsQuestion, read bool) (*merged, error) {
	giveBack, err := v.seat()
	if err != nil {
		return nil, err
	}
	defer giveBack()
	asked, err := (&question{Clients: q}).append()
	if err != nil {
		return nil, err
	}
	here, err := v.page(ctx, q)
	if err != nil {
		return nil, err
	}
	m := &merged{most: q.Limit}
	m.take(here, read)
	m.Nodes = v.others.Ask(ctx, asked, func(answer []byte) (understood, whole bool) {
		p, err := survey.ParsePage(answer, q.Limit)
		if err != nil || !m.take(&p, read) {
			return false, false
		}
		return true, !p.Short
	})
	for i := range m.clients { // what a node has answered is not held any longer
		m.clients[i].raw = slices.Clone(m.clients[i].raw)
	}
	return m, nil
}

// answer is what is answered of them.
func (m *merged) answer(q *clientsRequest) clientsAnswer {
	m.Listed = len(m.clients)
	switch {
	case q.groupBy != "":
		groups := groupClients(q.groupBy)
		for i := range m.clients { // one at a time: read, they may be much larger
			var v survey.Client
			_ = json.Unmarshal(m.clients[i].raw, &v) // take has seen that it is one
			groups.add(&v)
		}
		m.Groups = groups.list(q.Sort)
	case len(m.clients) > 0:
		m.Clients = m.raw()
	}
	return m.clientsAnswer
}

func (m *merged) raw() []json.RawMessage {
	list := make([]json.RawMessage, len(m.clients))
	for i := range m.clients {
		list[i] = m.clients[i].raw
	}
	return list
}

// client serves GET /api/clients/ID: one client with all its lanes, whichever node it is on.
func (a *api) client(w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, clientPath)
	if id == "" {
		return refuse(base.CodeInvalid, "want the id of a socket behind %s", clientPath)
	}
	q := &clientsQuestion{Query: survey.Query{ID: id, Limit: 1, Among: callerOf(r.Context()).allow.Namespaces}}
	ctx, cancel := context.WithTimeout(r.Context(), surveyTimeout)
	defer cancel()
	found, err := a.Views.find(ctx, q)
	if err != nil {
		return err
	}
	if len(found.Clients) > 0 {
		found.Clients[0].Node = a.Views.others.Name()
		return writeJSON(w, http.StatusOK, &found.Clients[0])
	}
	all, err := a.Views.clientsOfAll(ctx, q, false)
	switch {
	case err != nil:
		return err
	case len(all.clients) > 0:
		return writeJSON(w, http.StatusOK, all.clients[0].raw)
	case !all.Nodes.Whole():
		return refuse(base.CodeUnavailable, "no node that has answered has a client %q, and %s", id, all.Nodes.lack())
	}
	return refuse(base.CodeUnknown, "no client %q is connected", id)
}

// clientPath is where single clients are.
const clientPath = "/api/clients/"

// lack says what is missing.
func (n *Nodes) lack() string {
	if len(n.Missing) > 0 {
		return "these have not answered in full: " + strings.Join(n.Missing, ", ")
	}
	return "it is not known which others there are"
}

// lagOfAll is the answer to GET /api/lag?scope=cluster.
type lagOfAll struct {
	Verdict verdict           `json:"verdict"`
	At      time.Time         `json:"at"`
	Clients int               `json:"clients"`
	Lagging int               `json:"lagging"`
	Losing  int               `json:"losing"`
	Nodes   *Nodes            `json:"nodes,omitempty"`
	ByNode  []json.RawMessage `json:"byNode"` // what each node answers to /api/lag, those with the worst verdicts first
}

// lagHead is what is read of such an answer.
type lagHead struct {
	Node                     string
	Verdict                  verdict
	Clients, Lagging, Losing int
}

// nodeLag is one of them.
type nodeLag struct {
	lagHead
	raw json.RawMessage
}

// parseLag reads a node's answer.
func parseLag(b []byte) (n nodeLag, ok bool) {
	if len(b) == 0 || b[0] != questionVersion || len(b) > lagBytes+1 {
		return n, false
	}
	n.raw = slices.Clone(b[1:])
	err := json.Unmarshal(n.raw, &n.lagHead)
	return n, err == nil && min(n.Clients, n.Lagging, n.Losing) >= 0
}

// lagOfAll asks all nodes who lags.
func (v *Views) lagOfAll(ctx context.Context) (*lagOfAll, error) {
	giveBack, err := v.seat()
	if err != nil {
		return nil, err
	}
	defer giveBack()
	asked, err := (&question{Lag: true}).append()
	if err != nil {
		return nil, err
	}
	own, ok := parseLag(v.lagPart(lagBytes))
	if !ok {
		return nil, fmt.Errorf("walk over the clients: %w", context.DeadlineExceeded)
	}
	list := []nodeLag{own}
	out := &lagOfAll{At: time.Now()}
	out.Nodes = v.others.Ask(ctx, asked, func(answer []byte) (understood, whole bool) {
		n, ok := parseLag(answer)
		if ok {
			list = append(list, n)
		}
		return ok, ok
	})
	slices.SortStableFunc(list, func(a, b nodeLag) int {
		return cmp.Or(cmp.Compare(b.weight(), a.weight()), cmp.Compare(b.Lagging+b.Losing, a.Lagging+a.Losing), cmp.Compare(a.Node, b.Node))
	})
	for _, n := range list {
		out.Clients += n.Clients
		out.Lagging += n.Lagging
		out.Losing += n.Losing
		out.ByNode = append(out.ByNode, n.raw)
	}
	out.Verdict = judgeNodes(list, out.Clients, out.Nodes)
	return out, nil
}

// weight orders nodes by what is wrong: with the disk, with clients, with nothing.
func (n *lagHead) weight() int {
	switch n.Verdict.Kind {
	case kindDisk:
		return 2
	case kindNobody:
		return 0
	}
	return 1
}

// saidNodes is how many nodes a verdict speaks of.
const saidNodes = 3

// judgeNodes makes one verdict of those of the nodes, of which the worst come first: that of the first, with the sentences of some.
func judgeNodes(list []nodeLag, clients int, of *Nodes) verdict {
	v := list[0].Verdict
	v.Node = list[0].Node
	var say []string
	wrong := 0
	for _, n := range list {
		if n.weight() == 0 {
			continue
		}
		if wrong++; wrong <= saidNodes {
			say = append(say, n.said())
		}
	}
	switch {
	case wrong == 0:
		v = (&evidence{clients: clients}).judgeLag()
		say = append(say, v.Sentence)
	case wrong > saidNodes:
		say = append(say, fmt.Sprintf("Something is wrong on %d nodes more.", wrong-saidNodes))
	}
	if !of.Whole() {
		say = append(say, "Not all is known: "+of.lack()+".")
	}
	v.Sentence = strings.Join(say, " ")
	return v
}

func (n *lagHead) said() string {
	if n.Node == "" {
		return n.Verdict.Sentence
	}
	return n.Node + ": " + n.Verdict.Sentence
}
