package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/survey"
)

// Others are the other nodes of a cluster, as the API asks them.
type Others interface {
	// Name is what this node is called there; "": it is in no cluster.
	Name() string
	// Ask has every other node answer a question (Views.Answer), and use called with each answer, one at a time: it
	// says whether that could be read, and whether it has all. nil: there is no cluster.
	Ask(ctx context.Context, asked []byte, use func(answer []byte) (understood, whole bool)) *Nodes
}

// Views is what a node shows of itself, to who asks it and to other nodes. Any goroutine may use it.
type Views struct {
	hub      *delivery.Hub
	troubles func() []metrics.Trouble
	others   Others
	board    board         // the verdict of /api/lag
	walks    chan struct{} // one token for each walk over the clients for another node
	asking   chan struct{} // one token for each question to all nodes
}

// How many questions of other nodes a node walks over its clients for at the same time, and how many it asks all.
const (
	maxWalks  = 4
	maxAsking = 4
)

// NewViews returns the views of a node; others is nil where there are none.
func NewViews(h *delivery.Hub, troubles func() []metrics.Trouble, others Others) *Views {
	if others == nil {
		others = alone{}
	}
	return &Views{
		hub: h, troubles: troubles, others: others, board: board{rates: rates{began: time.Now()}},
		walks: make(chan struct{}, maxWalks), asking: make(chan struct{}, maxAsking),
	}
}

// alone is a node without others.
type alone struct{}

func (alone) Name() string                                                  { return "" }
func (alone) Ask(context.Context, []byte, func([]byte) (bool, bool)) *Nodes { return nil }

// question is what one node asks another to show. One of the two is set.
type question struct {
	Clients *clientsQuestion `json:"clients,omitempty"`
	Lag     bool             `json:"lag,omitempty"`
}

// clientsQuestion asks for the first of the clients that are connected, or were cut.
type clientsQuestion struct {
	survey.Query
	Cut    bool
	Newest bool // of those that were cut, whatever the order of the others is
}

// A question is this version and a question as JSON. Its answer is a page of clients (survey.AppendPage), or the version
// and the answer to /api/lag.
const (
	questionVersion = 1
	clientLanes     = 16       // of topics, of a client among many
	lagBytes        = 64 << 10 // of a node's part of a /api/lag for all
)

func (q *question) append() ([]byte, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode a question: %w", err)
	}
	return append([]byte{questionVersion}, b...), nil
}

// parseQuestion reads one, and reports whether it is one that this version knows.
func parseQuestion(b []byte) (q question, ok bool) {
	if len(b) == 0 || b[0] != questionVersion {
		return q, false
	}
	d := json.NewDecoder(bytes.NewReader(b[1:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil || d.More() || (q.Clients == nil) == !q.Lag {
		return q, false
	}
	if c := q.Clients; c != nil && (c.Limit < 0 || c.Limit > maxClients || c.Lanes < 0 || c.Sort > survey.ByID) {
		return q, false
	}
	return q, true
}

// Answer answers what another node asks, in at most so many bytes; nil: it is not understood, or there was no time.
func (v *Views) Answer(ctx context.Context, asked []byte, most int) []byte {
	q, ok := parseQuestion(asked)
	if !ok || ctx.Err() != nil {
		return nil
	}
	select {
	case v.walks <- struct{}{}:
		defer func() { <-v.walks }()
	case <-ctx.Done():
		return nil
	}
	if q.Lag {
		return v.lagPart(min(most, lagBytes))
	}
	p, err := v.page(ctx, q.Clients)
	if err != nil {
		return nil
	}
	return survey.AppendPage(nil, p, most)
}

// page is what is found here, for who adds up the pages of all nodes.
func (v *Views) page(ctx context.Context, q *clientsQuestion) (*survey.Page, error) {
	found, err := v.find(ctx, q)
	if err != nil {
		return nil, err
	}
	p := &survey.Page{Total: found.Total, Lagging: found.Lagging, Losing: found.Losing}
	for i := range found.Clients {
		c := &found.Clients[i]
		c.Node = v.others.Name()
		e, err := survey.Encode(c, q.rank(c))
		if err != nil {
			return nil, err
		}
		p.Clients = append(p.Clients, e)
	}
	return p, nil
}

// find finds the clients of this node.
func (v *Views) find(ctx context.Context, q *clientsQuestion) (survey.Found, error) {
	if q.Cut {
		return q.fromCut(v.hub.Cut(maxCut)), nil
	}
	found, err := v.hub.Survey(ctx, q.Query)
	if err != nil {
		return found, fmt.Errorf("walk over the clients: %w", err)
	}
	return found, nil
}

// lagPart is this node's answer to /api/lag, for other nodes: the topics that do not fit are left out.
func (v *Views) lagPart(most int) []byte {
	answer, err := v.board.look(v.hub, v.troubles())
	if err != nil {
		return nil
	}
	answer.Node, answer.Topics = v.others.Name(), slices.Clone(answer.Topics)
	for {
		b, err := encode(&answer)
		if err != nil {
			return nil
		}
		if len(b) < most {
			return append([]byte{questionVersion}, b...)
		}
		n := len(answer.Topics)
		if n == 0 {
			return nil
		}
		answer.TopicsLeftOut += n - n/2
		answer.Topics = answer.Topics[:n/2]
	}
}
