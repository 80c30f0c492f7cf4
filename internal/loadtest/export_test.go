package loadtest

import (
	"context"
	"strings"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// Part is the i-th of n parts of a group.
func Part(g swarm.Group, i, n int) swarm.Group { return part(g, i, n) }

// AgentsFor is how many processes total clients need where each has limit descriptors.
func (o *Options) AgentsFor(total, limit int) (int, error) { return o.agentsFor(total, limit) }

// Payload is what a feed publishes.
func Payload(n, at int64, size int) []byte { return appendPayload(nil, n, at, size) }

// Read is what the server can be asked for, by the gauges' names.
func (s Server) Read(ctx context.Context) (map[string]float64, error) {
	r, err := s.read(ctx)
	return plain(r), err
}

// Collected is what the server uses without garbage.
func (s Server) Collected(ctx context.Context) (float64, error) { return s.collected(ctx) }

// Observed is what a text of /metrics says.
func Observed(text string) map[string]float64 {
	r := reading{}
	for line := range strings.Lines(text) {
		r.observe(strings.TrimSuffix(line, "\n"))
	}
	return plain(r)
}

func plain(r reading) map[string]float64 {
	p := map[string]float64{}
	for g, v := range r {
		p[string(g)] = v
	}
	return p
}
