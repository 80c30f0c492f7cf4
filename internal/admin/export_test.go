package admin

import (
	"time"

	"github.com/streamweir/weir/internal/metrics"
)

// Facts are what a verdict is found from, for tests.
type Facts struct {
	Clients, Lagging int
	Topics, Networks []Share
	Loop             time.Duration
	Publications     int
	Budget           float64
	Since            time.Time
	Disk             []metrics.Trouble
}

// Share is one topic or network of Facts.
type Share struct {
	Name             string
	Clients, Lagging int
}

// Judge finds the verdict.
func Judge(f Facts) (kind, subject, sentence string) {
	e := evidence{
		clients: f.Clients, lagging: f.Lagging, loop: f.Loop, publications: f.Publications, budget: f.Budget, since: f.Since, disk: f.Disk,
		topics: shares(f.Topics), networks: shares(f.Networks),
	}
	v := e.judge(new(losses))
	return v.Kind, v.Subject, v.Sentence
}

func shares(list []Share) (out []share) {
	for _, s := range list {
		out = append(out, share{s.Name, s.Clients, s.Lagging})
	}
	return out
}

// ParsePublish decodes the body of POST /api/publish.
func ParsePublish(body []byte) (*PublishRequest, error) {
	var t workspace
	if err := t.parse(body); err != nil {
		return nil, err
	}
	return &t.request, nil
}

// ParseQuestion reads what another node asks, and returns how it is asked again.
func ParseQuestion(b []byte) (again []byte, ok bool) {
	q, ok := parseQuestion(b)
	if !ok {
		return nil, false
	}
	again, err := q.append()
	return again, err == nil
}

// ParseLag reads what another node answers about who lags.
func ParseLag(b []byte) (sentence string, ok bool) {
	n, ok := parseLag(b)
	return n.said(), ok
}
